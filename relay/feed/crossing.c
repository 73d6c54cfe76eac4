// SPDX-License-Identifier: MIT
/*
 * Crossings: made and unmade, and whose the pipes are that are under way.
 *
 * Pipes change pools on the way.  They leave home's for good and are adopted by the branch's, which
 * sends empty ones back: as many as it got, when it has them.  Both pools are of one feed, so no
 * pipe ever meets another feed's bytes.  A combination of feeds sends none back.
 */
#include "feed/crossing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "feed/crossing_item.h"
#include "pipe/pipe_pool.h"

enum {
	QUEUE_ITEMS = 256
};

void crossing_hand_on(struct crossing *crossing, struct pipe_pool *pool, size_t count)
{
	atomic_fetch_add(&crossing->pipes_under_way, (unsigned)count);
	pipe_pool_hand_on(pool, (unsigned)count);
}

void crossing_adopt(struct crossing *crossing, struct pipe_pool *pool, size_t count)
{
	atomic_fetch_sub(&crossing->pipes_under_way, (unsigned)count);
	pipe_pool_adopt(pool, (unsigned)count);
}

void crossing_ring(struct crossing_bell *bell)
{
	if (!atomic_exchange(&bell->is_rung, true))
		inbox_post(bell->inbox, &bell->task);
}

void crossing_hear(struct crossing_bell *bell)
{
	atomic_store(&bell->is_rung, false);
}

struct crossing_item *crossing_pop(struct crossing *crossing)
{
	struct crossing_item *item = spsc_pop(&crossing->there);

	if (!item)
		return NULL;
	atomic_fetch_sub(&crossing->bytes_under_way, (size_t)item->packet.length);
	if (atomic_exchange(&crossing->is_home_waiting, false))
		crossing_ring(&crossing->returned);
	return item;
}

void crossing_take_payload(struct crossing *crossing, struct crossing_item *item,
			   struct pipe_pool *pool, struct payload *ret)
{
	*ret = (struct payload){.engine = item->engine};
	if (item->chain.count) {
		ret->kind = PAYLOAD_PIPES;
		ret->pipes = item->chain.pipes;
		ret->count = item->chain.count;
		ret->last_bytes = item->last_bytes;
		crossing_adopt(crossing, pool, item->chain.count);
	} else if (item->block) {
		ret->kind = PAYLOAD_COPY;
		ret->bytes = item->block->bytes;
	}
}

/* Nobody is attached yet, and whoever comes looks by himself. */
static void hear_nothing(struct task *task)
{
	crossing_hear(container_of(task, struct crossing_bell, task));
}

int crossing_new(struct crossings *home, struct inbox *home_inbox, struct feed *branch,
		 struct inbox *branch_inbox, struct crossing **ret)
{
	/* Its members ask for lines of their own. */
	struct crossing *crossing = aligned_alloc(_Alignof(struct crossing), sizeof(*crossing));

	if (!crossing)
		return -ENOMEM;
	memset(crossing, 0, sizeof(*crossing));
	crossing->home = home;
	crossing->branch = branch;
	list_node_init(&crossing->node);
	crossing->returned.inbox = home_inbox;
	crossing->returned.task.run = hear_nothing;
	crossing->arrived.inbox = branch_inbox;
	crossing->arrived.task.run = hear_nothing;
	if (spsc_init(&crossing->there, QUEUE_ITEMS) < 0 ||
	    spsc_init(&crossing->back, 2 * QUEUE_ITEMS) < 0) {
		spsc_fini(&crossing->there);
		spsc_fini(&crossing->back);
		free(crossing);
		return -ENOMEM;
	}
	*ret = crossing;
	return 0;
}

void crossing_free(struct crossing **crossing_ptr)
{
	struct crossing *crossing = *crossing_ptr;
	struct crossing_item *item;

	*crossing_ptr = NULL;
	if (!crossing)
		return;
	while ((item = spsc_pop(&crossing->there)))
		crossing_item_free(item);
	while ((item = spsc_pop(&crossing->back)))
		crossing_item_free(item);
	spsc_fini(&crossing->there);
	spsc_fini(&crossing->back);
	free(crossing);
}
