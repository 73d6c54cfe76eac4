// SPDX-License-Identifier: MIT
/*
 * Crossings: made and unmade, and what travels in them.  The ends are crossing_home.c and
 * crossing_branch.c.
 *
 * Pipes change pools on the way: they leave home's for good and are adopted by the branch's, which
 * sends empty ones back, as many as it got when it has them.  Both pools are of one feed, so no
 * pipe ever meets another feed's bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "feed/crossing_item.h"

enum {
	QUEUE_ITEMS = 256
};

void crossing_block_unref(struct shared_block **block)
{
	if (*block && atomic_fetch_sub(&(*block)->refs, 1) == 1)
		free(*block);
	*block = NULL;
}

void crossing_item_free(struct crossing_item *item)
{
	if (!item)
		return;
	crossing_block_unref(&item->block);
	while (item->chain.count)
		pipe_close(&item->chain.pipes[--item->chain.count]);
	free(item);
}

void crossing_hand_on(struct crossing *crossing, struct pipe_pool *pool,
		      const struct crossing_item *item)
{
	atomic_fetch_add(&crossing->pipes_under_way, (unsigned)item->chain.count);
	pipe_pool_hand_on(pool, (unsigned)item->chain.count);
}

void crossing_adopt(struct crossing *crossing, struct pipe_pool *pool,
		    const struct crossing_item *item)
{
	atomic_fetch_sub(&crossing->pipes_under_way, (unsigned)item->chain.count);
	pipe_pool_adopt(pool, (unsigned)item->chain.count);
}

int crossing_new(struct crossings *home, struct ev_loop *home_loop, struct feed *branch,
		 struct ev_loop *branch_loop, struct crossing **ret)
{
	/* Its members ask for lines of their own. */
	struct crossing *crossing = aligned_alloc(_Alignof(struct crossing), sizeof(*crossing));

	if (!crossing)
		return -ENOMEM;
	memset(crossing, 0, sizeof(*crossing));
	crossing->home = home;
	crossing->branch = branch;
	crossing->home_loop = home_loop;
	crossing->branch_loop = branch_loop;
	list_node_init(&crossing->node);
	/* Sent to before they are started, if the branch asks before home is there. */
	ev_async_init(&crossing->returned, NULL);
	ev_async_init(&crossing->arrived, NULL);
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
