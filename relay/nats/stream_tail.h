// SPDX-License-Identifier: MIT
/*
 * Which of the last messages of a forwarder a stream has.  Pure.
 *
 * A message may be lost on its way, or be refused, while later ones are taken.  It is published
 * again then, and stands behind them.  So the newest message of a stream does not say what it has:
 * the last ones do, as many as can have been on their way at once.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "nats/forward_id.h"
#include "nats/unacked.h"

enum {
	/* So many are on their way at most; and so many more may stand behind one of them. */
	STREAM_TAIL_MAX = 2 * UNACKED_MAX,
};

/* All zero: nothing is known. */
struct stream_tail {
	uint32_t session; /* ro: of all of them; 0: nothing is known */
	uint64_t newest;  /* ro: the highest sequence */
	uint64_t floor;   /* ro: after stream_tail_end(): the stream has had it, and those before */
	uint64_t lowest;  /* private from here on */
	size_t bytes;     /* of all */
	size_t most_bytes; /* of one */
	size_t count;
	uint64_t list[STREAM_TAIL_MAX];
};

/* Adds a message; from the newest one backwards.  True: the one before it counts, too. */
bool stream_tail_add(struct stream_tail *tail, const struct forward_id *id, size_t bytes);

/* No more are added. */
void stream_tail_end(struct stream_tail *tail);

/* Has the stream, or had it, this message? */
bool stream_tail_has(const struct stream_tail *tail, const struct forward_id *id);

/* How many messages of `session` it has above the floor, from `from` to before `to`. */
uint64_t stream_tail_count(const struct stream_tail *tail, uint32_t session, uint64_t from,
			   uint64_t to);

/* ---- a message of the stream ---- */

/* What a tail is made of.  All zero: there is none. */
struct stored_message {
	uint64_t sequence; /* in the stream */
	bool has_id;       /* of the subject */
	struct forward_id id;
	size_t bytes; /* without its header fields */
};

/* As the stream's leader shows it, in the answer to $JS.API.STREAM.MSG.GET: header fields and bytes
 * in base64.  0; -EBADMSG: this is no message; -ENOMEM. */
must_check int stored_message_read(const json_t *message, const char *subject,
				   struct stored_message *ret);
