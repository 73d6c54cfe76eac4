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
#include "continuity/kept_struct.h"
#include "fanout/subscriber_kept.h"
#include "ring/ring_state.h"

struct rendition;
struct ring_restored;

struct subscriber_snapshot {
	union {
		struct subscriber_kept kept;
		struct { /* the same */
#define KEPT_DEF "fanout/subscriber_kept.def"
#include "continuity/kept_members.def"
			struct token_bucket input_bucket;
			struct peer_address peer;
			struct kept_replay from_files;
		};
	};
	struct cursor_state cursor; /* says nothing with is_replaying */
	uint8_t *note;              /* the subscriber's, or in the stream that was read */

	/* All of these are not in the stream. */
	bool counts_anew; /* its accounts begin where it stands */
	/* To be set before restoring; without, one with has_input cannot be kept, unless it is
	 * ending. */
	const struct subscriber_input *input;
	void *input_owner;
	/* To be set before restoring, too; without, one with is_replaying cannot be kept. */
	const struct subscriber_replay *replay;
	void *replay_owner;
	struct subscriber_quota quota; /* captured, and to be set before restoring */
};

/* Is there a subscriber, whether its place is known or not? */
bool subscriber_record_is_used(const struct subscriber_record *record);

/* Describes the subscriber with the socket `fd`, which remains the caller's, as one that can go on
 * where it stood in the ring; the notes are the record's.  Its accounts begin anew.
 *
 * Who was being served when the process died is where TCP says: so many bytes farther on in the
 * ring, or in the files, as its socket has got since.  0; -ESTALE: its place is not known;
 * -EBADMSG: the record is not that of this socket, or does not hold together. */
must_check int subscriber_record_read(const struct subscriber_record *record, int fd,
				      const struct ring_state *ring,
				      struct subscriber_snapshot *ret);

/* The text is whole and says something. */
bool record_text_is_good(const char text[RECORD_NAME_BYTES]);

/* Attaches a subscriber of the process before, where it was.  Its socket, quota, input and replay
 * are taken out of *state, and given up when there is no memory. */
void subscriber_resume(struct rendition *rendition, struct subscriber_snapshot *state,
		       const struct ring_restored *restored);
