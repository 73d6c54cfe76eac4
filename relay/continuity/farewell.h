// SPDX-License-Identifier: MIT
/*
 * Farewells: connections that the next process only ends, each with its last words.
 *
 * A hand-over may fail until the next process runs, and then all goes on as before.  So nobody is
 * let go for it by this process.  Who cannot go on in the next one is told so there.
 */
#pragma once

#include "base/compiler.h"
#include "continuity/state_stream.h"

enum {
	FAREWELL_BYTES_MAX = 8192, /* an answer by HTTP fits */
};

struct farewell {
	int fd; /* adding: the caller's; read: owned */
	size_t byte_count;
	uint8_t *bytes; /* in the stream that was read, or `copy` */
	void *copy;     /* private: owned */
};

/* All zero: none. */
struct farewells {
	struct farewell *list; /* ro: owned */
	size_t count;          /* ro */
	size_t room;           /* private */
};

/* Adds a socket and a copy of what it is to be sent, FAREWELL_BYTES_MAX at most; 0 bytes: it is
 * closed by reset.  0; or -ENOMEM, nothing has changed. */
must_check int farewells_add(struct farewells *farewells, int fd, const void *bytes, size_t count);

/* Written to, or read from; what is read is checked. */
void farewells_transfer(struct state_stream *stream, struct farewells *farewells);

/* After reading: closes all.  Who takes its words at once gets a good end behind them, and
 * everybody else a reset.  There are none then. */
void farewells_say(struct farewells *farewells);

/* Frees them without a word; descriptors stay open.  Idempotent. */
void farewells_free(struct farewells *farewells);
