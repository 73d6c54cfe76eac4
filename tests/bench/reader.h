// SPDX-License-Identifier: MIT
/*
 * One subscriber's stream, cut into the frames of its dialect, and the payload that all messages of
 * a run carry: 8 bytes of the sender's choice (a time, a number), then a pattern in which each byte
 * depends on its place, so that bytes which are missing, doubled or somebody else's show.
 * Reading the socket and counting are left to the modes (isolation.c, broadcast.c).
 */
#ifndef BENCH_READER_H
#define BENCH_READER_H

#include "bench.h"
#include "dialect.h"

#define READER_STAMP_BYTES 8

struct reader {
	int fd;                     /* -1: closed by the server */
	uint64_t size;              /* of each payload; another one is a fault */
	uint32_t head_bytes;        /* the same of the heads before them; 0 = any */
	uint32_t have;              /* bytes in head; 0 while inside a frame */
	struct dialect_frame frame; /* what is left of it */
	uint64_t payload_at;        /* bytes of its payload that have come */
	uint64_t stamp;             /* the first 8 of them, as far as they have come */
	uint8_t head[DIALECT_HEAD_BYTES];
};

/* A message has come in full; owner is what reader_take() got. */
typedef void (*reader_message_fn)(void *owner, struct reader *reader);

/*
 * Takes count bytes of the stream; `pattern` is a payload by reader_fill(), or NULL when payloads
 * are not looked at. Returns 0, -EPROTO at a frame that is none, or -EBADMSG at a payload that
 * differs, in its bytes or a size; the reader is of no use then until it is put elsewhere.
 */
int reader_take(struct reader *reader, const struct dialect *dialect, const uint8_t *pattern,
		const uint8_t *bytes, uint64_t count, reader_message_fn message, void *owner);

/* Writes a payload; its first READER_STAMP_BYTES are 0. */
void reader_fill(uint8_t *payload, uint64_t size);

/*
 * Connects the publisher, if params->ingest is set, and then the subscribers: all of them say
 * what they want before the first is waited for. fds has room for subscribers; what could not be
 * connected is -1. Returns 0 or -errno after a line on stderr; the fds are the caller's in
 * both cases.
 */
int reader_connect(const struct bench_params *params, uint64_t subscribers, int *fds,
		   int *ret_publisher);

#endif
