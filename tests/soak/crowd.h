// SPDX-License-Identifier: MIT
/*
 * A crowd: the publishers of a few feeds and thousands of subscribers of them, raw and framed, on
 * one epoll in one thread. Every byte that a subscriber gets is checked against the stream of its
 * feed; what is wrong is counted, and the first of it told on stderr. When to join, to leave and to
 * judge is left to the plans (churn.c, stall.c).
 */
#ifndef SOAK_CROWD_H
#define SOAK_CROWD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/packet_header.h"
#include "stream.h"
#include "tests/bench/histogram.h"

#define CROWD_FEEDS_MAX 16

struct soak_params {
	pid_t relay_pid;
	uint32_t feeds;
	struct sockaddr_in ingest[CROWD_FEEDS_MAX], raw[CROWD_FEEDS_MAX], framed[CROWD_FEEDS_MAX];
	uint64_t subscribers;
	uint64_t readers;  /* stall: those that read */
	uint64_t message;  /* bytes; a multiple of 16 */
	uint64_t rate;     /* messages a second on each feed */
	uint64_t churn;    /* joins, and leaves, a second */
	uint64_t upgrades; /* upgrade: SIGUSR2 so often, or */
	char *command;     /* this, by the shell */
	double seconds;
};

struct member {
	int fd; /* -1: not there */
	uint32_t feed;
	bool is_packets, has_first;
	uint64_t joined_ns;
	uint64_t payload_left, next_sequence;
	uint32_t session, header_have;
	struct stream_check check;
	uint8_t header[PACKET_HEADER_BYTES];
};

struct crowd_feed {
	int publisher;
	uint64_t offset; /* in the stream, of the next message */
	uint64_t unsent; /* at full rate: bytes of the message before it that were not taken yet */
	bool has_base;
	uint64_t base; /* offset in the stream of the message with sequence 0 */
};

struct crowd {
	const struct soak_params *params;
	int epoll_fd;
	struct member *members;
	struct crowd_feed feeds[CROWD_FEEDS_MAX];
	uint64_t publish_start_ns, published; /* messages of all feeds, which take turns */
	uint8_t *message, *sink;
	struct histogram first_byte; /* of joins, nanoseconds */
	uint64_t joins, leaves;
	uint64_t bytes;    /* received and found right */
	uint64_t foreign;  /* places with a byte that was not the stream's next, headers included */
	uint64_t gaps;     /* announced */
	uint64_t cut_off;  /* connections that relay ended */
	bool is_full_rate; /* rw: messages follow as fast as they are taken, not by the rate */
	bool is_quiet;     /* rw: nothing is published */
	uint64_t heard_ns; /* when a byte came last */
	uint64_t longest_quiet_ns; /* between two of them, for the whole crowd */
};

/* Connects the publishers. Returns 0 or -errno after a line on stderr; crowd_close() is owed. */
int crowd_open(struct crowd *crowd, const struct soak_params *params);
void crowd_close(struct crowd *crowd);

/*
 * Connects member number `place`, whose feed and format follow from it. One that does not read has
 * a small receive buffer and is never looked at. Returns 0 or -errno.
 */
int crowd_join(struct crowd *crowd, uint64_t place, bool reads);

/* Closes it, by RST or by FIN. One that is not there is left alone. */
void crowd_leave(struct crowd *crowd, uint64_t place, bool by_reset);

/* Publishes what is due, and takes what has come, until then. Returns 0 or -errno of a publisher.
 */
int crowd_run(struct crowd *crowd, uint64_t until_ns);

#endif
