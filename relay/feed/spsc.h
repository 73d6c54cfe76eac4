// SPDX-License-Identifier: MIT
/*
 * A queue of pointers from one thread to another, without locks.
 *
 * Exactly one thread pushes and exactly one pops; what was written before a push is seen after the
 * pop (C17 7.17.3: release, acquire).  It never grows: a full queue is the pusher's affair.  It
 * wakes nobody.
 */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/compiler.h"

enum {
	CACHE_LINE_BYTES = 64
};

struct spsc {
	void **slots; /* owned */
	size_t mask;
	/* How many were ever pushed and popped; apart, so that the threads do not share a line. */
	_Alignas(CACHE_LINE_BYTES) _Atomic size_t pushed;
	_Alignas(CACHE_LINE_BYTES) _Atomic size_t popped;
};

/* `capacity` is a power of two.  0 or -ENOMEM. */
must_check static inline int spsc_init(struct spsc *queue, size_t capacity)
{
	queue->slots = calloc(capacity, sizeof(*queue->slots));
	queue->mask = capacity - 1;
	atomic_init(&queue->pushed, 0);
	atomic_init(&queue->popped, 0);
	return queue->slots ? 0 : -ENOMEM;
}

/* The queue must be empty, and neither thread may use it any more. */
static inline void spsc_fini(struct spsc *queue)
{
	free(queue->slots);
	queue->slots = NULL;
}

/* From the pushing thread.  False: the queue is full, nothing has changed. */
must_check static inline bool spsc_push(struct spsc *queue, void *item)
{
	size_t at = atomic_load_explicit(&queue->pushed, memory_order_relaxed);

	if (at - atomic_load_explicit(&queue->popped, memory_order_acquire) > queue->mask)
		return false;
	queue->slots[at & queue->mask] = item;
	atomic_store_explicit(&queue->pushed, at + 1, memory_order_release);
	return true;
}

/* From the popping thread.  NULL: the queue is empty. */
static inline void *spsc_pop(struct spsc *queue)
{
	size_t at = atomic_load_explicit(&queue->popped, memory_order_relaxed);
	void *item;

	if (at == atomic_load_explicit(&queue->pushed, memory_order_acquire))
		return NULL;
	item = queue->slots[at & queue->mask];
	atomic_store_explicit(&queue->popped, at + 1, memory_order_release);
	return item;
}

/* Items in it, as it was a moment ago: for the pusher never too few, for the popper never too many.
 */
static inline size_t spsc_count(const struct spsc *queue)
{
	size_t popped = atomic_load(&queue->popped);

	return atomic_load(&queue->pushed) - popped;
}
