// SPDX-License-Identifier: MIT
/*
 * Who listens at an address that cannot be had, as far as /proc shows it (proc(5)).
 *
 * Nobody is connected to for that: to ask a listener whether it answers would be a visit to it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "net/endpoint.h"

enum listen_holder {
	LISTEN_HOLDER_UNKNOWN, /* one whose descriptors may not be seen, or nobody listens */
	LISTEN_HOLDER_OURS,
	LISTEN_HOLDER_OTHER,
};

/* Is a process one of ours?  `data` is the caller's. */
typedef bool (*listen_is_ours_fn)(pid_t pid, const void *data);

/* Looks for the sockets that listen at `address` (tcp or unix), or at a part of it; with SOCK_DGRAM
 * for `type`, for those that receive there (udp).  OURS: each of them is open in a process of ours.
 * OTHER: one is not, and *ret_pid has it. */
enum listen_holder listen_find_holder(const struct endpoint_address *address, int type,
				      listen_is_ours_fn is_ours, const void *data, pid_t *ret_pid);
