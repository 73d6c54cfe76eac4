// SPDX-License-Identifier: MIT
/* A fan-out as a whole: made and stopped, its renditions, and what is done to all subscribers. */
#include "fanout/fanout.h"

#include "base/compiler.h"
#include "fanout/fanout_parts.h"
#include "fanout/subscriber_kept.h"

void fanout_init(struct fanout *fanout, struct ev_loop *loop, const char *name,
		 const struct fanout_params *params, const struct fanout_events *events,
		 struct pipe_set *pipes, struct metrics *metrics)
{
	*fanout = (struct fanout){
		.loop = loop,
		.name = name,
		.params = params,
		.events = *events,
		.pipes = pipes,
		.metrics = metrics,
	};
	list_init(&fanout->renditions);
	list_init(&fanout->half_closed);
	list_init(&fanout->until);
	list_init(&fanout->replaying);
	list_init(&fanout->reap);
	fanout_init_pass(fanout);
	fanout_init_turn_end(fanout);
}

void fanout_stop(struct fanout *fanout)
{
	ev_prepare_stop(fanout->loop, &fanout->turn_end);
	ev_idle_stop(fanout->loop, &fanout->turn_watcher);
	fanout_free_closed(fanout);
}

/* ---- subscribers ---- */

static struct subscriber *first_of(struct list *list)
{
	struct list_node *node = list_first(list);

	return node ? list_entry(node, struct subscriber, node) : NULL;
}

static void close_subscribers(struct rendition *rendition, enum close_reason reason)
{
	struct list *const lists[] = RENDITION_LISTS(rendition);
	struct subscriber *subscriber;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		while ((subscriber = first_of(lists[i])))
			subscriber_close(subscriber, reason);
	}
}

void fanout_clear_rendition(struct rendition *rendition, enum close_reason reason)
{
	close_subscribers(rendition, reason);
	/* The closed subscribers refer to it. */
	fanout_free_closed(rendition->fanout);
	ring_clear(&rendition->ring);
}

void fanout_close_all(struct fanout *fanout, enum close_reason reason)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node)
		close_subscribers(rendition_of(node), reason);
}

static int capture_farewells(const struct rendition *rendition, enum close_reason reason,
			     struct farewells *ret)
{
	const struct list *lists[] = RENDITION_LISTS(rendition);
	struct list_node *node;
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		list_for_each (lists[i], node) {
			if (r == 0)
				r = subscriber_capture_farewell(
					list_entry(node, struct subscriber, node), reason, ret);
		}
	}
	return r;
}

int fanout_capture_farewells(const struct fanout *fanout, enum close_reason reason,
			     struct farewells *ret)
{
	struct list_node *node;
	int r = 0;

	list_for_each (&fanout->renditions, node) {
		if (r == 0)
			r = capture_farewells(rendition_of(node), reason, ret);
	}
	return r;
}

void fanout_lose(struct rendition *rendition)
{
	close_subscribers(rendition, CLOSE_NO_MEMORY);
	/* Who joins in the past would not see that something is missing there. */
	ring_clear(&rendition->ring);
}

void fanout_lose_all(struct fanout *fanout)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node)
		fanout_lose(rendition_of(node));
}

static void finish_list(struct list *list, enum close_reason reason)
{
	struct list_node *node, *next;

	list_for_each_safe (list, node, next)
		subscriber_finish(list_entry(node, struct subscriber, node), reason);
}

void fanout_finish_all(struct fanout *fanout, enum close_reason reason)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node) {
		struct rendition *rendition = rendition_of(node);

		finish_list(&rendition->blocked, reason);
		finish_list(&rendition->ready, reason);
		finish_list(&rendition->idle, reason);
		finish_list(&rendition->resting, reason);
		finish_list(&rendition->joining, reason);
	}
}

void fanout_begin_joining(struct fanout *fanout)
{
	struct list_node *node;
	struct subscriber *subscriber;

	list_for_each (&fanout->renditions, node) {
		while ((subscriber = first_of(&rendition_of(node)->joining)))
			subscriber_begin(subscriber);
	}
}

static struct subscriber *find_in(const struct list *list, uint64_t id)
{
	struct list_node *node;

	list_for_each (list, node) {
		struct subscriber *subscriber = list_entry(node, struct subscriber, node);

		if (subscriber->id == id)
			return subscriber;
	}
	return NULL;
}

struct subscriber *fanout_find_subscriber(const struct fanout *fanout, uint64_t id)
{
	struct subscriber *found = NULL;
	struct list_node *node;

	list_for_each (&fanout->renditions, node) {
		const struct rendition *rendition = rendition_of(node);
		const struct list *lists[] = RENDITION_LISTS(rendition);

		for (size_t i = 0; i < ARRAY_LEN(lists) && !found; i++)
			found = find_in(lists[i], id);
	}
	return found;
}

static uint64_t delivered_by(const struct list *list)
{
	struct list_node *node;
	uint64_t messages = 0;

	list_for_each (list, node)
		messages +=
			subscriber_delivered_messages(list_entry(node, struct subscriber, node));
	return messages;
}

void fanout_add_metrics(const struct fanout *fanout, struct metrics *ret)
{
	struct list_node *node;

	ret->subscribers_replaying += list_length(&fanout->replaying);
	ret->subscribers_to_go += fanout_left_to_drain(fanout);
	list_for_each (&fanout->renditions, node) {
		struct rendition *rendition = rendition_of(node);

		ret->ring_bytes += rendition->ring.end_pos - rendition->ring.start_pos;
		ret->held_bytes += rendition_held_bytes(rendition);
		ret->ring_memory += rendition->ring.cost;
		ret->ring_pipes += rendition->ring.pipe_count;
		ret->pipes_to_blocks += rendition->ring.blocks_made;
		ret->subscribers_blocked += list_length(&rendition->blocked);
		ret->delivered_messages += delivered_by(&rendition->idle) +
					   delivered_by(&rendition->ready) +
					   delivered_by(&rendition->blocked);
	}
}
