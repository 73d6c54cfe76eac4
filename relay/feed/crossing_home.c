// SPDX-License-Identifier: MIT
/* Home's end of its crossings: sending, answering branches that ask, and holding the ingest. */
#include "feed/crossing_home.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "fanout/fanout.h"
#include "feed/chain.h"
#include "feed/crossing.h"
#include "feed/crossing_item.h"

enum {
	HOLD_ITEMS = 64,   /* home takes nothing in; the rest of the queue is for news */
	HOLD_SEGMENTS = 2, /* the same, in bytes under way */
};

static struct crossing *crossing_of(struct list_node *node)
{
	return list_entry(node, struct crossing, node);
}

static struct crossing_item *new_item(const struct crossings *home, enum crossing_kind kind)
{
	struct crossing_item *item = calloc(1, sizeof(*item));

	if (!item)
		return NULL;
	item->kind = kind;
	item->is_source_up = home->sequence->is_source_up;
	item->engine = home->engine;
	return item;
}

/* What has come back: pipes to use again, and the branches' share of the cost. */
static void collect(struct crossing *crossing)
{
	struct crossings *home = crossing->home;
	struct crossing_item *item;

	while ((item = spsc_pop(&crossing->back))) {
		crossing_adopt(crossing, &home->fanout->pipes->pool, item->chain.count);
		chain_drop(home->fanout->pipes, &item->chain);
		if (item->engine == home->engine) {
			home->fanout->pass.delivered_bytes += item->delivered_bytes;
			home->fanout->pass.spent_ns += item->spent_ns;
		}
		for (int i = 0; i < REFUSAL_COUNT; i++) {
			if (item->refused[i] && !home->fanout->pipes->refused[i])
				pipe_set_note_refusal(home->fanout->pipes, (enum refusal)i);
		}
		crossing_item_free(item);
	}
}

static bool push(struct crossing *crossing, struct crossing_item *item)
{
	size_t bytes = (size_t)item->packet.length;

	collect(crossing);
	atomic_fetch_add(&crossing->bytes_under_way, bytes);
	if (!spsc_push(&crossing->there, item)) {
		atomic_fetch_sub(&crossing->bytes_under_way, bytes);
		return false;
	}
	crossing_ring(&crossing->arrived);
	return true;
}

/* Pushes an item without payload.  What comes behind it begins there in the sequence. */
static bool tell_at(struct crossing *crossing, enum crossing_kind kind,
		    const struct sequence *sequence)
{
	struct crossing_item *item = new_item(crossing->home, kind);

	if (!item)
		return false;
	item->packet.session = sequence->session;
	item->packet.first_seq = sequence->next_seq;
	if (push(crossing, item))
		return true;
	free(item);
	return false;
}

static bool tell(struct crossing *crossing, enum crossing_kind kind)
{
	return tell_at(crossing, kind, crossing->home->sequence);
}

/* Before anything else: the branch would take what comes for what it misses. */
static void tell_loss(struct crossing *crossing, const struct sequence *sequence)
{
	if (crossing->has_lost)
		crossing->has_lost = !tell_at(crossing, CROSSING_LOSS, sequence);
}

static void lose(struct crossing *crossing)
{
	bool is_full = spsc_count(&crossing->there) > crossing->there.mask;

	if (!crossing->has_lost)
		log_error("%s feed=%s, a worker misses packets",
			  is_full ? "a worker stands still" : "out of memory",
			  crossing->home->fanout->name);
	crossing->has_lost = true;
	crossing->home->fanout->metrics->crossing_losses++;
}

/* Takes the item over. */
static void dispatch(struct crossing *crossing, struct crossing_item *item)
{
	struct crossings *home = crossing->home;
	/* Home's own is behind the packet by now. */
	const struct sequence sequence = {
		.session = item->packet.session,
		.next_seq = item->packet.first_seq,
	};

	tell_loss(crossing, &sequence);
	crossing_hand_on(crossing, &home->fanout->pipes->pool, item->chain.count);
	if (!crossing->has_lost && push(crossing, item)) {
		home->fanout->metrics->crossed_packets++;
		return;
	}
	lose(crossing);
	crossing_adopt(crossing, &home->fanout->pipes->pool, item->chain.count);
	chain_drop(home->fanout->pipes, &item->chain);
	crossing_item_free(item);
}

static void drop_pending(struct crossings *home)
{
	struct list_node *node;

	list_for_each (&home->list, node) {
		struct crossing *crossing = crossing_of(node);

		if (!crossing->pending)
			continue;
		chain_drop(home->fanout->pipes, &crossing->pending->chain);
		crossing_item_free(crossing->pending);
		crossing->pending = NULL;
	}
}

/* An item for each branch that is awake, in `pending`; filled by `fill`. */
static bool prepare(struct crossings *home, const struct packet *packet,
		    bool (*fill)(struct crossings *home, struct crossing_item *item, void *payload),
		    void *payload)
{
	struct list_node *node;

	list_for_each (&home->list, node) {
		struct crossing *crossing = crossing_of(node);

		if (!crossing->is_open)
			continue;
		crossing->pending = new_item(home, CROSSING_PACKET);
		if (crossing->pending)
			crossing->pending->packet = *packet;
		if (!crossing->pending || !fill(home, crossing->pending, payload)) {
			drop_pending(home);
			return false;
		}
	}
	return true;
}

static void send_pending(struct crossings *home)
{
	struct list_node *node;

	list_for_each (&home->list, node) {
		struct crossing *crossing = crossing_of(node);

		if (crossing->pending)
			dispatch(crossing, crossing->pending);
		crossing->pending = NULL;
	}
}

static bool fill_by_tee(struct crossings *home, struct crossing_item *item, void *payload)
{
	if (!chain_tee_payload(home->fanout->pipes, &item->chain, payload))
		return false;
	item->last_bytes = item->chain.pipes[item->chain.count - 1].held_bytes;
	return true;
}

static bool fill_by_block(struct crossings *home, struct crossing_item *item, void *payload)
{
	struct shared_block *block = payload;

	(void)home;
	if (block)
		atomic_fetch_add(&block->refs, 1);
	item->block = block;
	return true;
}

bool crossings_are_open(const struct crossings *home)
{
	struct list_node *node;

	list_for_each (&home->list, node) {
		if (crossing_of(node)->is_open)
			return true;
	}
	return false;
}

void crossings_send_copy(struct crossings *home, const struct packet *packet, const uint8_t *bytes)
{
	struct shared_block *block = NULL;

	if (!crossings_are_open(home))
		return;
	if (bytes) {
		block = malloc(sizeof(*block) + packet->length);
		if (!block) {
			crossings_lose(home);
			return;
		}
		atomic_init(&block->refs, 1);
		memcpy(block->bytes, bytes, packet->length);
	}
	if (prepare(home, packet, fill_by_block, block))
		send_pending(home);
	else
		crossings_lose(home);
	crossing_block_unref(&block);
}

bool crossings_send(struct crossings *home, const struct packet *packet, struct payload *payload)
{
	if (payload->kind == PAYLOAD_PIPES && prepare(home, packet, fill_by_tee, payload))
		send_pending(home);
	else if (payload->kind == PAYLOAD_COPY || payload->bytes)
		crossings_send_copy(home, packet, payload->bytes);
	else
		return false;
	return true;
}

void crossings_lose(struct crossings *home)
{
	struct list_node *node;

	list_for_each (&home->list, node) {
		if (crossing_of(node)->is_open)
			lose(crossing_of(node));
	}
}

void crossings_send_sequence(struct crossings *home)
{
	struct list_node *node;

	list_for_each (&home->list, node) {
		struct crossing *crossing = crossing_of(node);

		tell_loss(crossing, home->sequence);
		if (crossing->is_open && !tell(crossing, CROSSING_SEQUENCE))
			lose(crossing);
	}
}

void crossings_send_drain(struct crossings *home)
{
	struct list_node *node;

	home->is_draining = true;
	/* To those that sleep as well: somebody may be waiting there. */
	list_for_each (&home->list, node) {
		tell_loss(crossing_of(node), home->sequence);
		if (!tell(crossing_of(node), CROSSING_DRAIN))
			lose(crossing_of(node));
	}
}

static bool is_full(const struct crossing *crossing)
{
	return crossing->is_open &&
	       (spsc_count(&crossing->there) >= HOLD_ITEMS ||
		atomic_load(&crossing->bytes_under_way) >=
			HOLD_SEGMENTS * crossing->home->fanout->pipes->params.segment_bytes);
}

static bool must_hold(struct crossings *home)
{
	struct list_node *node;
	bool is_any_full = false;

	list_for_each (&home->list, node) {
		struct crossing *crossing = crossing_of(node);

		if (!is_full(crossing))
			continue;
		/* Told first and looked again, so that room made in between is not missed. */
		atomic_store(&crossing->is_home_waiting, true);
		is_any_full = is_any_full || is_full(crossing);
	}
	return is_any_full;
}

void crossings_hold(struct crossings *home)
{
	home->is_held = must_hold(home);
	home->fanout->metrics->crossing_holds += home->is_held;
}

/* A branch has made room, or has gone. */
static void look_for_end_of_hold(struct crossings *home)
{
	if (!home->is_held)
		return;
	home->is_held = must_hold(home);
	if (!home->is_held)
		home->on_room(home->owner);
}

uint64_t crossings_pipe_count(const struct crossings *home)
{
	struct list_node *node;
	uint64_t count = 0;

	list_for_each (&home->list, node)
		count += atomic_load(&crossing_of(node)->pipes_under_way);
	return count;
}

uint64_t crossings_subscriber_count(const struct crossings *home)
{
	struct list_node *node;
	uint64_t count = 0;

	list_for_each (&home->list, node)
		count += atomic_load(&crossing_of(node)->subscribers);
	return count;
}

static void answer(struct crossing *crossing)
{
	bool is_wanted = atomic_load(&crossing->is_wanted);

	if (is_wanted == crossing->is_open || crossing->home->is_draining)
		return;
	tell_loss(crossing, crossing->home->sequence);
	if (crossing->has_lost || !tell(crossing, is_wanted ? CROSSING_WAKE : CROSSING_SLEEP))
		return;
	crossing->is_open = is_wanted;
	if (is_wanted)
		pipe_set_open(crossing->home->fanout->pipes);
}

void crossings_answer(struct crossings *home)
{
	struct list_node *node;

	list_for_each (&home->list, node)
		answer(crossing_of(node));
}

void crossings_collect(struct crossings *home)
{
	struct list_node *node;

	list_for_each (&home->list, node)
		collect(crossing_of(node));
}

void crossings_tick(struct crossings *home)
{
	struct list_node *node;

	crossings_collect(home);
	list_for_each (&home->list, node)
		tell_loss(crossing_of(node), home->sequence);
	crossings_answer(home);
}

void crossings_resume(struct crossings *home)
{
	struct list_node *node;

	list_for_each (&home->list, node) {
		struct crossing *crossing = crossing_of(node);

		if (!atomic_load(&crossing->is_resumed))
			continue;
		atomic_store(&crossing->is_wanted, true);
		crossing->is_open = true;
		pipe_set_open(home->fanout->pipes);
	}
}

static void on_returned(struct task *task)
{
	struct crossing *crossing = container_of(task, struct crossing, returned.task);

	crossing_hear(&crossing->returned);
	if (!list_is_linked(&crossing->node)) /* detached */
		return;
	collect(crossing);
	answer(crossing);
	look_for_end_of_hold(crossing->home);
}

void crossings_init(struct crossings *home, struct fanout *fanout, const struct sequence *sequence,
		    void *owner, void (*on_room)(void *owner))
{
	*home = (struct crossings){
		.fanout = fanout,
		.sequence = sequence,
		.owner = owner,
		.on_room = on_room,
	};
	list_init(&home->list);
}

void crossing_attach_home(struct crossing *crossing)
{
	list_append(&crossing->home->list, &crossing->node);
	crossing->returned.task.run = on_returned;
	answer(crossing);
}

void crossing_detach_home(struct crossing *crossing)
{
	collect(crossing);
	list_remove(&crossing->node);
	look_for_end_of_hold(crossing->home);
}
