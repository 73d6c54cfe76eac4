// SPDX-License-Identifier: MIT
/*
 * A bump allocator over anonymous mappings that are replaced, never reset.
 *
 * munmap(2) is what makes gifting safe: it drops the process's reference and leaves the pages to
 * the pipes and sockets that hold theirs.  Recycling by free(), by a ring or by MADV_FREE would let
 * subscribers that have not yet acknowledged see what is written next.
 */
#include "pipe/gift_arena.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

// NULL with errno set when the kernel gives none.
static uint8_t *map_fresh(size_t bytes)
{
	void *mapping =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mapping == MAP_FAILED)
		return NULL;
	/* All three are refinements, and a kernel built without one of them answers EINVAL.  A
	 * small piece of a huge page would pin all 2 MiB of it; payload has no place in a core
	 * dump; a child has no use for it. */
	(void)madvise(mapping, bytes, MADV_NOHUGEPAGE);
	(void)madvise(mapping, bytes, MADV_DONTDUMP);
	(void)madvise(mapping, bytes, MADV_DONTFORK);
	return mapping;
}

static size_t round_up_to_page(size_t bytes)
{
	return (bytes + GIFT_ARENA_PAGE_BYTES - 1) / GIFT_ARENA_PAGE_BYTES * GIFT_ARENA_PAGE_BYTES;
}

static void adopt_mapping(struct gift_arena *arena, uint8_t *mapping, size_t mapping_bytes)
{
	if (arena->mapping)
		(void)munmap(arena->mapping, arena->mapping_bytes); // fails on bad arguments only
	arena->mapping = mapping;
	arena->mapping_bytes = mapping_bytes;
	arena->used_bytes = 0;
	arena->mappings_made++;
}

int gift_arena_init(struct gift_arena *arena, size_t mapping_bytes)
{
	assert(mapping_bytes > 0);
	*arena = (struct gift_arena){.usual_bytes = round_up_to_page(mapping_bytes)};
	uint8_t *mapping = map_fresh(arena->usual_bytes);
	if (!mapping)
		return -errno;
	adopt_mapping(arena, mapping, arena->usual_bytes);
	return 0;
}

void gift_arena_fini(struct gift_arena *arena)
{
	if (arena->mapping)
		(void)munmap(arena->mapping, arena->mapping_bytes);
	*arena = (struct gift_arena){0};
}

void *gift_arena_alloc(struct gift_arena *arena, size_t len)
{
	size_t start = arena->used_bytes;

	assert(len <= GIFT_ARENA_PAGE_BYTES);
	if (start % GIFT_ARENA_PAGE_BYTES + len > GIFT_ARENA_PAGE_BYTES)
		start = round_up_to_page(start);
	if (len > arena->mapping_bytes - start) {
		uint8_t *mapping = map_fresh(arena->usual_bytes);

		if (!mapping)
			return NULL;
		adopt_mapping(arena, mapping, arena->usual_bytes);
		start = 0;
	}
	arena->used_bytes = start + len;
	return arena->mapping + start;
}

uint8_t *gift_arena_reserve(struct gift_arena *arena, const uint8_t *tail, size_t tail_bytes,
			    size_t min_room, size_t *ret_room)
{
	const size_t needed_bytes = tail_bytes + min_room;

	if (needed_bytes > arena->mapping_bytes - arena->used_bytes) {
		const size_t bytes = size_max(arena->usual_bytes, round_up_to_page(needed_bytes));
		uint8_t *mapping = map_fresh(bytes);

		if (!mapping)
			return NULL;
		if (tail_bytes > 0)
			memcpy(mapping, tail, tail_bytes);
		adopt_mapping(arena, mapping, bytes);
	} else if (tail_bytes > 0 && tail != arena->mapping + arena->used_bytes) {
		memmove(arena->mapping + arena->used_bytes, tail, tail_bytes);
	}
	*ret_room = arena->mapping_bytes - arena->used_bytes - tail_bytes;
	return arena->mapping + arena->used_bytes;
}

void gift_arena_commit(struct gift_arena *arena, size_t used_bytes)
{
	assert(used_bytes <= arena->mapping_bytes - arena->used_bytes);
	arena->used_bytes += used_bytes;
}
