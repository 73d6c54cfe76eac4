// SPDX-License-Identifier: MIT
/*
 * What a configuration adds to what is served already: its sockets, feeds, listeners and doors.
 *
 * All of it is opened first, while the sockets of the configuration before still listen:
 * net/listen_socket.h says how one can stand beside the other.  So everything can be undone up to
 * the point from which on nothing can fail any more.  Of what a process before has handed over,
 * nothing is taken here; sockets are duplicated.
 *
 * Only apply.c uses it, in the control thread: run, then undo or take what is there, then fini.
 */
#pragma once

#include "admin/admin_door.h"
#include "daemon/relay.h"

/* Where a feed or a listener is to listen from now on. */
struct new_sockets {
	struct endpoint endpoint;
	struct listen_sockets sockets; /* none: it stays where it is */
};

struct opening {
	struct relay *relay;
	const struct config *config;
	/* The process before had this configuration.  It must go on: what cannot be opened is
	 * logged and left out. */
	bool is_kept;
	struct own_sockets own;
	/* In the order of the configuration.  What nobody has taken is closed at the end. */
	struct new_sockets *of_feeds, *of_listeners;
	struct list feeds, listeners; /* made, and not served yet */
	struct admin_change admin;
	struct errmsg *err, *where; /* as of relay_apply() */
};

/* Opens all.  0; or -errno with err and where, and it is to be undone. */
int opening_run(struct opening *opening) must_check;

/* Nothing has changed then. */
void opening_undo(struct opening *opening);

/* Frees what is left. */
void opening_fini(struct opening *opening);

/* The feed that is served under this name, if it can stay.  NULL: it is new, or is to be made
 * anew. */
struct served_feed *opening_staying_feed(const struct opening *opening,
					 const struct config_feed *from);
