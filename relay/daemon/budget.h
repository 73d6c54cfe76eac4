// SPDX-License-Identifier: MIT
/*
 * What the limits of the system leave room for: descriptors, pipes, memory, TCP memory.  It only
 * reckons and tells.  Who is turned away for want of room is serve/quota.h's affair.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "admin/admin_actions.h"
#include "config/config.h"

/* What a configuration asks for, and the ceiling of subscribers.  What budget_probe() has found
 * stays. */
void budget_reckon(const struct config *config, unsigned workers, uint64_t fd_limit,
		   struct budget *budget);

/* The rest, at start: opens the pipes that may be needed and closes them again, since the quota of
 * a user cannot be read where /proc is hidden, and others may have used it; reads net.ipv4.tcp_mem
 * and tcp_wmem, and the limits of the process's cgroup, if that is possible. */
void budget_probe(const struct config *config, unsigned workers, struct budget *budget);

/* One line for the operator: how many, and which setting raises it. */
void budget_log(const struct budget *budget);
