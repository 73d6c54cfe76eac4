// SPDX-License-Identifier: MIT
/*
 * What the admin server asks of the process: what it shows of it, and what it has it do.
 * daemon/ hands these functions down.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/errmsg.h"
#include "base/log.h"
#include "config/config.h"

/* What the limits of the system leave room for; daemon/budget.h reckons it. */
struct budget {
	uint64_t descriptors; /* RLIMIT_NOFILE */
	uint64_t reserved;    /* of these, not for subscribers */
	uint64_t subscribers; /* the ceiling: max_subscribers, or what the descriptors allow */
	bool is_by_option;    /* max_subscribers is what makes the ceiling */

	size_t pipes_wanted; /* that the rings and the ingest of all feeds may use */
	size_t pipes;        /* of these, that could be had when it was tried */
	uint64_t pipe_pages; /* that this user may have in pipes; 0: no limit, or not known */
	uint64_t segments;   /* of the feed with the largest, a pipe each, that fit these pages */

	uint64_t rings_bytes;  /* of memory that all rings may take; pages in pipes are no part */
	uint64_t heads_bytes;  /* that clients at their requests may hold, at all http listeners */
	uint64_t memory_bytes; /* MemoryHigh=, MemoryMax= of the process; 0: no limit known */

	uint64_t tcp_bytes;     /* where the kernel starts to press TCP memory; 0: not known */
	uint64_t stalled_bytes; /* what a stalled subscriber may hold in its socket; 0: not known */
};

/* The process as it is now. */
struct admin_process {
	const char *version;
	const struct config *config; /* in effect */
	const struct budget *budget; /* of this configuration */
	uint64_t started_ns;         /* wall clock */
	uint64_t started_mono_ns;
	uint64_t loaded_ns; /* wall clock: when the configuration in effect was loaded */
	uint64_t fd_limit;
	uint64_t pinned_bytes;    /* held by slow subscribers; 0 without max_pinned */
	uint64_t keeper_restarts; /* times the keeper ended and was replaced */
	uint64_t log_lost;        /* lines that standard error did not take */
	enum log_level log_level;
	const char
		*config_fault; /* why the configuration in the file is not in effect; "": it is */
	uint64_t config_fallbacks; /* times that relay went on with the one before */
	bool survives_crash;       /* subscribers would go on if relay died now */
};

/* What a reload did, or why it or an upgrade did nothing: one text for each change, or each
 * error. */
struct reload_report {
	char **lines; /* owned */
	size_t count;
};

/* Without memory the line is missing.  NULL instead of a report is fine. */
void reload_report_add(struct reload_report *report, const char *text);

/* Leaves it empty. */
void reload_report_free(struct reload_report *report);

/* How the last upgrade goes, or how it ended.  One that succeeds is told by the next process, which
 * knows of none. */
struct upgrade_report {
	bool is_under_way;
	struct errmsg error;        /* why it failed; "": none has failed */
	struct reload_report lines; /* what the new program found wrong */
};

/* Control thread only; `owner` is what was given with the functions. */
struct admin_actions {
	/* Fills *ret; what it points to holds until the caller returns to the event loop. */
	void (*describe)(const void *owner, struct admin_process *ret);

	/* Loads the configuration again and applies it; *report, which is empty before, gets the
	 * lines.  0; -EBUSY while draining; -EIO when a feed could not be made anew, all else has
	 * changed then; or another -errno, and nothing has. */
	int (*reload)(void *owner, struct reload_report *report);

	/* As SIGTERM when it is no restart: a second call ends the process at once. */
	void (*drain)(void *owner);

	/* Lets subscribers go one after the other for so long, and drains then; 0: takes that back.
	 * 0; -EBUSY while draining; -EALREADY when there is nothing to take back. */
	int (*drain_slowly)(void *owner, uint64_t spread_ms);

	/* Begins to run the program anew.  0: it has begun, and upgrade_report() says how it ends;
	 * -EBUSY while draining, also slowly; -EALREADY when one is under way; or another -errno.
	 * `err` says why. */
	int (*upgrade)(void *owner, struct errmsg *err);

	/* Never NULL; it holds until the caller returns to the event loop. */
	const struct upgrade_report *(*upgrade_report)(const void *owner);

	/* What the log has from now on, until the next reload. */
	void (*set_log_level)(void *owner, enum log_level level);
};
