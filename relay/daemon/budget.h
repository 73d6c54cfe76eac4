// SPDX-License-Identifier: MIT
/*
 * What the limits of the system leave room for: descriptors, pipes, TCP memory.
 * It only reckons and tells; who is turned away is admit.c's affair.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct budget {
	uint64_t descriptors; /* RLIMIT_NOFILE */
	uint64_t reserved;    /* of these, not for subscribers */
	uint64_t subscribers; /* the ceiling: max_subscribers, or what the descriptors allow */
	bool is_by_option;    /* max_subscribers is what makes the ceiling */

	size_t pipes_wanted; /* that the rings and the ingest of all feeds may use */
	size_t pipes;        /* of these, that could be had when it was tried */

	uint64_t tcp_bytes; /* where the kernel starts to press TCP memory; 0: not known */
	uint64_t
		stalled_bytes; /* what one stalled subscriber may hold in its socket; 0: likewise */
};

/* The ceiling of subscribers. */
void budget_reckon(const struct config *config, unsigned workers, uint64_t fd_limit,
		   struct budget *ret);

/* The rest, at start: opens the pipes that may be needed and closes them again, since the quota of
 * a user cannot be read where /proc is hidden, and others may have used it; reads net.ipv4.tcp_mem
 * and tcp_wmem if that is possible. */
void budget_probe(const struct config *config, unsigned workers, struct budget *budget);

/* One line for the operator: how many, and which setting raises it. */
void budget_log(const struct budget *budget);
