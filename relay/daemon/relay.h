// SPDX-License-Identifier: MIT
/*
 * The running relay: its workers, feeds and listeners, as the configuration wants them.
 * All of it is the control thread's, which accepts, applies configurations and counts; bytes are
 * carried by the workers.
 *
 * A configuration is applied in two steps.  First all that is new is opened; if anything cannot be,
 * all of that is undone and nothing has changed.  Then what is gone is closed and what stays is
 * changed.
 */
#pragma once

#include <ev.h>

#include "admin/admin.h"
#include "base/errmsg.h"
#include "base/list.h"
#include "config/config.h"
#include "daemon/budget.h"
#include "daemon/crash_record.h"
#include "daemon/keeper.h"
#include "daemon/reload.h"
#include "serve/inbox.h"
#include "serve/passed_fds.h"
#include "serve/served_feed.h"
#include "serve/served_listener.h"
#include "serve/worker.h"

struct handover;
struct upgrade;

struct relay {
	struct ev_loop *loop; /* of the control thread */
	struct inbox control;
	struct workers workers; /* from the first relay_apply() on */
	struct config *config;  /* in effect; owned */
	struct config_source source;
	struct admin admin;
	struct list feeds;     /* struct served_feed */
	struct list listeners; /* struct served_listener */
	struct passed_fds passed;
	struct upgrade *upgrade;   /* the process's; NULL: it cannot be upgraded */
	struct handover *resumed;  /* from the process before, until all of it is in place; owned */
	struct crash_record crash; /* none: a crash ends every connection */
	struct feed_records records; /* in it; empty: there are none */
	struct keeper keeper;
	bool is_after_crash;  /* it goes on from what a process left that died */
	struct budget budget; /* of the configuration in effect; pipes and TCP memory as at start */
	uint64_t started_ns;  /* wall clock */
	uint64_t started_mono_ns;
	uint64_t loaded_ns; /* wall clock: when the configuration in effect was */
	bool reload_failed; /* the last one */
	enum log_level log_level;
	uint64_t max_subscribers;
	uint64_t subscribers; /* that have a place */
	uint64_t fd_limit;
	uint64_t collected_ms; /* monotonic: when rates and max_pinned were last looked after */
	uint64_t told_ms;      /* monotonic: when the service manager was last told the status */
	uint64_t pinned_bytes; /* held by slow subscribers then; 0 without max_pinned */
	ev_timer tick;
	bool is_draining;
	uint64_t drain_end_ms;            /* monotonic */
	uint64_t last_ticks[WORKERS_MAX]; /* private: of relay_has_moved() */
};

void relay_init(struct relay *relay, struct ev_loop *loop, uint64_t fd_limit,
		const struct config_source *source);

/* From now on a crash leaves the sockets to the next process, if [relay] survive_crash wants that
 * and there is a service manager; what prevents it is logged.  Before there is a second thread. */
void relay_survive_crash(struct relay *relay, const struct config *config);

/* Everything is open and served: from now on there is something that is worth to outlive a crash.
 */
void relay_is_ready(struct relay *relay);

/* True when subscribers would go on if relay died now. */
bool relay_survives_crash(const struct relay *relay);

/* Takes over what the process before left: in the environment, or in the service manager's store.
 * What cannot be read is closed, with an error in the log.  Before the first relay_apply(). */
void relay_take_over(struct relay *relay);

/* Applies `config`, which is owned by relay from here on, also after a failure.
 * 0; -errno with a message, nothing has changed then; or how many feeds could not be made anew,
 * with a message about one, and all else is as `config` wants it.  That happens to feeds only which
 * keep their address but not their framing or the like. */
int relay_apply(struct relay *relay, struct config *config, struct errmsg *err);

/* What the log has from now on, until the next reload. */
void relay_set_log_level(struct relay *relay, enum log_level level);

/* NULL when there is none of this name. */
struct served_feed *relay_find_feed(const struct relay *relay, const char *name);
struct served_listener *relay_find_listener(const struct relay *relay, const char *name);

/* No new subscribers, no more bytes; ends the loop once everybody has read what was sent, or when
 * the configured drain time is over.  A second call ends it at once. */
void relay_drain(struct relay *relay);

/* Closes and frees all. */
void relay_fini(struct relay *relay);

/* True when every worker's loop has gone round since the last call: none of them hangs. */
bool relay_has_moved(struct relay *relay);
