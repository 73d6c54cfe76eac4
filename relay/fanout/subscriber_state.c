// SPDX-License-Identifier: MIT
/*
 * The state of a subscriber: it is changed in this file and nowhere else.  Whoever waits for a
 * packet is made ready together with all others, since that is done for each packet.
 */
#include "fanout/fanout_parts.h"

static struct list *list_of(const struct subscriber *subscriber)
{
	struct rendition *rendition = subscriber->rendition;

	switch (subscriber->state) {
	case SUBSCRIBER_JOINING:
		return &rendition->joining;
	case SUBSCRIBER_IDLE:
		return subscriber->is_resting ? &rendition->resting : &rendition->idle;
	case SUBSCRIBER_READY:
		return &rendition->ready;
	case SUBSCRIBER_BLOCKED:
		return &rendition->blocked;
	case SUBSCRIBER_CLOSED:
		break;
	}
	return &rendition->fanout->reap;
}

void subscriber_set_state(struct subscriber *subscriber, enum subscriber_state state)
{
	struct ev_loop *loop = subscriber->rendition->fanout->loop;

	if (subscriber->state == state && list_is_linked(&subscriber->node))
		return;
	if (state == SUBSCRIBER_BLOCKED)
		ev_io_start(loop, &subscriber->write_watcher);
	else if (subscriber->state == SUBSCRIBER_BLOCKED)
		ev_io_stop(loop, &subscriber->write_watcher);
	list_remove(&subscriber->node);
	subscriber->state = state;
	list_append(list_of(subscriber), &subscriber->node);
	if (state == SUBSCRIBER_CLOSED)
		fanout_end_turn(subscriber->rendition->fanout);
}

void subscriber_wake_all(struct rendition *rendition)
{
	struct list_node *node;

	list_for_each (&rendition->idle, node)
		list_entry(node, struct subscriber, node)->state = SUBSCRIBER_READY;
	list_splice(&rendition->ready, &rendition->idle);
}
