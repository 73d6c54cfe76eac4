// SPDX-License-Identifier: MIT
/*
 * A rendition: one feed in one format.  It has the encoder, the ring of encoded packets, and the
 * subscribers that read it, each on the list of its state.
 */
#pragma once

#include "base/compiler.h"
#include "base/list.h"
#include "base/log_rate.h"
#include "packet/encoder.h"
#include "packet/packet.h"
#include "ring/ring.h"

struct cursor;
struct fanout;
struct rendition_record;
struct ring_record;
struct subscriber;

struct rendition {
	struct list_node node; /* private: in fanout->renditions */
	struct fanout *fanout; /* ro */
	const struct encoder *encoder;
	struct ring ring;
	/* ro: what lies from this position on waits for the disk, or is not there yet;
	 * UINT64_MAX: nothing ever waits */
	uint64_t held_from;
	bool keeps_past;                 /* rw: newcomers may ask for what came before them */
	bool is_recorded;                /* rw: a recorder reads it, if not at this moment */
	uint64_t kept_from;              /* private: from this segment on the ring keeps all;
					  * UINT64_MAX: nothing */
	uint64_t kept_ms;                /* private: monotonic; since when */
	struct rendition_record *record; /* private: NULL: it would not survive a crash */
	struct ring_record *ring_record; /* private: the ring's, owned */
	struct log_rate losses_log;      /* private to feed/publish.c: of packets without memory */

	/* The subscribers, by state; see subscriber.h. */
	struct list joining; /* until the branch is awake                              */
	struct list idle;    /* at the live edge                                       */
	struct list resting; /* idle as well, but no packet wakes them                 */
	struct list ready;   /* to be served in the pass under way                     */
	struct list blocked; /* their socket is full                                   */
};

/* Initializes an array of lists: each subscriber is in one of them. */
#define RENDITION_LISTS(rendition)                                                                 \
	{                                                                                          \
		&(rendition)->joining, &(rendition)->idle, &(rendition)->resting,                  \
			&(rendition)->ready, &(rendition)->blocked                                 \
	}

/* A rendition without subscribers.  NULL: no memory.  Its ring goes on from there, and is empty. */
struct rendition *rendition_new(struct fanout *fanout, const struct encoder *encoder,
				const struct ring_params *ring, const struct sequence *from);

/* One without subscribers, whose ring is empty. */
void rendition_free(struct rendition *rendition);

/* Cuts the ring to size, but keeps what subscribers with on_slow = wait still need. */
void rendition_trim(struct rendition *rendition);

/* One of these leaves, and will be back: what it has not read is kept until rendition_release(),
 * for stall_timeout at most.  NULL: all that is there. */
void rendition_keep_unread(struct rendition *rendition, const struct subscriber *subscriber);
void rendition_release(struct rendition *rendition);

/* Looks how far it is on the disk; what is not, is held.  After each packet, and when the disk has
 * answered.  True: subscribers may get more than before. */
bool rendition_update_held(struct rendition *rendition);

/* Bytes that are held. */
uint64_t rendition_held_bytes(const struct rendition *rendition);

/* Where who reads what comes from now on begins: at the live edge, or before what is held.  Returns
 * the sequence to come there. */
uint64_t rendition_join_live(const struct rendition *rendition, struct cursor *cursor);

/* Something has been appended to its ring, which is cut to size.  Whoever waited for it is ready,
 * if it may be had. */
void rendition_note_appended(struct rendition *rendition);

/* The oldest sequence that a subscriber can begin with, and the next one to come; the same when
 * there is no past.  Of a branch that sleeps: as it was when it fell asleep. */
void rendition_range(const struct rendition *rendition, uint64_t *ret_oldest, uint64_t *ret_next);

/* Can a subscriber begin with message `seq` of `session` (0: of whichever there is)?  One that is
 * still to come counts.  Of a branch that sleeps: as it was when it fell asleep. */
bool rendition_has(const struct rendition *rendition, uint32_t session, uint64_t seq);

/* Does it have all that came since then (monotonic)?  Of a branch that sleeps: as it was when
 * it fell asleep. */
bool rendition_reaches(const struct rendition *rendition, uint64_t since_ns);

/* Pipes that its ring keeps at most: twice what it takes when all are full. */
static inline size_t rendition_max_pipes(size_t ring_bytes, size_t segment_bytes)
{
	return size_max(8, 2 * ring_bytes / segment_bytes);
}

static inline struct rendition *rendition_of(struct list_node *node)
{
	return list_entry(node, struct rendition, node);
}
