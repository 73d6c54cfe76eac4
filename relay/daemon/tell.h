// SPDX-License-Identifier: MIT
/*
 * What the service manager is told of how relay is: the line of `systemctl status`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct service;

/* What relay is doing, and how much; to be told every few seconds. */
void tell_status(const struct service *service, bool has_reload_failed);

/* The same while it drains, until `end_ms` (monotonic) at most. */
void tell_draining(const struct service *service, uint64_t end_ms);
