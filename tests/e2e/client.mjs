// SPDX-License-Identifier: MIT
// client.mjs URL FILE: what node-ws gets from relay until it closes, into FILE; its close code on stdout.
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';

const { WebSocket } = createRequire(import.meta.url)('/usr/share/nodejs/ws');
const [url, file] = process.argv.slice(2);
const parts = [];
const socket = new WebSocket(url, { perMessageDeflate: true });
socket.on('open', () => socket.ping('are you there?'));
socket.on('message', (data) => parts.push(data));
socket.on('error', (error) => {
	console.error(error.message);
	process.exitCode = 1;
});
socket.on('close', (code) => {
	writeFileSync(file, Buffer.concat(parts));
	console.log(code);
});
