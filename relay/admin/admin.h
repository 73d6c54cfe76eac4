// SPDX-License-Identifier: MIT
/*
 * The admin server: what operators, their browsers and Prometheus ask relay, and what relayctl has
 * it do.  It has two doors: a tcp address, where one can only look, guarded by `allow` and a check
 * of the Host field; and a unix socket, where one can also command, guarded by file permissions.
 *
 * All of it runs in the control thread, one request at a time, and is answered at once.  What only
 * the workers know is asked for by collect.h.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>

#include "admin/admin_page.h"
#include "base/errmsg.h"
#include "base/log.h"
#include "config/config.h"
#include "http/http_connection.h"
#include "net/access.h"
#include "net/listener.h"
#include "net/token_bucket.h"

struct relay;
struct admin;

enum admin_door_kind {
	ADMIN_TCP,
	ADMIN_UNIX,
	ADMIN_DOORS
};

/* Where one comes in. */
struct admin_door {
	struct admin *admin;
	enum admin_door_kind kind;
	char *address; /* as wanted; owned */
	struct listener listener;
};

/* Doors that a configuration has and the one before has not. */
struct admin_change {
	struct admin_door *made[ADMIN_DOORS]; /* owned; NULL: stays as it is, or goes */
};

struct admin {
	struct relay *relay;
	struct ev_loop *loop;
	struct http_server servers[ADMIN_DOORS]; /* they outlive their doors */
	struct admin_door *doors[ADMIN_DOORS];   /* owned; NULL: closed */
	struct access access;                    /* of ADMIN_TCP */
	char *hosts;                             /* "a.example,b.example"; owned */
	struct admin_page page;
	struct token_bucket rate; /* of ADMIN_TCP: what is asked costs the workers a little */
	struct log_rate denied_log;
};

/* Closed doors. */
void admin_init(struct admin *admin, struct relay *relay, struct ev_loop *loop);

/* Opens what `config` adds.  0, or -errno with a message; *ret is to be undone then. */
int admin_open_new(struct admin *admin, const struct config *config, struct admin_change *ret,
		   struct errmsg *err) must_check;
void admin_undo(struct admin_change *change);

/* Takes over the new doors and what else `config` changes; closes the doors that it has not. */
void admin_apply(struct admin *admin, const struct config *config, struct admin_change *change);

void admin_fini(struct admin *admin);
