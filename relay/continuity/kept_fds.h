// SPDX-License-Identifier: MIT
/*
 * The descriptors of the process before: they have other numbers here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What came in the bag, by the number that it had in the process before. */
struct kept_fds {
	const int32_t *numbers; /* ascending */
	int *fds;               /* -1: taken */
	size_t count;
};

/* A search finds something only where they are. */
bool kept_fds_are_in_order(const struct kept_fds *fds);

/* The number here of a descriptor of that process, which is the caller's from now on; -1: it is
 * not there, or has been taken.  One that is connected is closed in the ordinary way again, and not
 * by reset. */
int kept_fds_take(struct kept_fds *fds, int number);

/* The same, without taking it. */
int kept_fds_look(const struct kept_fds *fds, int number);
