// SPDX-License-Identifier: MIT
/*
 * Crossings: made and unmade, and whose the pipes are that are under way.
 *
 * Pipes change pools on the way.  They leave home's for good and are adopted by the branch's, which
 * sends empty ones back: as many as it got, when it has them.  Both pools are of one feed, so no
 * pipe ever meets another feed's bytes.
 */
#include "feed/crossing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
