// SPDX-License-Identifier: MIT
/* Renditions: made and freed; what of their past must stay, and whether that makes a feed wait. */
#include "fanout/rendition.h"

#include <stdlib.h>

#include "base/clock.h"
#include "fanout/fanout_parts.h"

/* A format that adds nothing can have the ingest pipe itself, if it comes last. */
static bool adds_something(const struct encoder *encoder)
{
	const struct packet probe = {.type = PACKET_DATA, .length = 1};
	uint8_t header[ENCODER_HEADER_MAX];

	return encoder_sees_payload(encoder) || encoder->trailer ||
	       encoder->header(encoder, &probe, header);
}

struct rendition *rendition_new(struct fanout *fanout, const struct encoder *encoder,
				const struct ring_params *ring, const struct sequence *from)
{
	struct rendition *rendition = calloc(1, sizeof(*rendition));

	if (!rendition)
		return NULL;
	rendition->fanout = fanout;
	rendition->encoder = encoder;
	ring_init(&rendition->ring, ring);
	rendition->ring.session = from->session;
	rendition->ring.next_seq = from->next_seq;
	rendition->held_from = fanout->waits_for_disk ? 0 : UINT64_MAX;
	rendition->kept_from = UINT64_MAX;
	(void)rendition_update_held(rendition);
	list_init(&rendition->joining);
	list_init(&rendition->idle);
	list_init(&rendition->resting);
	list_init(&rendition->ready);
	list_init(&rendition->blocked);
	if (adds_something(encoder))
		list_prepend(&fanout->renditions, &rendition->node);
	else
		list_append(&fanout->renditions, &rendition->node);
	return rendition;
}

void rendition_free(struct rendition *rendition)
{
	list_remove(&rendition->node);
	free(rendition);
}

void rendition_range(const struct rendition *rendition, uint64_t *ret_oldest, uint64_t *ret_next)
{
	*ret_oldest = cursor_oldest_seq(&rendition->ring);
	*ret_next = rendition->ring.next_seq;
}

bool rendition_has(const struct rendition *rendition, uint32_t session, uint64_t seq)
{
	const struct fanout_events *events = &rendition->fanout->events;

	if (session && session != events->get_source(events->owner).session)
		return false;
	return seq >= cursor_oldest_seq(&rendition->ring);
}

bool rendition_reaches(const struct rendition *rendition, uint64_t since_ns)
{
	struct cursor cursor;

	if (cursor_join_since(&cursor, &rendition->ring, since_ns) < 0)
		return false;
	cursor_leave(&cursor);
	return true;
}

/* ---- what waits for the disk ---- */

/* All that lies before is on the disk. */
static uint64_t find_held(const struct rendition *rendition)
{
	const struct fanout_disk *on_disk = &rendition->fanout->on_disk;
	const struct ring *ring = &rendition->ring;
	const struct segment *before;

	if (ring->session == on_disk->session)
		return on_disk->next_seq >= ring->next_seq
			       ? ring->end_pos
			       : cursor_find_seq(ring, on_disk->next_seq);
	/* The sequence has begun anew since, or here it has not yet. */
	before = ring->sequence_index ? ring_find_segment(ring, ring->sequence_index - 1) : NULL;
	if (before && before->session == on_disk->session && on_disk->next_seq >= before->next_seq)
		return before->start_pos + before->length;
	return 0;
}

bool rendition_update_held(struct rendition *rendition)
{
	uint64_t held_from;

	if (!rendition->fanout->waits_for_disk)
		return true;
	held_from = find_held(rendition);
	if (held_from <= rendition->held_from)
		return false;
	rendition->held_from = held_from;
	return true;
}

uint64_t rendition_held_bytes(const struct rendition *rendition)
{
	uint64_t from = u64_max(rendition->held_from, rendition->ring.start_pos);

	return from < rendition->ring.end_pos ? rendition->ring.end_pos - from : 0;
}

uint64_t rendition_join_live(const struct rendition *rendition, struct cursor *cursor)
{
	const struct ring *ring = &rendition->ring;

	cursor_join_live(cursor, ring);
	/* Where nothing is known yet, as after a crash, it begins with what comes next. */
	if (!rendition_held_bytes(rendition) || !rendition->fanout->on_disk.session)
		return ring->next_seq;
	cursor_leave(cursor);
	return cursor_join_position(cursor, ring, rendition->held_from) ? cursor_unread_seq(cursor)
									: ring->next_seq;
}

/* Half the ring stays for what is on the disk. */
static bool holds_too_much(const struct rendition *rendition)
{
	return rendition->fanout->waits_for_disk &&
	       rendition_held_bytes(rendition) > rendition->ring.params.max_bytes / 2;
}

/* ---- what must stay ---- */

static uint64_t index_needed(const struct subscriber *subscriber)
{
	return subscriber->cursor.segment ? subscriber->cursor.segment->index
					  : subscriber->cursor.next_index;
}

static uint64_t oldest_index_needed(struct list *list, uint64_t oldest)
{
	struct list_node *node;

	list_for_each (list, node) {
		const struct subscriber *subscriber = list_entry(node, struct subscriber, node);

		if (subscriber->on_slow == ON_SLOW_WAIT && !subscriber->replay)
			oldest = u64_min(oldest, index_needed(subscriber));
	}
	return oldest;
}

/* Where what is held begins. */
static uint64_t held_index(const struct rendition *rendition)
{
	const struct ring *ring = &rendition->ring;
	uint64_t index = ring_first_index(ring);
	struct cursor cursor;

	if (!rendition_held_bytes(rendition))
		return UINT64_MAX;
	if (cursor_join_position(&cursor, ring, rendition->held_from) && cursor.segment)
		index = cursor.segment->index;
	cursor_leave(&cursor);
	return index;
}

void rendition_trim(struct rendition *rendition)
{
	uint64_t keep = UINT64_MAX;

	if (ring_is_over_full(&rendition->ring)) {
		keep = oldest_index_needed(&rendition->blocked, keep);
		keep = oldest_index_needed(&rendition->ready, keep);
		keep = u64_min(keep, held_index(rendition));
		keep = u64_min(keep, rendition->kept_from);
	}
	ring_trim(&rendition->ring, keep);
}

void rendition_keep_unread(struct rendition *rendition, const struct subscriber *subscriber)
{
	rendition->kept_from = subscriber ? index_needed(subscriber) : 0;
	rendition->kept_ms = clock_mono_ns() / NS_PER_MS;
}

void rendition_note_appended(struct rendition *rendition)
{
	bool has_more = rendition_update_held(rendition);

	rendition_trim(rendition);
	/* Whoever records it gets it before it is on the disk. */
	if (has_more || rendition->is_recorded)
		subscriber_wake_all(rendition);
}

bool fanout_must_wait(const struct fanout *fanout)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node) {
		if (ring_is_over_full(&rendition_of(node)->ring) ||
		    holds_too_much(rendition_of(node)))
			return true;
	}
	return false;
}

void rendition_release(struct rendition *rendition)
{
	rendition->kept_from = UINT64_MAX;
	fanout_check_wait(rendition->fanout);
}

void fanout_look_for_end_of_wait(struct fanout *fanout)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node)
		rendition_trim(rendition_of(node));
	if (fanout_must_wait(fanout))
		return;
	fanout->is_waiting = false;
	fanout->events.on_ready(fanout->events.owner);
}
