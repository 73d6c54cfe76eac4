// SPDX-License-Identifier: MIT
/* A tool's connection to relay, which with --reconnect is made anew whenever it is lost.
 *
 * Each try looks the name up anew, and tries each of its addresses.  A new connection counts once
 * the peer has sent something, or has not hung up for CONNECTION_PROVED_MS: relay accepts whom it
 * then refuses (a second publisher, one subscriber too many).
 *
 * Two lines go to standard error, whatever the number of tries: one when the connection is lost,
 * one when it is back.  The second is the caller's, since it says what is known of the bytes; only
 * of the first connection of all it is said here. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"
#include "tools/shared/connect_address.h"
#include "tools/shared/reconnect.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	CONNECTION_PROVED_MS = 500,
	CONNECTION_AWAY_BYTES = 64,
};

struct connection_params {
	const char *program; // begins each line on standard error; not copied
	const struct connect_address *address;
	uint64_t retry_ms; // how long to try; 0: once, or with `reconnects` for ever
	bool reconnects;
	bool listens; // lets relay connect
	bool quiet;   // does not say where it listens
};

struct connection {
	struct connection_params params;
	struct reconnect reconnect;
	int listen_fd;    // or -1
	int fd;           // connected and non-blocking; -1: there is none
	uint64_t away_ns; // how long there was none before this one
	uint64_t losses;  // that connection_lost() was told
};

/* No I/O yet. */
void connection_init(struct connection *connection, const struct connection_params *params);

/* Closes all that is open.  What was sent still goes out. */
void connection_fini(struct connection *connection);

/* Connects, or accepts.  0 with connection->fd, -EINTR when a stop was requested, or -errno with
 * the reason.  With `reconnects` it fails only when retry_ms are over, or there can be no
 * listener. */
must_check int connection_open(struct connection *connection, struct errmsg *error);

/* The connection is lost: closes it, and says `reason` on standard error.  NULL: it was never said
 * to be back, so it is away for as long as it was, and nothing is said. */
void connection_lost(struct connection *connection, const char *reason);

/* "3.2 s, 4 tries": how long there was no connection.  Returns buf. */
const char *connection_print_away(const struct connection *connection,
				  char buf[CONNECTION_AWAY_BYTES]);

/* How the peer left, as the socket knows it, in words; takes the socket's error away. */
void connection_tell_end(const struct connection *connection, struct errmsg *ret_reason);
