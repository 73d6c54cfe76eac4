// SPDX-License-Identifier: MIT
/*
 * The doors of the admin server: opened, changed and closed as the configuration wants it.
 */
#pragma once

#include "admin/admin.h"
#include "base/compiler.h"
#include "base/errmsg.h"
#include "config/config.h"

/* Doors that a configuration has and the one before has not. */
struct admin_change {
	struct admin_door *made[ADMIN_DOORS]; /* owned; NULL: stays as it is, or goes */
	enum admin_door_kind failed;          /* after a failure: which could not be opened, */
	struct endpoint endpoint;             /* and where */
};

/* With closed doors.  The service, the actions and their owner must outlive it. */
void admin_init(struct admin *admin, struct service *service, const struct admin_actions *actions,
		void *owner);

/* Opens what `config` adds, beside what the process listens on already.  0; or -errno with a
 * message, and *ret has what could be opened, to be undone or applied. */
int admin_open_new(struct admin *admin, const struct config *config, const struct own_sockets *own,
		   struct admin_change *ret, struct errmsg *err) must_check;
void admin_undo(struct admin_change *change);

/* Takes over the new doors and what else `config` changes; closes the doors that it has not. */
void admin_apply(struct admin *admin, const struct config *config, struct admin_change *change);

/* To be called again and again: sums up the lines that were held back. */
void admin_tick(struct admin *admin);

void admin_fini(struct admin *admin);
