// SPDX-License-Identifier: MIT
/* Positions: numbers of a stream compared with those that a feed has. */
#include "nats/stream_position.h"

#include "base/clock.h"

uint32_t stream_session(uint64_t created_ns)
{
	return (uint32_t)(created_ns / NS_PER_MS) | 1U;
}

uint64_t stream_seen_end(const struct stream_seen *seen)
{
	return (seen->match_seq ? seen->match_seq : seen->last_seq) + 1;
}

/* Where who knows no position begins: behind what is there, or in the past. */
static uint64_t first_seq(const struct stream_seen *seen, const struct stream_wish *wish,
			  uint64_t now_ns, uint64_t *ret_from_ns)
{
	uint64_t past_ns = wish->backfill_ms * NS_PER_MS;

	if (!wish->backfill_ms || !seen->match_seq)
		return stream_seen_end(seen);
	*ret_from_ns = past_ns < now_ns ? now_ns - past_ns : 1;
	return 0;
}

/* Is it the stream that was read last, or, by its session, the one that the feed has read? */
static bool is_same(const struct stream_position *position, const struct stream_seen *seen,
		    uint32_t session)
{
	if (!position->next_seq)
		return false;
	if (position->created_ns)
		return position->created_ns == seen->created_ns;
	return position->session == session;
}

static void note_lost(struct stream_position *position, uint64_t sequence)
{
	if (!position->lost_seq || sequence < position->lost_seq)
		position->lost_seq = sequence;
}

enum stream_begin stream_position_find(struct stream_position *position,
				       const struct stream_seen *seen,
				       const struct stream_wish *wish, uint64_t now_ns,
				       uint64_t *ret_from_ns)
{
	bool is_another = position->created_ns && position->created_ns != seen->created_ns;
	uint32_t session =
		wish->session && !is_another ? wish->session : stream_session(seen->created_ns);

	*ret_from_ns = 0;
	if (is_same(position, seen, session)) {
		if (seen->last_seq + 1 < position->next_seq) {
			note_lost(position, seen->last_seq + 1);
			return STREAM_IS_SHORTER;
		}
		position->created_ns = seen->created_ns;
		return STREAM_GOES_ON;
	}
	*position = (struct stream_position){
		.session = session,
		.next_seq = is_another ? 1 : first_seq(seen, wish, now_ns, ret_from_ns),
		.created_ns = seen->created_ns,
	};
	return is_another ? STREAM_IS_ANOTHER : STREAM_BEGINS;
}

bool stream_position_check(struct stream_position *position, uint64_t time_ns)
{
	if (time_ns && time_ns != position->mark_ns) {
		note_lost(position, position->mark_seq);
		return false;
	}
	position->lost_seq = 0;
	return true;
}

void stream_position_cut(struct stream_position *position, const struct stream_seen *seen,
			 uint64_t now_ns)
{
	position->session = stream_session(now_ns);
	position->next_seq = position->lost_seq;
	position->created_ns = seen->created_ns;
	position->lost_seq = position->mark_seq = 0;
}
