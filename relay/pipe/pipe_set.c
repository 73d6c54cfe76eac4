// SPDX-License-Identifier: MIT
/* The pipes of a feed: whether there are any, and which calls are refused. */
#include "pipe/pipe_set.h"

#include <stdint.h>

#include "base/clock.h"
#include "pipe/pipe_io.h"

enum {
	HEADER_ARENA_BYTES = 256 * 1024,
	RETRY_MS = 30000,
};

int pipe_set_init(struct pipe_set *set, const struct pipe_set_params *params,
		  const struct pipe_set_events *events, struct metrics *metrics)
{
	*set = (struct pipe_set){
		.params = *params,
		.events = *events,
		.metrics = metrics,
		.copy_pipe = PIPE_NONE,
		.pair = SOCKET_PAIR_NONE,
		.look_pipe = PIPE_NONE,
	};
	return pipe_pool_init(&set->pool, pipe_set_slots(params->segment_bytes), UINT16_MAX,
			      params->max_idle);
}

void pipe_set_fini(struct pipe_set *set)
{
	pipe_set_sleep(set);
	pipe_pool_fini(&set->pool);
}

void pipe_set_open(struct pipe_set *set)
{
	int r = 0;

	if (set->has_pipes)
		return;
	if (!set->header_arena.mapping)
		r = gift_arena_init(&set->header_arena, HEADER_ARENA_BYTES);
	if (r == 0)
		r = pipe_pool_get(&set->pool, &set->copy_pipe);
	set->has_pipes = r == 0;
	set->retry_ms = clock_mono_ns() / NS_PER_MS + RETRY_MS;
	if (r < 0)
		set->events.on_no_pipe(set->events.owner, r);
}

void pipe_set_tick(struct pipe_set *set, uint64_t now_ms)
{
	if (now_ms >= set->retry_ms)
		pipe_set_open(set);
}

void pipe_set_sleep(struct pipe_set *set)
{
	socket_pair_close(&set->pair);
	pipe_close(&set->look_pipe);
	gift_arena_fini(&set->header_arena);
	pipe_pool_put_drained(&set->pool, &set->copy_pipe);
	set->has_pipes = false;
	pipe_pool_close_idle(&set->pool);
}

size_t pipe_set_count(const struct pipe_set *set)
{
	return set->pool.open_count + pipe_is_open(&set->look_pipe);
}

void pipe_set_note_refusal(struct pipe_set *set, enum refusal refusal)
{
	bool is_first = !set->refused[refusal];

	set->refused[refusal] = true;
	set->metrics->refused_calls++;
	set->events.on_refused(set->events.owner, refusal, is_first);
}

bool pipe_set_peek(struct pipe_set *set, struct pipe *from, void *to, size_t bytes)
{
	size_t copied = 0;
	int err = 0;
	enum pipe_io result;
	bool done;

	if (!set->has_pipes)
		return false;
	set->metrics->tee_calls++;
	result = pipe_tee(from, &set->copy_pipe, bytes, &copied, &err);
	if (result == PIPE_IO_REFUSED)
		pipe_set_note_refusal(set, REFUSAL_TEE);
	done = result == PIPE_IO_OK && copied == bytes &&
	       pipe_read_whole(&set->copy_pipe, to, bytes);
	pipe_set_empty_copy_pipe(set);
	return done;
}

void pipe_set_renew_copy_pipe(struct pipe_set *set)
{
	pipe_pool_put_drained(&set->pool, &set->copy_pipe);
	set->has_pipes = false;
	pipe_set_open(set);
}
