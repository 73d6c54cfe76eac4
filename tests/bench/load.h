// SPDX-License-Identifier: MIT
/*
 * The load: one publisher and N subscribers on non-blocking sockets, driven in turns by one thread.
 * Invariant: a subscriber's position is the payload bytes it was given plus those it was told it
 * missed, so published - position is what is still under way to it.
 * The stream is one chunk of whole messages, sent again and again. Pacing, windows and figures are
 * left to the modes (throughput.c, paced.c, memory.c).
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "base/packet_header.h"
#include "bench.h"
#include "loose.h"

/* Where in a message paced mode puts the time of sending: behind the length prefix. */
#define LOAD_STAMP_OFFSET 4
#define LOAD_STAMP_BYTES  8

struct load_subscriber {
	int fd;                /* -1: the server has closed it */
	uint32_t header_bytes; /* of the packet header that have come */
	uint32_t payload_left; /* bytes of the packet that have not come */
	uint64_t position;
	uint64_t stamp; /* paced: of the message under way, as it came so far */
	uint8_t header[PACKET_HEADER_BYTES];
};

struct load {
	const struct bench_params *params;
	int publisher;
	int epoll_fd; /* -1: few subscribers, each is tried in turn */
	struct load_subscriber *subscribers;
	uint8_t *chunk;
	uint64_t chunk_bytes;
	uint64_t chunk_sent; /* bytes of the chunk under way */
	struct loose loose;  /* the chunk once more, where params->piece says so */
	uint64_t published;
	uint64_t delivered; /* payload bytes, sum over subscribers */
	uint64_t missed;    /* payload bytes told missed, sum over subscribers */
	uint64_t closed;    /* subscribers that the server closed */
	uint8_t *sink;
};

/* Sees payload bytes of one subscriber; its position is still that of the first of them. */
typedef void (*load_bytes_fn)(struct load *load, struct load_subscriber *subscriber,
			      const uint8_t *bytes, uint64_t count);

/*
 * Connects the subscribers, then the publisher, and publishes single messages until one has come to
 * every subscriber and all is quiet; then every position is 0. Returns 0 or -errno after a line on
 * stderr; load_close() is owed in both cases.
 */
int load_open(struct load *load, const struct bench_params *params);
void load_close(struct load *load);

/*
 * Sends of the chunk what the socket takes, at most `bytes` in all and within the window. Returns
 * the bytes sent or -errno when the publisher was cut off.
 */
int64_t load_publish(struct load *load, uint64_t bytes, uint64_t window_end);

/* Sends exactly one message, receiving meanwhile. The chunk must hold one message. 0 or -errno. */
int load_publish_message(struct load *load);

/*
 * Takes what has come. With a NULL `see` the payload is counted and thrown away unread (MSG_TRUNC),
 * which keeps the load light. timeout_ns > 0 sleeps at most that long for the first byte. Returns
 * the payload bytes received.
 */
uint64_t load_receive(struct load *load, load_bytes_fn see, uint64_t timeout_ns);

/* The position of the slowest subscriber that is not closed; `published` when there is none. */
uint64_t load_slowest(const struct load *load);

/*
 * Receives until all has come or nothing has come for two seconds. Returns the payload bytes that
 * are lost then: not delivered, for whatever reason, also where a gap packet or a close announced
 * it.
 */
uint64_t load_drain(struct load *load, load_bytes_fn see);

#endif
