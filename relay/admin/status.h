// SPDX-License-Identifier: MIT
/* How relay says how it is: in the log when asked (SIGUSR1), and to the service manager now and
 * then. */
#pragma once

struct relay;

/* One line a feed, one a worker, one for relay, and "status end".  The format is stable: KEY=VALUE,
 * names of metrics.def and close_reason.def. */
void status_log(struct relay *relay);

/* The line of `systemctl status`: what relay is doing, and how much. */
void status_notify(const struct relay *relay);
