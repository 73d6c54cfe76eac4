// SPDX-License-Identifier: MIT
/* The search runs over whole words of the bit map, so a long row of taken pages costs little. */
#include "continuity/page_room.h"

#include <errno.h>
#include <stdlib.h>

enum {
	WORD_BITS = 64,
};

int page_room_init(struct page_room *room, size_t page_count)
{
	*room = (struct page_room){
		.taken = calloc(page_count / WORD_BITS + 1, sizeof(*room->taken)),
	};
	if (!room->taken)
		return -ENOMEM;
	room->page_count = page_count;
	return 0;
}

void page_room_fini(struct page_room *room)
{
	free(room->taken);
	*room = (struct page_room){0};
}

/* The first page in from..end that is taken, or free; `end` when there is none. */
static size_t find(const struct page_room *room, size_t from, size_t end, bool is_taken)
{
	while (from < end) {
		uint64_t word = room->taken[from / WORD_BITS];

		word = (is_taken ? word : ~word) >> (from % WORD_BITS);
		if (word)
			return size_min(from + (size_t)__builtin_ctzll(word), end);
		from += WORD_BITS - from % WORD_BITS;
	}
	return end;
}

static void mark(struct page_room *room, size_t first, size_t count, bool is_taken)
{
	while (count) {
		size_t bit = first % WORD_BITS;
		size_t step = size_min(count, WORD_BITS - bit);
		uint64_t mask = (step == WORD_BITS ? UINT64_MAX : (1ULL << step) - 1) << bit;

		if (is_taken)
			room->taken[first / WORD_BITS] |= mask;
		else
			room->taken[first / WORD_BITS] &= ~mask;
		first += step;
		count -= step;
	}
}

size_t page_room_take(struct page_room *room, size_t count)
{
	size_t first = find(room, room->first_free, room->page_count, false);

	room->first_free = first;
	while (room->page_count - first >= count) {
		size_t end = find(room, first, first + count, true);

		if (end == first + count) {
			mark(room, first, count, true);
			if (first == room->first_free)
				room->first_free = end;
			return first;
		}
		first = find(room, end, room->page_count, false);
	}
	return PAGE_ROOM_NONE;
}

bool page_room_take_at(struct page_room *room, size_t first, size_t count)
{
	if (first > room->page_count || count > room->page_count - first ||
	    find(room, first, first + count, true) != first + count)
		return false;
	mark(room, first, count, true);
	return true;
}

bool page_room_is_empty(const struct page_room *room)
{
	return find(room, 0, room->page_count, true) == room->page_count;
}

void page_room_give(struct page_room *room, size_t first, size_t count)
{
	mark(room, first, count, false);
	room->first_free = size_min(room->first_free, first);
}
