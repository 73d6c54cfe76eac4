// SPDX-License-Identifier: MIT
/*
 * The ways from a file to a socket that the transfer bench compares. Each is what a careful program
 * would do, without anything of relay; it counts its own system calls, open(2) and close(2) of the
 * file and what sets up its buffers included.
 */
#ifndef BENCH_TRANSFER_WAYS_H
#define BENCH_TRANSFER_WAYS_H

#include <stddef.h>
#include <stdint.h>

struct transfer {
	const char *path;
	uint64_t bytes;  /* of the file, all of which is sent */
	size_t piece;    /* the most that one call moves; 0 = what the way takes by itself */
	int socket;      /* blocking */
	uint64_t calls;  /* counted here: system calls */
	uint64_t copied; /* and bytes the kernel copied into or out of the program's memory */
};

struct transfer_way {
	const char *name;
	size_t usual_piece;
	int (*send)(struct transfer *transfer); /* 0 or -errno */
};

/* NULL when there is none of this name. The names end with a NULL. */
const struct transfer_way *transfer_way_find(const char *name);
extern const struct transfer_way transfer_ways[];

#endif
