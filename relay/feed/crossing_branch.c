// SPDX-License-Identifier: MIT
/* A branch takes what arrives, sends back what is used up, and sleeps. */
#include "feed/crossing_branch.h"

#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "feed/crossing.h"
#include "feed/crossing_item.h"
#include "feed/feed.h"
#include "feed/number.h"
#include "feed/publish.h"

enum {
	SLEEP_AFTER_MS = 5000
};

/* Sends the item back with empty pipes in place of those that came with it. */
static void send_back(struct crossing *crossing)
{
	struct crossing_item *item = crossing->current;
	struct feed *branch = crossing->branch;
	size_t wanted;

	crossing->current = NULL;
	if (!item)
		return;
	crossing_block_unref(&item->block);
	wanted = item->chain.count;
	item->chain.count = 0;
	while (item->chain.count < wanted && branch->pipes.pool.idle_count > 0 &&
	       pipe_pool_get(&branch->pipes.pool, &item->chain.pipes[item->chain.count]) == 0)
		item->chain.count++;
	crossing_hand_on(crossing, &branch->pipes.pool, item->chain.count);
	item->delivered_bytes = branch->fanout.pass.delivered_bytes;
	item->spent_ns = branch->fanout.pass.spent_ns;
	memcpy(item->refused, branch->pipes.refused, sizeof(item->refused));
	if (spsc_push(&crossing->back, item))
		return;
	crossing_adopt(crossing, &branch->pipes.pool, item->chain.count);
	chain_drop(&branch->pipes, &item->chain);
	crossing_item_free(item);
}

/* The only place that changes it.  What the branch knows of the sequence is set before. */
static void set_state(struct crossing *crossing, enum branch_state state)
{
	crossing->state = state;
	publish_set_awake(&crossing->branch->publish, state == BRANCH_AWAKE);
}

static void ask(struct crossing *crossing, bool is_wanted)
{
	set_state(crossing, is_wanted ? BRANCH_WAKING : BRANCH_LEAVING);
	atomic_store(&crossing->is_wanted, is_wanted);
	crossing_ring(&crossing->returned);
}

static void receive_packet(struct crossing *crossing, struct crossing_item *item)
{
	struct feed *branch = crossing->branch;
	struct publish *publish = &branch->publish;
	bool was_up = publish->sequence.is_source_up;
	struct payload payload;

	publish_set_source(publish, item->is_source_up);
	crossing_take_payload(crossing, item, &branch->pipes.pool, &payload);
	publish_packet(publish, &item->packet, item->packet.type == PACKET_DATA ? &payload : NULL);
	for (size_t i = 0; i < item->chain.count; i++)
		pipe_pool_put_drained(&branch->pipes.pool, &item->chain.pipes[i]);
	if (was_up && !item->is_source_up)
		feed_close_for_lost_source(branch);
}

static void set_sequence(struct crossing *crossing, const struct crossing_item *item)
{
	number_set(&crossing->branch->publish, item->packet.session, item->packet.first_seq);
}

static void receive(struct crossing *crossing, struct crossing_item *item)
{
	struct feed *branch = crossing->branch;

	switch (item->kind) {
	case CROSSING_PACKET:
		receive_packet(crossing, item);
		break;
	case CROSSING_WAKE:
		publish_set_source(&branch->publish, item->is_source_up);
		set_sequence(crossing, item);
		set_state(crossing, BRANCH_AWAKE);
		feed_wake(branch);
		break;
	case CROSSING_SEQUENCE:
		set_sequence(crossing, item);
		break;
	case CROSSING_SLEEP:
		set_state(crossing, BRANCH_ASLEEP);
		if (!feed_sleep(branch))
			ask(crossing, true);
		break;
	case CROSSING_DRAIN:
		feed_drain(branch);
		break;
	case CROSSING_LOSS:
		fanout_lose_all(&branch->fanout);
		set_sequence(crossing, item);
		break;
	}
}

/* For one turn at most. */
static void take(void *owner)
{
	struct crossing *crossing = owner;
	struct feed *branch = crossing->branch;
	uint64_t start_ns = clock_mono_ns();
	uint64_t now_ns = start_ns;
	struct crossing_item *item;

	while (feed_can_take(branch) && (item = crossing_pop(crossing))) {
		send_back(crossing);
		crossing->current = item;
		fanout_reset_cost(&branch->fanout);
		receive(crossing, item);
		feed_serve_packet(branch, now_ns);
		now_ns = clock_mono_ns();
		if (now_ns - start_ns > branch->params.fanout.turn_budget_ns) {
			crossing_ring(&crossing->arrived);
			return;
		}
	}
}

void crossing_take_all(struct crossing *crossing)
{
	struct crossing_item *item;

	while ((item = crossing_pop(crossing))) {
		send_back(crossing);
		crossing->current = item;
		receive(crossing, item);
	}
	send_back(crossing);
	/* If all stays as it is, whoever is ready is served. */
	fanout_continue_pass(&crossing->branch->fanout);
}

void crossing_wake_resumed(struct crossing *crossing)
{
	set_state(crossing, BRANCH_AWAKE);
	crossing->lonely_ms = clock_mono_ns() / NS_PER_MS;
	atomic_store(&crossing->is_resumed, true);
	feed_wake(crossing->branch);
}

/* ---- driven by the feed ---- */

static void on_arrived(struct task *task)
{
	struct crossing *crossing = container_of(task, struct crossing, arrived.task);

	crossing_hear(&crossing->arrived);
	if (crossing->is_attached)
		take(crossing);
}

static void on_wanted(void *owner)
{
	struct crossing *crossing = owner;

	if (crossing->state == BRANCH_ASLEEP)
		ask(crossing, true);
}

static void on_count(void *owner)
{
	struct crossing *crossing = owner;

	atomic_store(&crossing->subscribers, crossing->branch->metrics.subscribers);
}

static void on_tick(void *owner, uint64_t now_ms)
{
	struct crossing *crossing = owner;
	const struct feed *branch = crossing->branch;

	if (feed_is_wanted(branch))
		crossing->lonely_ms = now_ms;
	else if (crossing->state == BRANCH_AWAKE && now_ms - crossing->lonely_ms >= SLEEP_AFTER_MS)
		ask(crossing, false);
}

static void catch_up(void *owner)
{
	const struct crossing *crossing = owner;
	uint64_t before;

	do {
		before = crossing->branch->publish.sequence.next_seq;
		take(owner);
	} while (crossing->branch->publish.sequence.next_seq != before);
}

void crossing_take_rest(struct crossing *crossing)
{
	if (!crossing)
		return;
	catch_up(crossing);
	crossing_take_all(crossing);
}

void crossing_attach_branch(struct crossing *crossing)
{
	const struct feed_events events = {
		.owner = crossing,
		.on_ready = take,
		.on_wanted = on_wanted,
		.on_count = on_count,
		.on_tick = on_tick,
		.catch_up = catch_up,
	};

	crossing->branch->events = events;
	crossing->arrived.task.run = on_arrived;
	crossing->is_attached = true;
}

void crossing_detach_branch(struct crossing *crossing)
{
	if (!crossing->is_attached)
		return;
	crossing->is_attached = false;
	crossing->branch->events = (struct feed_events){0};
	send_back(crossing);
}
