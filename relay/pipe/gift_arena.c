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
#include <sys/mman.h>

// NULL with errno set when the kernel gives none.
static uint8_t *map_fresh(size_t bytes)
{
	void *mapping =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mapping == MAP_FAILED)
		return NULL;
	/* All three are refinements, and a kernel built without one of them answers EINVAL.  A
	 * small piece of a huge page would pin all 2 MiB of it; what subscribers get has no place
	 * in a core dump; a child has no use for it. */
	(void)madvise(mapping, bytes, MADV_NOHUGEPAGE);
	(void)madvise(mapping, bytes, MADV_DONTDUMP);
	(void)madvise(mapping, bytes, MADV_DONTFORK);
	return mapping;
}

static size_t round_up_to_page(size_t bytes)
{
	return (bytes + GIFT_ARENA_PAGE_BYTES - 1) / GIFT_ARENA_PAGE_BYTES * GIFT_ARENA_PAGE_BYTES;
}

static int adopt_fresh(struct gift_arena *arena)
{
	uint8_t *mapping = map_fresh(arena->mapping_bytes);

	if (!mapping)
		return -errno;
	if (arena->mapping)
		(void)munmap(arena->mapping, arena->mapping_bytes); // fails on bad arguments only
	arena->mapping = mapping;
	arena->used_bytes = 0;
	arena->mappings_made++;
	return 0;
}

int gift_arena_init(struct gift_arena *arena, size_t mapping_bytes)
{
	assert(mapping_bytes > 0);
	*arena = (struct gift_arena){.mapping_bytes = round_up_to_page(mapping_bytes)};
	const int r = adopt_fresh(arena);
	if (r < 0)
		*arena = (struct gift_arena){0};
	return r;
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
		if (adopt_fresh(arena) < 0)
			return NULL;
		start = 0;
	}
	arena->used_bytes = start + len;
	return arena->mapping + start;
}
