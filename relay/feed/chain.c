// SPDX-License-Identifier: MIT
/* Filling chains, by vmsplice, write and tee. */
#include "feed/chain.h"

#include <string.h>

#include "pipe/pipe_io.h"

static struct pipe *chain_add(struct pipe_set *set, struct chain *chain)
{
	if (chain->count == CHAIN_MAX || pipe_pool_get(&set->pool, &chain->pipes[chain->count]) < 0)
		return NULL;
	return &chain->pipes[chain->count++];
}

void chain_drop(struct pipe_set *set, struct chain *chain)
{
	while (chain->count)
		pipe_pool_put_drained(&set->pool, &chain->pipes[--chain->count]);
}

/* A header or trailer, whole, into a pipe: by vmsplice, or by write where that is refused or not
 * wanted.  False when the pipe has no slot left, or there is no memory. */
static bool put_whole(struct pipe_set *set, struct pipe *to, const uint8_t *bytes, size_t length)
{
	size_t put = 0;
	int err = 0;

	if (set->params.gift_headers && !set->refused[REFUSAL_VMSPLICE]) {
		uint8_t *gift = gift_arena_alloc(&set->header_arena, length);
		enum pipe_io result;

		if (!gift)
			return false;
		memcpy(gift, bytes, length);
		result = pipe_gift(to, gift, length, &put, &err);
		set->metrics->gifted_bytes += put;
		if (result != PIPE_IO_REFUSED)
			return result == PIPE_IO_OK && put == length;
		pipe_set_note_refusal(set, REFUSAL_VMSPLICE);
	}
	if (pipe_write(to, bytes, length, &put, &err) != PIPE_IO_OK)
		return false;
	set->metrics->written_bytes += put;
	return put == length;
}

bool chain_put_header(struct pipe_set *set, struct chain *chain, const uint8_t *header,
		      size_t length)
{
	struct pipe *to = chain_add(set, chain);

	return to && put_whole(set, to, header, length);
}

bool chain_put_trailer(struct pipe_set *set, struct chain *chain, const uint8_t *trailer,
		       size_t length)
{
	struct pipe *to = chain->count ? &chain->pipes[chain->count - 1] : NULL;
	size_t held = to ? to->held_bytes : 0;

	if (to && put_whole(set, to, trailer, length))
		return true;
	if (to && to->held_bytes != held)
		return false; /* a part of it went: not to be tried anew */
	to = chain_add(set, chain);
	return to && put_whole(set, to, trailer, length);
}

/* Tees the first `bytes` of `from` into `to` and, when the slots of `to` end before, into one more
 * pipe. */
static bool chain_tee(struct pipe_set *set, struct chain *chain, struct pipe *to, struct pipe *from,
		      size_t bytes)
{
	size_t first = 0, all = 0, thrown = 0, moved = 0;
	int err = 0;
	enum pipe_io result = pipe_tee(from, to, bytes, &first, &err);

	if (result == PIPE_IO_REFUSED)
		pipe_set_note_refusal(set, REFUSAL_TEE);
	if (result != PIPE_IO_OK)
		return false;
	if (first == bytes)
		return true;
	/* tee cannot go on from where it stopped: copy all, throw the first part away, move the
	 * rest. */
	to = chain_add(set, chain);
	return to && pipe_tee(from, &set->copy_pipe, bytes, &all, &err) == PIPE_IO_OK &&
	       all == bytes &&
	       pipe_discard(&set->copy_pipe, set->pool.null_fd, first, &thrown, &err) ==
		       PIPE_IO_OK &&
	       thrown == first &&
	       pipe_move(&set->copy_pipe, to, bytes - first, &moved, &err) == PIPE_IO_OK &&
	       moved == bytes - first;
}

bool chain_tee_payload(struct pipe_set *set, struct chain *chain, struct payload *payload)
{
	for (size_t i = 0; i < payload->count; i++) {
		bool is_last = i + 1 == payload->count;
		bool behind_header = i == 0 && chain->count == 1;
		struct pipe *to = behind_header ? &chain->pipes[0] : chain_add(set, chain);
		size_t bytes = is_last ? payload->last_bytes : payload->pipes[i].held_bytes;
		bool done = to && chain_tee(set, chain, to, &payload->pipes[i], bytes);

		pipe_set_empty_copy_pipe(set);
		if (!done)
			return false;
	}
	return true;
}
