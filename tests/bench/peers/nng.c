// SPDX-License-Identifier: MIT
/*
 * nng in make bench-peers: the shortest broadcaster that its users write. What comes in at a PULL
 * socket goes out at a PUB socket, as the same message, so nothing is copied on the way.
 *
 *     relay-peer-nng INGEST-PORT PORT MESSAGES
 *
 * MESSAGES: how far a subscriber may fall behind before it loses messages (NNG_OPT_SENDBUF, which
 * takes at most 8192). PUB drops then, and tells nobody.
 */
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pubsub0/pub.h>
#include <stdio.h>
#include <stdlib.h>

#define SENDBUF_MAX 8192

static int listen_at(nng_socket socket, const char *port)
{
	char address[64];
	int error;

	snprintf(address, sizeof(address), "tcp://127.0.0.1:%s", port);
	error = nng_listen(socket, address, NULL, 0);
	if (error)
		fprintf(stderr, "relay-peer-nng: %s: %s\n", address, nng_strerror(error));
	return error;
}

static int pass_on(nng_socket from, nng_socket to)
{
	nng_msg *message;
	int error;

	while ((error = nng_recvmsg(from, &message, 0)) == 0) {
		error = nng_sendmsg(to, message, 0);
		if (error) {
			nng_msg_free(message);
			break;
		}
	}
	fprintf(stderr, "relay-peer-nng: %s\n", nng_strerror(error));
	return 1;
}

int main(int argc, char **argv)
{
	int messages = argc == 4 ? atoi(argv[3]) : 0;
	nng_socket from, to;
	int error;

	if (messages < 1) {
		fputs("usage: relay-peer-nng INGEST-PORT PORT MESSAGES\n", stderr);
		return 2;
	}
	messages = messages < SENDBUF_MAX ? messages : SENDBUF_MAX;
	error = nng_pub0_open(&to);
	if (!error)
		error = nng_pull0_open(&from);
	/* 0: a message may be as long as it likes. */
	if (!error)
		error = nng_socket_set_size(from, NNG_OPT_RECVMAXSZ, 0);
	if (!error)
		error = nng_socket_set_int(to, NNG_OPT_SENDBUF, messages);
	if (error) {
		fprintf(stderr, "relay-peer-nng: %s\n", nng_strerror(error));
		return 1;
	}
	return listen_at(to, argv[2]) || listen_at(from, argv[1]) || pass_on(from, to);
}
