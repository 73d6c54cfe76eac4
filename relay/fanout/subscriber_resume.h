// SPDX-License-Identifier: MIT
/*
 * Subscribers of the process before, attached anew.
 *
 * What a process that has died left of them is read from its records (subscriber_kept.h).  Nothing
 * is believed: numbers, texts and places are checked, a socket must be the one that is meant, and a
 * TCP socket must have got as many bytes as the record says.
 */
#pragma once

#include "base/compiler.h"
#include "fanout/subscriber_kept.h"
#include "ring/ring_state.h"

struct rendition;
struct ring_restored;

enum {
	STATE_NAME_BYTES = 65, /* of a feed, a listener or a format */
};

struct subscriber_snapshot {
	int fd;
	bool is_joining; /* has no place yet: waits for its branch */
	struct cursor_state cursor;
	uint64_t id, joined_ms, progress_ms, joined_messages, skipped;
	struct token_bucket input_bucket; /* what it may still send */
	uint64_t user_timeout_ms;         /* of its socket, while its window is closed; else 0 */
	uint64_t delivered;               /* messages, for the accounts when it cannot be kept */
	unsigned on_slow;
	bool must_skip;
	unsigned slow_cause;
	bool is_ending;
	unsigned end_reason;
	uint64_t end_pos;
	uint64_t until_ns; /* monotonic; 0: no end by time */
	uint8_t *note;     /* the subscriber's, or in the stream that was read */
	unsigned note_bytes;
	bool has_from;
	uint64_t from_seq;
	bool is_half_closed;
	bool counts_anew; /* not in the stream: its accounts begin where it stands */
	bool ends_with_fin, has_farewell;

	/* Somebody reads what it sends: messages of at most so many bytes. */
	bool has_input;
	uint64_t input_max_bytes;
	/* Not in the stream: to be set before restoring; without, it cannot be kept, unless it is
	 * ending. */
	const struct subscriber_input *input;
	void *input_owner;

	/* Of its quota: the listener that counts its address, or "". */
	char listener[STATE_NAME_BYTES];
	uint64_t peer_key;
	struct subscriber_quota quota; /* not in the stream: captured, and to be set before
					  restoring */
};

/* Is there a subscriber, whether its place is known or not? */
bool subscriber_record_is_used(const struct subscriber_record *record);

/* Describes the subscriber with the socket `fd`, which remains the caller's, as one that can go on
 * where it stood in the ring; the notes are the record's.  Its accounts begin anew.
 *
 * Who was being served when the process died is where TCP says: so many bytes farther on in the
 * ring as its socket has got since.  0; -ESTALE: its place is not known; -EBADMSG: the record is
 * not that of this socket, or does not hold together. */
must_check int subscriber_record_read(const struct subscriber_record *record, int fd,
				      const struct ring_state *ring,
				      struct subscriber_snapshot *ret);

/* The text is whole and says something. */
bool record_text_is_good(const char text[RECORD_NAME_BYTES]);

/* Attaches a subscriber of the process before, where it was.  Its socket, quota and input are taken
 * out of *state, and given up when there is no memory. */
void subscriber_resume(struct rendition *rendition, struct subscriber_snapshot *state,
		       const struct ring_restored *restored);
