// SPDX-License-Identifier: MIT
/* The status in the log, when it is asked for (SIGUSR1). */
#pragma once

struct admin_process;
struct service;

/* One line a feed, one a worker, one for relay, and "status end".  The format is stable: KEY=VALUE,
 * names of metrics.def and close_reason.def. */
void status_log(struct service *service, const struct admin_process *process);
