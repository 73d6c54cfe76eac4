// SPDX-License-Identifier: MIT
/*
 * How state and descriptors get from one process to the next, as three descriptors: a sealed memfd
 * with the stream, and both ends of a socketpair in whose queue all other descriptors wait
 * (SCM_RIGHTS, unix(7)).  So thousands of sockets cost neither the service manager's store nor an
 * exec anything, and nothing is lost while no process has them.
 *
 * The memfd begins with a magic and the schema (handover_schema()): a state of another one
 * is refused before anything of it is believed.  One magic is that of a process that died,
 * which daemon/crash_read.h reads.
 */
#pragma once

#include "base/errmsg.h"
#include "serve/handover.h"

/* -1: none. */
struct handover_bag {
	int state_fd;
	int in_fd;  /* what is sent here, */
	int out_fd; /* waits here */
};

#define HANDOVER_BAG_NONE ((struct handover_bag){-1, -1, -1})

/* How the three travel: by these names in the service manager's store (FDNAME=), or by their
 * numbers in this variable over an exec. */
#define HANDOVER_ENVIRONMENT "RELAY_HANDOVER"
#define HANDOVER_STATE_NAME  "relay-state"
#define HANDOVER_IN_NAME     "relay-bag-in"
#define HANDOVER_OUT_NAME    "relay-bag-out"

/* An empty bag without a state.  0 or -errno, *ret is none then. */
must_check int handover_bag_open(struct handover_bag *ret);

/* Puts up to FD_MESSAGE_MAX descriptors into it (net/fd_message.h).  `first` says how many went in
 * before them.  0 or -errno, none of these is in it then.  Async-signal-safe. */
must_check int handover_bag_send(const struct handover_bag *bag, const int *fds, size_t count,
				 uint64_t first);

/* Fills a new bag; the descriptors of the relay stay open, the bag has duplicates.  0, or -errno
 * with a message and no bag: most likely ETOOMANYREFS, when more descriptors than RLIMIT_NOFILE
 * would be on their way (unix(7)), or EAGAIN, when the socketpair holds no more
 * (net.core.wmem_max). */
must_check int handover_pack(struct handover *handover, struct handover_bag *ret,
			     struct errmsg *err);

/* Empties the bag, which is closed.  0 and *ret, the caller's to handover_close(); or -errno with a
 * message: all that was in the bag has been closed, sockets by reset, so that nobody takes that for
 * a clean end. */
must_check int handover_unpack(struct handover_bag *bag, struct handover **ret, struct errmsg *err);

/* The bag that the environment names, which is cleared of it; HANDOVER_BAG_NONE without. */
struct handover_bag handover_bag_inherited(void);

/* Whether an exec keeps it. */
void handover_bag_keep(const struct handover_bag *bag, bool is_kept);

void handover_bag_close(struct handover_bag *bag);
