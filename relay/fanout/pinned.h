// SPDX-License-Identifier: MIT
/*
 * What slow subscribers hold in memory together, and who holds most of it.
 *
 * A blocked subscriber holds what waits in its socket, and its share of segments that the ring has
 * given up and that it still stands in.  What is in the rings is everybody's and is bounded by
 * them.  A list is good for one turn of the loop: subscribers are not freed within one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct fanout;
struct subscriber;

struct pinned_by {
	struct subscriber *subscriber;
	uint64_t bytes;
};

/* All zero is an empty list. */
struct pinned {
	struct pinned_by *list; /* owned */
	size_t count;
	size_t room;    /* private */
	uint64_t bytes; /* the sum */
};

/* Adds the blocked subscribers of one fan-out: one system call for each.  0; -ENOMEM: some are
 * missing. */
int pinned_add(struct pinned *pinned, const struct fanout *fanout) must_check;

/* In order: who holds most comes first. */
void pinned_sort(struct pinned *pinned);

/* Closes the first `count` of a sorted list (reason PINNED). */
void pinned_close_most(struct pinned *pinned, size_t count);

/* Leaves an empty list. */
void pinned_free(struct pinned *pinned);
