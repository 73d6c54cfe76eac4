// SPDX-License-Identifier: MIT
/*
 * Connections to an ingest port that are not its publisher yet.
 *
 * Who has not sent a byte is nobody: a health check, a scanner, or a publisher with nothing to say
 * so far. It waits here and takes nothing over. With its first bytes the ingest is asked. There are
 * NEWCOMERS_MAX places; a newcomer gets that of the one who has been silent longest.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "intake/source.h"
#include "table/close_reason.h"

enum {
	NEWCOMERS_MAX = 16,
	NEWCOMERS_BESIDE_MS = 60000, /* in silence, while another one publishes */
};

struct newcomers_events {
	/* Its first bytes are there. True: it is the publisher, and fd and body are taken.
	 * False: it waits until newcomers_offer(). The low-water mark of fd is as the look at
	 * them has left it. */
	bool (*on_stream)(void *owner, int fd, struct source_body *body);

	/* It is not let in, or not any longer. Takes fd and body. */
	void (*on_refused)(void *owner, int fd, struct source_body *body, enum close_reason reason);
};

struct newcomer {
	struct newcomers *newcomers;
	ev_io readable;
	int fd;                   /* -1: the place is free */
	struct source_body *body; /* NULL: the connection is the stream */
	uint64_t since_ms;        /* monotonic */
	uint64_t number;          /* in which order they came */
	size_t seen;              /* bytes at the last look */
	bool has_sniff;           /* its first bytes are looked at */
	bool is_stream;           /* it waits for its turn */
};

struct newcomers {
	struct ev_loop *loop;
	const struct newcomers_events *events;
	void *owner;
	uint64_t count; /* that have come */
	struct newcomer list[NEWCOMERS_MAX];
};

void newcomers_init(struct newcomers *newcomers, struct ev_loop *loop,
		    const struct newcomers_events *events, void *owner);

/* Takes a connection in, with the body of its request, or NULL. sniff: bytes of another protocol
 * are refused (first_bytes.h). */
void newcomers_add(struct newcomers *newcomers, int fd, struct source_body *body, bool sniff);

/* The place of the publisher is free: who has sent bytes first gets it. */
void newcomers_offer(struct newcomers *newcomers);

/* Refuses who has been silent for silent_ms; 0: silence is normal. */
void newcomers_tick(struct newcomers *newcomers, uint64_t now_ms, uint64_t silent_ms);

/* Who came first of those that wait; -1: nobody. It goes on waiting. */
int newcomers_oldest(struct newcomers *newcomers);

/* Closes all; who came by HTTP is told the reason. Idempotent. */
void newcomers_close(struct newcomers *newcomers, enum close_reason reason);
