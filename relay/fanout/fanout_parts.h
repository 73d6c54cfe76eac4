// SPDX-License-Identifier: MIT
/* What the files of fanout/ share; for them only. */
#pragma once

#include "fanout/fanout.h"
#include "fanout/rendition.h"
#include "fanout/send.h"
#include "fanout/subscriber.h"

/* ---- the fan-out ---- */

/* pass.c, fanout_tick.c: make their watchers. */
void fanout_init_pass(struct fanout *fanout);
void fanout_init_turn_end(struct fanout *fanout);

/* How long relay itself has paused since then, monotonic (fanout_excuse()). */
static inline uint64_t fanout_paused_since(const struct fanout *fanout, uint64_t since_ms)
{
	uint64_t ms = 0;

	for (unsigned i = 0; i < fanout->pause_count; i++)
		ms += fanout->pauses[i].end_ms > since_ms ? fanout->pauses[i].ms : 0;
	return ms;
}

/* fanout_tick.c: of those whom a slow drain is to let go, how many have not been told yet. */
uint64_t fanout_left_to_drain(const struct fanout *fanout);

/* rendition.c: true when a ring is over full, since a subscriber with on_slow = wait needs it. */
bool fanout_must_wait(const struct fanout *fanout);

/* rendition.c: for fanout_check_wait() only. */
void fanout_look_for_end_of_wait(struct fanout *fanout);

/* A subscriber made progress or left, so the wait may be over. */
static inline void fanout_check_wait(struct fanout *fanout)
{
	if (fanout->is_waiting)
		fanout_look_for_end_of_wait(fanout);
}

/* ---- a subscriber ---- */

static inline struct fanout *fanout_of(const struct subscriber *subscriber)
{
	return subscriber->rendition->fanout;
}

static inline struct fanout_source fanout_source_of(const struct subscriber *subscriber)
{
	const struct fanout_events *events = &fanout_of(subscriber)->events;

	return events->get_source(events->owner);
}

/* One has come (1) or gone (-1).  Those of relay's own are counted apart. */
static inline void subscriber_count(const struct subscriber *subscriber, int change)
{
	struct fanout *fanout = subscriber->rendition->fanout;

	if (subscriber->is_relays_own) {
		fanout->own_count += (unsigned)change;
		return;
	}
	fanout->metrics->subscribers += (uint64_t)change;
	fanout->events.on_count(fanout->events.owner);
}

/* One on no list yet, which owns the socket and the quota.  NULL: no memory; the quota is given
 * back, and the socket closed by reset. */
struct subscriber *subscriber_new(struct rendition *rendition, int fd,
				  const struct subscriber_quota *quota, bool is_relays_own);

/* Changes the state, and with it the list and the interest in EV_WRITE. */
void subscriber_set_state(struct subscriber *subscriber, enum subscriber_state state);

/* Sends the notes, if any; only between two packets. */
enum send_outcome subscriber_serve_notes(struct subscriber *subscriber, int *ret_err);

/* Puts the last words for `reason` among the notes.  False: there are none, or they are there or
 * sent already. */
bool subscriber_add_farewell(struct subscriber *subscriber, enum close_reason reason);

/* It gets what is up to there, and is closed then. */
void subscriber_set_end(struct subscriber *subscriber, enum close_reason reason, uint64_t end_pos);

/* It gets nothing that came later (monotonic; 0: no such end). */
void subscriber_set_until(struct subscriber *subscriber, uint64_t until_ns);

/* For one with until_ns: once something has come later, that is where it ends. */
void subscriber_look_for_end(struct subscriber *subscriber);

/* A note that only this subscriber gets: news in the words of the format.  Returns its
 * bytes, 0 where the format cannot say it; without memory the subscriber is closed. */
size_t subscriber_tell(struct subscriber *subscriber, const struct packet *packet);

/* It is behind, between two packets, and leaves: whoever counts it sees to it that it goes on
 * elsewhere. */
void subscriber_go_back(struct subscriber *subscriber);

/* It begins with the replay of its params. */
void subscriber_begin_replay(struct subscriber *subscriber, const struct subscriber_params *params);

/* From now on it gets what this sends, and stands nowhere in the ring. */
void subscriber_attach_replay(struct subscriber *subscriber, const struct subscriber_replay *replay,
			      void *owner);

/* Serves one with replay: one call of its send(), so that each has its turn. */
void subscriber_serve_replay(struct subscriber *subscriber);

/* At each tick: those who have sent all that there was look for more, and who cannot go on is
 * closed. */
void fanout_check_replays(struct fanout *fanout, uint64_t now_ms);

/* It has no replay any more.  Idempotent. */
void subscriber_end_replay(struct subscriber *subscriber);

/* How long it should wait before it comes back when the connection breaks; they are all told to
 * wait differently.  is_end: all of them come back together. */
uint32_t subscriber_retry_ms(const struct subscriber *subscriber, bool is_end);

/* True when it has got all that it was to get before it is closed. */
bool subscriber_has_finished(const struct subscriber *subscriber);

/* What holds it back: who has room in its socket, and is behind all the same, was not served in
 * time. */
enum slow_cause subscriber_find_cause(const struct subscriber *subscriber);

/* Gives up what comes with its params: the owners of input and replay, the quota. */
void subscriber_free_input(const struct subscriber_input *input, void *owner);
void subscriber_free_replay(const struct subscriber_replay *replay, void *owner);
void subscriber_give_back(const struct subscriber_quota *quota);
