// SPDX-License-Identifier: MIT
/* Renditions: made and freed; what of their past must stay, and whether that makes a feed wait. */
#include "fanout/rendition.h"

#include <stdlib.h>

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
	list_init(&rendition->joining);
	list_init(&rendition->idle);
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

void rendition_trim(struct rendition *rendition)
{
	uint64_t keep = UINT64_MAX;

	if (ring_is_over_full(&rendition->ring)) {
		keep = oldest_index_needed(&rendition->blocked, keep);
		keep = oldest_index_needed(&rendition->ready, keep);
	}
	ring_trim(&rendition->ring, keep);
}

bool fanout_must_wait(const struct fanout *fanout)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node) {
		if (ring_is_over_full(&rendition_of(node)->ring))
			return true;
	}
	return false;
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
