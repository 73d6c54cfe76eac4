// SPDX-License-Identifier: MIT
/*
 * Renditions: made when the first listener offers the format, so that there is a burst to give, and
 * dropped with the last one.
 */
#include "fanout/rendition.h"

#include <stdlib.h>

#include "base/compiler.h"
#include "feed/feed.h"
#include "feed/feed_kept.h"

struct rendition *feed_open_rendition(struct feed *feed, const struct encoder *encoder)
{
	const struct ring_params ring = {
		.max_bytes = feed->params.ring_bytes,
		.max_pipes =
			rendition_max_pipes(feed->params.ring_bytes, feed->params.segment_bytes),
	};
	const struct packet probe = {.type = PACKET_DATA, .length = 1};
	uint8_t header[ENCODER_HEADER_MAX];
	struct rendition *rendition;
	struct list_node *node;

	list_for_each (&feed->renditions, node) {
		rendition = rendition_of(node);
		if (rendition->encoder == encoder) {
			rendition->listeners++;
			return rendition;
		}
	}
	rendition = calloc(1, sizeof(*rendition));
	if (!rendition)
		return NULL;
	rendition->feed = feed;
	rendition->encoder = encoder;
	rendition->listeners = 1;
	ring_init(&rendition->ring, &ring);
	rendition->ring.next_seq = feed->next_seq;
	feed_record_open_rendition(rendition);
	list_init(&rendition->joining);
	list_init(&rendition->idle);
	list_init(&rendition->ready);
	list_init(&rendition->blocked);
	/* A format that adds nothing comes last: it can have the ingest pipe itself. */
	if (encoder->rewrite || encoder->trailer || encoder->header(encoder, &probe, header))
		list_prepend(&feed->renditions, &rendition->node);
	else
		list_append(&feed->renditions, &rendition->node);
	return rendition;
}

static struct subscriber *first_of(struct list *list)
{
	struct list_node *node = list_first(list);

	return node ? list_entry(node, struct subscriber, node) : NULL;
}

void feed_close_subscribers(struct rendition *rendition, enum close_reason reason)
{
	struct list *const lists[] = {&rendition->joining, &rendition->idle, &rendition->ready,
				      &rendition->blocked};
	struct subscriber *subscriber;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		while ((subscriber = first_of(lists[i])))
			subscriber_close(subscriber, reason);
	}
}

void feed_close_all(struct feed *feed, enum close_reason reason)
{
	struct list_node *node;

	list_for_each (&feed->renditions, node)
		feed_close_subscribers(rendition_of(node), reason);
}

void feed_free_rendition(struct rendition *rendition, enum close_reason reason)
{
	feed_close_subscribers(rendition, reason);
	ring_clear(&rendition->ring);
	feed_record_close_rendition(rendition);
	list_remove(&rendition->node);
	free(rendition);
}

void feed_close_rendition(struct rendition **rendition)
{
	struct feed *feed = (*rendition)->feed;

	if (--(*rendition)->listeners == 0) {
		/* The closed subscribers refer to it: free them before. */
		feed_close_subscribers(*rendition, CLOSE_REMOVED);
		feed_free_closed(feed);
		feed_free_rendition(*rendition, CLOSE_REMOVED);
	}
	*rendition = NULL;
}

void rendition_range(const struct rendition *rendition, uint64_t *ret_oldest, uint64_t *ret_next)
{
	*ret_oldest = cursor_oldest_seq(&rendition->ring);
	*ret_next = rendition->ring.next_seq;
}
