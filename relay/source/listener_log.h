// SPDX-License-Identifier: MIT
/*
 * What goes on at a listening socket, in the log: for the events of any listener, of a feed or not.
 */
#pragma once

#include "net/listener.h"

/* That it listens: once for each address.  what, name: "feed", "demo". */
void listener_log_open(const char *what, const char *name, const struct listener *listener);

void listener_log_error(const struct listener *listener, int error, uint32_t pause_ms,
			uint64_t suppressed);
void listener_log_paced(const struct listener *listener, uint64_t suppressed);

/* To be called again and again: the sums of lines that were held back. */
void listener_log_sums(struct listener *listener, uint64_t now_ns);
