// SPDX-License-Identifier: MIT
/*
 * Which pages of a range are taken: first fit, so that what is in use stays together at the lowest
 * numbers and the memory that has ever been touched stays small.
 *
 * It knows numbers of pages only; the memory, and how many pages were taken where, is the owner's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define PAGE_ROOM_NONE SIZE_MAX

struct page_room {
	uint64_t *taken;   /* private: a bit for each page     */
	size_t page_count; /* ro */
	size_t first_free; /* private: none before it is free  */
};

/* All pages are free.  0, or -ENOMEM with the room as after fini. */
must_check int page_room_init(struct page_room *room, size_t page_count);
void page_room_fini(struct page_room *room);

/* The first of `count` (not 0) pages in a row, taken from now on; PAGE_ROOM_NONE when there are not
 * so many in a row. */
must_check size_t page_room_take(struct page_room *room, size_t count);

/* Takes these pages.  False: one of them is taken already, or is none, and nothing has changed. */
must_check bool page_room_take_at(struct page_room *room, size_t first, size_t count);

bool page_room_is_empty(const struct page_room *room);

/* Gives back what was taken at once. */
void page_room_give(struct page_room *room, size_t first, size_t count);
