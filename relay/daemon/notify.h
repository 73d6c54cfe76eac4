// SPDX-License-Identifier: MIT
/* What relay tells the service manager.  (What it gets from there: systemd/passed_fds.h.)
 *
 * Everything here is advice to a listener that may not exist: without NOTIFY_SOCKET in the
 * environment each call does nothing, and a failure to send is ignored, since no part of relay
 * depends on it.  Nothing waits for a manager that does not read, but what puts descriptors into
 * its store: notify_store() and notify_barrier(), for 5 s each.  Main thread only.  When to call
 * what is the caller's business.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

/* All listeners and feeds are open (also: a reload has ended).  False: the manager's queue is full,
 * and this is to be told again. */
bool notify_ready(void) must_check;

/* One line for people, shown by `systemctl status`; longer than 255 bytes is cut. */
void notify_status(const char *fmt, ...) printf_like(1, 2);

/* A reload begins; notify_ready() ends it.  Carries the monotonic time of the call, which
 * Type=notify-reload (systemd 253) requires and older managers ignore. */
void notify_reloading(void);

/* Draining: no new subscribers from here on. */
void notify_stopping(void);

/* The loop is alive; to be called every notify_watchdog_interval_ms(). */
void notify_watchdog(void);

/* How often to call notify_watchdog(), in ms: half of WatchdogSec=; 0 when there is no watchdog for
 * this process. */
uint64_t notify_watchdog_interval_ms(void);

/* Puts a duplicate of fd into the service manager's store, from where the next process gets it by
 * its name.  0; -EOPNOTSUPP without a service manager; -errno. */
int notify_store(const char *name, int fd) must_check;

/* Waits until the service manager has taken what was sent before: 0, -errno, -ETIMEDOUT after 5 s.
 */
int notify_barrier(void) must_check;

/* Takes all of a hand-over out of the store. */
void notify_unstore(void);

/* True when this service is being restarted, as the service manager says over D-Bus, and not
 * stopped for good; false also where that cannot be asked.  Waits for 2 s at most. */
bool notify_is_restart(void);

/* Starting or stopping takes at least timeout_ms more, counted from now. */
void notify_extend_timeout(uint64_t timeout_ms);
