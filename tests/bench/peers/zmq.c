// SPDX-License-Identifier: MIT
/*
 * libzmq in make bench-peers: the shortest broadcaster that its users write. What comes in at a
 * PULL socket goes out at a PUB socket, as the same message, so nothing is copied on the way.
 *
 *     relay-peer-zmq INGEST-PORT PORT MESSAGES
 *
 * MESSAGES: how far a subscriber may fall behind before it loses messages (ZMQ_SNDHWM). PUB drops
 * then, and tells nobody.
 */
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

/* A socket that listens there, or NULL after a line on stderr. */
static void *listen_at(void *library, int type, const char *port, int messages)
{
	char address[64];
	void *socket = zmq_socket(library, type);

	snprintf(address, sizeof(address), "tcp://127.0.0.1:%s", port);
	if (socket && zmq_setsockopt(socket, ZMQ_SNDHWM, &messages, sizeof(messages)) == 0 &&
	    zmq_bind(socket, address) == 0)
		return socket;
	fprintf(stderr, "relay-peer-zmq: %s: %s\n", address, zmq_strerror(zmq_errno()));
	return NULL;
}

static int pass_on(void *from, void *to)
{
	zmq_msg_t message;

	zmq_msg_init(&message);
	while (zmq_msg_recv(&message, from, 0) >= 0)
		if (zmq_msg_send(&message, to, 0) < 0)
			break;
	fprintf(stderr, "relay-peer-zmq: %s\n", zmq_strerror(zmq_errno()));
	return 1;
}

int main(int argc, char **argv)
{
	int messages = argc == 4 ? atoi(argv[3]) : 0;
	void *library, *from, *to;

	if (messages < 1) {
		fputs("usage: relay-peer-zmq INGEST-PORT PORT MESSAGES\n", stderr);
		return 2;
	}
	library = zmq_ctx_new();
	to = listen_at(library, ZMQ_PUB, argv[2], messages);
	from = listen_at(library, ZMQ_PULL, argv[1], messages);
	return from && to ? pass_on(from, to) : 1;
}
