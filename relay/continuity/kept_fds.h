// SPDX-License-Identifier: MIT
/*
 * The descriptors of a process that died: they have other numbers here.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What came in the bag, by the number that it had in the process that died. */
struct kept_fds {
	const int32_t *numbers; /* ascending */
	int *fds;               /* -1: taken */
	size_t count;
};

/* The number here of a descriptor of the dead process, which is the caller's from now on; -1: it is
 * not there, or has been taken.  One that is connected is closed in the ordinary way again, and not
 * by reset.  `owner` is a struct kept_fds. */
int kept_fds_take(void *owner, int number);

/* The same, without taking it. */
int kept_fds_look(const struct kept_fds *fds, int number);
