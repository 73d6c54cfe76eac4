// SPDX-License-Identifier: MIT
/*
 * Keeping empty pipes: opening one costs some 4 us and two descriptors, taking an idle one nothing.
 *
 * The last one in is the first one out: its slot array is the one most likely still in the cache.
 * Draining one that comes back with bytes may fail; closing it cannot.
 */
#include "pipe/pipe_pool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "pipe/pipe_io.h"

int pipe_pool_init(struct pipe_pool *pool, unsigned slots, unsigned max_open, unsigned max_idle)
{
	*pool = (struct pipe_pool){.null_fd = -1};
	if (max_idle > 0) {
		pool->idle = calloc(max_idle, sizeof(*pool->idle));
		if (!pool->idle)
			return -ENOMEM;
	}
	pool->slots = slots;
	pool->max_open = max_open;
	pool->max_idle = max_idle;
	return 0;
}

void pipe_pool_fini(struct pipe_pool *pool)
{
	assert(pool->open_count == pool->idle_count);
	pipe_pool_close_idle(pool);
	free(pool->idle);
	*pool = (struct pipe_pool){.null_fd = -1};
}

void pipe_pool_close_idle(struct pipe_pool *pool)
{
	pool->open_count -= pool->idle_count;
	while (pool->idle_count > 0)
		pipe_close(&pool->idle[--pool->idle_count]);
	if (pool->open_count == 0)
		fd_close(&pool->null_fd);
}

void pipe_pool_adopt(struct pipe_pool *pool, unsigned count)
{
	pool->open_count += count;
}

void pipe_pool_hand_on(struct pipe_pool *pool, unsigned count)
{
	assert(pool->open_count - pool->idle_count >= count);
	pool->open_count -= count;
}

int pipe_pool_get(struct pipe_pool *pool, struct pipe *ret)
{
	if (pool->idle_count > 0) {
		*ret = pool->idle[--pool->idle_count];
		return 0;
	}
	if (pool->open_count >= pool->max_open) {
		*ret = PIPE_NONE;
		return -ENOBUFS;
	}

	const int r = pipe_open(ret, pool->slots);
	if (r < 0)
		return r;
	pool->open_count++;
	if (pool->null_fd < 0)
		pool->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return 0;
}

void pipe_pool_put_drained(struct pipe_pool *pool, struct pipe *p)
{
	size_t dropped;
	int err;

	if (!pipe_is_open(p))
		return;
	assert(pool->open_count > pool->idle_count);
	if (pipe_discard(p, pool->null_fd, p->held_bytes, &dropped, &err) == PIPE_IO_OK &&
	    pool->idle_count < pool->max_idle) {
		pool->idle[pool->idle_count++] = *p;
		*p = PIPE_NONE;
	} else {
		pipe_close(p);
		pool->open_count--;
	}
}
