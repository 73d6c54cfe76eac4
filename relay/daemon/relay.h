// SPDX-License-Identifier: MIT
/*
 * The running relay: the service, the admin server, and what the process adds to them, as the
 * configuration wants them.  Read this header first in daemon/.
 *
 *   main.c     arguments, signals, exit codes
 *   relay.c    draining, the tick of the control thread
 *   apply.c    applying a configuration; opening.c opens what it adds
 *   reload.c   loading a configuration, at the start and again
 *   try_config.c  trying beforehand what one needs
 *   upgrade.c  giving everything to a new process
 *   keeper.c   the second process, which outlives a crash; crash_... is what it leaves
 *   budget.c   what the limits of the system leave room for
 *   notify.c   what the service manager is told
 *
 * A configuration is applied in two steps.  First all that is new is opened.  If anything cannot be
 * opened, all of that is undone, and nothing has changed.  Then what is gone is closed, and what
 * stays is changed.
 *
 * All functions are to be called from the control thread.
 */
#pragma once

#include <ev.h>

#include "admin/admin.h"
#include "base/errmsg.h"
#include "config/config.h"
#include "daemon/crash_record.h"
#include "daemon/keeper.h"
#include "serve/service.h"

struct handover;

struct relay {
	struct service service;
	struct admin admin;
	struct config *config;          /* in effect; owned */
	struct kept_config kept_config; /* the same, for the next process; fd owned */
	struct errmsg config_fault;     /* why the one in the file is not; "": it is */
	bool has_gone_back;             /* it is that of the process before */
	struct handover *resumed;  /* from the process before, until all of it is in place; owned */
	struct crash_record crash; /* none: a crash ends every connection */
	struct keeper keeper;
	bool is_after_crash;  /* it goes on from what a process left that died */
	struct budget budget; /* of the configuration in effect; pipes and TCP memory as at start */
	uint64_t started_ns;  /* wall clock */
	uint64_t started_mono_ns;
	uint64_t loaded_ns; /* wall clock: when the configuration in effect was */
	enum log_level log_level;
	uint64_t fd_limit;
	uint64_t collected_ms; /* monotonic: when rates and max_pinned were last looked after */
	uint64_t told_ms;      /* monotonic: when the service manager was last told the status */
	bool is_ready_untold;  /* its queue was full */
	uint64_t pinned_bytes; /* held by slow subscribers then; 0 without max_pinned */
	ev_timer tick;
	uint64_t drain_end_ms;            /* monotonic */
	uint64_t last_ticks[WORKERS_MAX]; /* private: of relay_has_moved() */
};

/* With nothing to serve yet.  `actions` and their owner are for the admin server, and outlive
 * relay. */
void relay_init(struct relay *relay, struct ev_loop *loop, uint64_t fd_limit,
		const struct admin_actions *actions, void *owner);

/* From now on a crash leaves the sockets to the next process, if [relay] survive_crash wants that
 * and there is a service manager.  What prevents it is logged.  The first time best before there is
 * a second thread; again with another configuration while nothing is served. */
void relay_survive_crash(struct relay *relay, const struct config *config);

/* Everything is open and served.  From now on there is something worth to outlive a crash. */
void relay_is_ready(struct relay *relay);

/* Tells the service manager so, now or as soon as it listens. */
void relay_tell_ready(struct relay *relay);

/* Takes over what the process before left, in the environment or in the service manager's store.
 * What cannot be read is closed, with an error in the log.  To be called before the first
 * relay_apply(). */
void relay_take_over(struct relay *relay);

/* Applies `config`, which is relay's from here on, also after a failure.  is_kept: it is that of
 * the process before, to go on with.  Then what cannot be opened is logged and left out.
 *
 * 0: all is as it wants.  -errno with a message: nothing has changed.  *where then says which line
 * of the configuration asks for what cannot be had, and what can be done; "" when neither is known.
 * A positive number: so many feeds could not be made anew, the message is about one of them, and
 * all else is as it wants.  That happens only to feeds which keep their address but change their
 * framing or the like. */
int relay_apply(struct relay *relay, struct config *config, bool is_kept, struct errmsg *err,
		struct errmsg *where);

/* What the log has from now on, until the next reload. */
void relay_set_log_level(struct relay *relay, enum log_level level);

/* Tells the service manager what relay is doing, and how much: the line of `systemctl status`.  To
 * be told every few seconds. */
void relay_tell_status(const struct relay *relay);

/* What the admin server shows of the process.  It points into relay. */
void relay_describe(const struct relay *relay, struct admin_process *ret);

/* No new subscribers, no more bytes.  Ends the loop once everybody has read what was sent, or when
 * the configured drain time is over.  A second call ends it at once. */
void relay_drain(struct relay *relay);

/* Lets the subscribers that there are go one after the other, over spread_ms, and then drains as
 * relay_drain() does.  Until then all goes on, and balancers are told to send nobody.  Where one is
 * under way, it begins anew; 0 takes it back.  0; -EBUSY while draining; -EALREADY: there is none
 * to be taken back.  It does not outlive the process. */
int relay_drain_slowly(struct relay *relay, uint64_t spread_ms);

/* Closes and frees all. */
void relay_fini(struct relay *relay);

/* True when every worker's loop has gone round since the last call: none of them hangs. */
bool relay_has_moved(struct relay *relay);
