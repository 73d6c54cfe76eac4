// SPDX-License-Identifier: MIT
/*
 * Giving everything to a new process: by running the program anew in this one (upgrade), or through
 * the service manager's store (restart).
 *
 * Both check first: the program that is at our path now is run with our arguments and
 * --check-handover SCHEMA, and has to say by exit code 0 that it can read the state and that the
 * configuration is right.  When it does not, or when something fails after that, an upgrade leaves
 * all as it was, and a restart drains; but not when only the configuration is wrong, for then the
 * next process goes on with the one before.  What it says on standard error is logged line by line.
 */
#pragma once

#include <ev.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/errmsg.h"
#include "daemon/relay.h"

struct upgrade {
	struct relay *relay;
	char **arguments; /* of main() */
	char program[4096];
	struct upgrade_report report; /* ro: is_under_way for a restart, too */
	pid_t checker;                /* 0: no upgrade is under way */
	int checker_output;           /* a file in memory, its standard error; -1: there is none */
	ev_timer poll;                /* has the checker ended?  are all signals of before taken? */
	uint64_t deadline_ms;         /* it is killed then */
	bool is_restart;              /* the checker is for one */
	bool is_late;                 /* it was killed */
	/* private: no signal is taken any more, until exec or until the upgrade has failed */
	bool is_holding_signals;
	sigset_t signals; /* private: those that were blocked before */
	bool is_stored;   /* ro: see upgrade_restart() */
};

/* `arguments` as main() got them, and to stay. */
void upgrade_init(struct upgrade *upgrade, struct relay *relay, char **arguments);

/* Starts an upgrade.  0: it has begun, and the log and the report will say how it ended, here or in
 * the new process; -EALREADY: one is under way; -EBUSY: draining; -errno of posix_spawn(3). */
int upgrade_start(struct upgrade *upgrade, struct errmsg *err) must_check;

/* Gives up one that is under way.  Idempotent. */
void upgrade_stop(struct upgrade *upgrade);

/* Starts a restart.  0: it has begun.  Either everything gets into the service manager's store and
 * the loop is ended with is_stored: then the process must end by _exit(2) and touch nothing any
 * more, for the workers stand still.  Or relay drains.  -errno as upgrade_start(). */
int upgrade_restart(struct upgrade *upgrade, struct errmsg *err) must_check;
