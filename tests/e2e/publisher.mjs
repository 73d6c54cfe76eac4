// SPDX-License-Identifier: MIT
// publisher.mjs URL TOKEN FILE: publishes the lines of FILE by node-ws, a message each, as a page of a browser would; then the
// code with which relay answers the close on stdout.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const { WebSocket } = createRequire(import.meta.url)('/usr/share/nodejs/ws');
const [url, token, file] = process.argv.slice(2);
const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
const socket = new WebSocket(url, ['relay', `relay.bearer.${token}`], { perMessageDeflate: true });
socket.on('open', () => {
	socket.ping('are you there?');
	for (const line of lines) socket.send(line);
	socket.close(1000);
});
socket.on('error', (error) => {
	console.error(error.message);
	process.exitCode = 1;
});
socket.on('close', (code) => console.log(code));
