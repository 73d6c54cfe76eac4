// SPDX-License-Identifier: MIT
/*
 * The admin server.  Operators, their browsers and Prometheus ask it how relay is; relayctl has
 * relay do things through it.  Read this header first in admin/.
 *
 * There are three doors.  At the tcp address one can only look; `allow` and a check of the Host
 * field guard it.  At the unix socket one can also command; file permissions guard it.  At the
 * third one, load balancers get a line.
 *
 *   admin_door.c   the doors, and who may come in
 *   admin_route.c  the table: which path is answered by what
 *   admin_agent.c  the line for load balancers
 *   admin_...c     the answers: status, metrics, limits, commands, the page
 *   collect.c      asks the workers for what only they know
 *   status.c       the same status in the log
 *
 * All of it runs in the control thread.  Each request is answered at once.
 *
 * This is only the struct.  It is made and changed by admin/admin_door.h.
 */
#pragma once

#include "admin/admin_actions.h"
#include "admin/admin_page.h"
#include "base/log_rate.h"
#include "http/http_connection.h"
#include "net/access.h"
#include "net/listener.h"
#include "net/peer_rate.h"

struct service;
struct admin;

enum admin_door_kind {
	ADMIN_TCP,
	ADMIN_UNIX,
	ADMIN_SERVERS, /* so many speak HTTP */
	ADMIN_AGENT = ADMIN_SERVERS,
	ADMIN_DOORS
};

/* Where one comes in. */
struct admin_door {
	struct admin *admin;
	enum admin_door_kind kind;
	char *address; /* as wanted; owned */
	struct listener listener;
};

struct admin {
	struct service *service;
	const struct admin_actions *actions;
	void *owner;                               /* of the actions */
	struct http_server servers[ADMIN_SERVERS]; /* they outlive their doors */
	struct admin_door *doors[ADMIN_DOORS];     /* owned; NULL: closed */
	struct access access;                      /* of ADMIN_TCP and ADMIN_AGENT */
	char *hosts;                               /* "a.example,b.example"; owned */
	struct admin_page page;
	struct peer_rate rate; /* of ADMIN_TCP: what is asked costs the workers a little */
	struct log_rate denied_log;
};

/* The process as it is now. */
static inline void admin_describe(const struct admin *admin, struct admin_process *ret)
{
	admin->actions->describe(admin->owner, ret);
}
