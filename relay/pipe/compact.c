// SPDX-License-Identifier: MIT
/* Filling pipes with bytes of memory, by a socket pair or by write. */
#include "pipe/compact.h"

#include <errno.h>

#include "pipe/pipe_io.h"

/* The pipes that are being filled; the last one may have slots left. */
struct filling {
	struct pipe_set *set;
	struct pipe *pipes;
	size_t count, max;
};

static bool add_pipe(struct filling *filling)
{
	if (filling->count == filling->max ||
	    pipe_pool_get(&filling->set->pool, &filling->pipes[filling->count]) < 0)
		return false;
	filling->count++;
	return true;
}

static struct pipe *last_pipe(const struct filling *filling)
{
	return &filling->pipes[filling->count - 1];
}

static void give_back(struct filling *filling)
{
	while (filling->count)
		pipe_pool_put_drained(&filling->set->pool, &filling->pipes[--filling->count]);
}

/* Does the kernel or a sandbox not allow a socket pair at all?  All else may pass. */
static bool is_forbidden(int error)
{
	return error != -EMFILE && error != -ENFILE && error != -ENOMEM && error != -ENOBUFS;
}

static bool open_pair(struct pipe_set *set)
{
	int r;

	if (socket_pair_is_open(&set->pair))
		return true;
	r = socket_pair_open(&set->pair);
	if (r < 0 && is_forbidden(r))
		pipe_set_note_refusal(set, REFUSAL_SOCKET_PAIR);
	return r == 0;
}

/* Empties the pair into the pipes. */
static enum pipe_io drain_pair(struct filling *filling)
{
	struct socket_pair *pair = &filling->set->pair;
	enum pipe_io outcome = PIPE_IO_OK;
	size_t moved;
	int err;

	while (pair->held_bytes && outcome == PIPE_IO_OK) {
		outcome = socket_pair_splice(pair, last_pipe(filling), &moved, &err);
		if (outcome == PIPE_IO_FULL && add_pipe(filling))
			outcome = PIPE_IO_OK;
	}
	return outcome;
}

static enum pipe_io fill_by_pair(struct filling *filling, const uint8_t *bytes, size_t length)
{
	struct pipe_set *set = filling->set;
	enum pipe_io outcome = PIPE_IO_OK;
	size_t done = 0, sent;
	int err;

	if (set->refused[REFUSAL_SOCKET_PAIR] || !open_pair(set))
		return PIPE_IO_REFUSED;
	while (done < length && outcome == PIPE_IO_OK) {
		outcome = socket_pair_send(&set->pair, bytes + done, length - done, &sent, &err);
		if (outcome != PIPE_IO_OK)
			break;
		done += sent;
		outcome = drain_pair(filling);
	}
	if (outcome == PIPE_IO_OK) {
		set->metrics->dense_bytes += length;
		return outcome;
	}
	/* What it may still hold belongs to this packet only. */
	socket_pair_close(&set->pair);
	if (outcome == PIPE_IO_REFUSED)
		pipe_set_note_refusal(set, REFUSAL_SOCKET_PAIR);
	return outcome;
}

static enum pipe_io fill_by_write(struct filling *filling, const uint8_t *bytes, size_t length)
{
	enum pipe_io outcome = PIPE_IO_OK;
	size_t done = 0, put;
	int err;

	while (done < length && outcome == PIPE_IO_OK) {
		outcome = pipe_write(last_pipe(filling), bytes + done, length - done, &put, &err);
		if (outcome == PIPE_IO_OK)
			done += put;
		else if (outcome == PIPE_IO_FULL && add_pipe(filling))
			outcome = PIPE_IO_OK;
	}
	if (outcome == PIPE_IO_OK)
		filling->set->metrics->written_bytes += length;
	return outcome;
}

size_t compact_bytes(struct pipe_set *set, const uint8_t *bytes, size_t length, struct pipe *pipes,
		     size_t max)
{
	struct filling filling = {.set = set, .pipes = pipes, .max = max};
	enum pipe_io outcome = PIPE_IO_FULL;

	if (add_pipe(&filling))
		outcome = fill_by_pair(&filling, bytes, length);
	/* Where pipes run short, write() would need even more of them. */
	if (outcome != PIPE_IO_OK && outcome != PIPE_IO_FULL) {
		give_back(&filling);
		if (add_pipe(&filling))
			outcome = fill_by_write(&filling, bytes, length);
	}
	if (outcome != PIPE_IO_OK)
		give_back(&filling);
	return filling.count;
}
