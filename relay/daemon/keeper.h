// SPDX-License-Identifier: MIT
/*
 * The keeper: a second process that has the same table of descriptors as relay (CLONE_FILES,
 * clone(2)) and nothing else to do than to wait for relay's end.  Whatever relay opens and closes
 * is open and closed there too, which costs relay nothing.  When relay dies without an orderly end,
 * all of it is still open: the keeper puts it into a bag (daemon/handover_bag.h) and gives that,
 * with the region of daemon/crash_record.h as the state, to the service manager's store.
 *
 * It must not outlive an orderly end, nor an exec, which gives relay a table of its own: it would
 * hold every connection open.  It takes no signal but SIGKILL and SIGSTOP; a service manager that
 * stops what is left of a service waits for it (KillMode=control-group, systemd.kill(5)).
 *
 * Control thread only.
 */
#pragma once

#include <ev.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/compiler.h"
#include "daemon/crash_record.h"
#include "daemon/handover_bag.h"
#include "daemon/notify_socket.h"

struct keeper {
	uint64_t restarts; /* ro: times it ended and relay did not want it to */
	pid_t pid;         /* ro; 0: there is none */

	/* private */
	struct crash_record *record;
	struct notify_socket manager;
	int barrier_fds[2]; /* to be closed by the manager; to see that it has been */
	int relay_fd;       /* pidfd of relay */
	struct handover_bag bag;
	int pid_fd;
	struct ev_loop *loop;
	ev_io ended;
	ev_timer again;
	uint64_t started_ms;
};

/* Without a process yet.  What ends unwanted is started anew from `loop`. */
void keeper_init(struct keeper *keeper, struct ev_loop *loop);

/* True when there is a service manager to give anything to: $NOTIFY_SOCKET. */
bool keeper_is_possible(void);

/* Starts it, for a region that must stay until it is stopped.  The first time best before there is
 * a second thread or much memory, of which it keeps a copy-on-write image.  0; or -errno, and there
 * is none. */
must_check int keeper_start(struct keeper *keeper, struct crash_record *record);

/* After keeper_stop(): starts it again, now or when it can be; what prevents it is logged.  Does
 * nothing for one that was never started. */
void keeper_resume(struct keeper *keeper);

/* Ends it; it has been reaped on return.  Idempotent. */
void keeper_stop(struct keeper *keeper);
