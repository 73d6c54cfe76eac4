// SPDX-License-Identifier: MIT
/* The branch's end of a crossing: taking what arrives, sleeping, and sending back what is used up.
 */
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "feed/crossing_item.h"
#include "feed/feed_kept.h"
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
	crossing_hand_on(crossing, &branch->pipes.pool, item);
	item->delivered_bytes = branch->fanout.pass.delivered_bytes;
	item->spent_ns = branch->fanout.pass.spent_ns;
	memcpy(item->refused, branch->pipes.refused, sizeof(item->refused));
	if (spsc_push(&crossing->back, item))
		return;
	crossing_adopt(crossing, &branch->pipes.pool, item);
	chain_drop(&branch->pipes, &item->chain);
	crossing_item_free(item);
}

static void ask(struct crossing *crossing, bool is_wanted)
{
	crossing->state = is_wanted ? BRANCH_WAKING : BRANCH_LEAVING;
	feed_record_note_state(crossing->branch);
	atomic_store(&crossing->is_wanted, is_wanted);
	ev_async_send(crossing->home->loop, &crossing->returned);
}

static void receive_packet(struct feed *branch, struct crossing_item *item)
{
	struct payload payload = {.engine = item->engine};
	bool was_up = branch->is_source_up;

	branch->is_source_up = item->is_source_up;
	if (item->chain.count) {
		payload.kind = PAYLOAD_PIPES;
		payload.pipes = item->chain.pipes;
		payload.count = item->chain.count;
		payload.last_bytes = item->last_bytes;
		crossing_adopt(branch->from, &branch->pipes.pool, item);
	} else if (item->block) {
		payload.kind = PAYLOAD_COPY;
		payload.bytes = item->block->bytes;
	}
	publish(branch, &item->packet, item->packet.type == PACKET_DATA ? &payload : NULL);
	for (size_t i = 0; i < item->chain.count; i++)
		pipe_pool_put_drained(&branch->pipes.pool, &item->chain.pipes[i]);
	if (was_up && !branch->is_source_up)
		feed_close_for_lost_source(branch);
}

static void receive(struct crossing *crossing, struct crossing_item *item)
{
	struct feed *branch = crossing->branch;

	switch (item->kind) {
	case CROSSING_PACKET:
		receive_packet(branch, item);
		break;
	case CROSSING_WAKE:
		crossing->state = BRANCH_AWAKE;
		branch->is_source_up = item->is_source_up;
		number_set(branch, item->packet.session, item->packet.first_seq);
		feed_wake(branch);
		break;
	case CROSSING_SEQUENCE:
		number_set(branch, item->packet.session, item->packet.first_seq);
		break;
	case CROSSING_SLEEP:
		crossing->state = BRANCH_ASLEEP;
		if (!feed_sleep(branch))
			ask(crossing, true);
		break;
	case CROSSING_DRAIN:
		feed_drain(branch);
		break;
	case CROSSING_LOSS:
		fanout_close_all(&branch->fanout, CLOSE_NO_MEMORY);
		number_set(branch, item->packet.session, item->packet.first_seq);
		break;
	}
}

static struct crossing_item *pop(struct crossing *crossing)
{
	struct crossing_item *item = spsc_pop(&crossing->there);

	if (!item)
		return NULL;
	atomic_fetch_sub(&crossing->bytes_under_way, (size_t)item->packet.length);
	if (atomic_exchange(&crossing->is_home_waiting, false))
		ev_async_send(crossing->home->loop, &crossing->returned);
	return item;
}

void crossing_take(struct feed *branch)
{
	struct crossing *crossing = branch->from;
	uint64_t start_ns = clock_mono_ns();
	uint64_t now_ns = start_ns;
	struct crossing_item *item;

	while (feed_can_take(branch) && (item = pop(crossing))) {
		send_back(crossing);
		crossing->current = item;
		fanout_reset_cost(&branch->fanout);
		receive(crossing, item);
		feed_serve_packet(branch, now_ns);
		now_ns = clock_mono_ns();
		if (now_ns - start_ns > branch->params.fanout.turn_budget_ns) {
			ev_async_send(branch->loop, &crossing->arrived);
			return;
		}
	}
}

void crossing_take_all(struct feed *branch)
{
	struct crossing *crossing = branch->from;
	struct crossing_item *item;

	while ((item = pop(crossing))) {
		send_back(crossing);
		crossing->current = item;
		receive(crossing, item);
	}
	send_back(crossing);
	fanout_continue_pass(
		&branch->fanout); /* if all stays as it is, whoever is ready is served */
}

void crossing_wake_resumed(struct feed *branch)
{
	struct crossing *crossing = branch->from;

	crossing->state = BRANCH_AWAKE;
	crossing->lonely_ms = clock_mono_ns() / NS_PER_MS;
	atomic_store(&crossing->is_resumed, true);
	feed_wake(branch);
}

void crossing_on_arrived(struct ev_loop *loop, ev_async *watcher, int events)
{
	struct crossing *crossing = container_of(watcher, struct crossing, arrived);

	(void)loop;
	(void)events;
	crossing_take(crossing->branch);
}

bool crossing_is_awake(const struct feed *branch)
{
	return !branch->from || branch->from->state == BRANCH_AWAKE;
}

void crossing_wake(struct feed *branch)
{
	if (branch->from && branch->from->state == BRANCH_ASLEEP)
		ask(branch->from, true);
}

void crossing_tick_branch(struct feed *branch, uint64_t now_ms)
{
	struct crossing *crossing = branch->from;

	if (branch->metrics.subscribers || branch->keeps_history)
		crossing->lonely_ms = now_ms;
	else if (crossing->state == BRANCH_AWAKE && now_ms - crossing->lonely_ms >= SLEEP_AFTER_MS)
		ask(crossing, false);
}

void crossing_attach_branch(struct crossing *crossing)
{
	struct feed *branch = crossing->branch;

	branch->from = crossing;
	ev_async_start(branch->loop, &crossing->arrived);
	ev_unref(branch->loop); /* does not keep the loop alive */
}

void crossing_detach_branch(struct crossing *crossing)
{
	struct feed *branch = crossing->branch;

	ev_ref(branch->loop);
	ev_async_stop(branch->loop, &crossing->arrived);
	send_back(crossing);
}
