// SPDX-License-Identifier: MIT
/* Tries, pauses and proofs.  All waits end early on a stop request (tools/shared/stop.h). */
#include "tools/shared/connection.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
	ADDRESS_BYTES = 256,
	// A peer whose machine is gone is noticed after 15 + 3 * 5 quiet seconds.
	KEEPALIVE_IDLE_S = 15,
	KEEPALIVE_PAUSE_S = 5,
	KEEPALIVE_PROBES = 3,
};

static const uint64_t for_ever_ms = UINT64_MAX / NS_PER_MS / 4;

void connection_init(struct connection *connection, const struct connection_params *params)
{
	*connection = (struct connection){.params = *params, .listen_fd = -1, .fd = -1};
}

static void close_listener(struct connection *connection)
{
	if (connection->listen_fd >= 0)
		connect_address_unlink(connection->params.address);
	fd_close(&connection->listen_fd);
}

void connection_fini(struct connection *connection)
{
	close_listener(connection);
	fd_close(&connection->fd);
}

/* Whoever only reads, or has nothing to send, would never learn that the other machine is gone. */
static void set_keepalive(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
		{IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_PAUSE_S},
		{IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
	};

	// A unix socket has no such options (EOPNOTSUPP), and no other machine.
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
				 sizeof options[i].value);
}

static int listen_once(struct connection *connection, struct errmsg *error)
{
	char local[ADDRESS_BYTES];

	if (connection->listen_fd >= 0)
		return 0;
	connection->listen_fd = connect_address_listen(connection->params.address, error);
	if (connection->listen_fd < 0)
		return connection->listen_fd;
	connect_address_print_local(connection->listen_fd, local, sizeof local);
	if (!connection->params.quiet)
		(void)fprintf(stderr, "%s: listening on %s\n", connection->params.program, local);
	return 0;
}

/* One peer, or one round over all addresses. */
static int try_once(struct connection *connection, uint64_t retry_ms, struct errmsg *error)
{
	const struct connection_params *params = &connection->params;

	if (!params->listens)
		return connect_address_open(params->address, retry_ms, error);
	return connect_address_accept(connection->listen_fd, error);
}

void connection_tell_end(const struct connection *connection, struct errmsg *ret_reason)
{
	const char *name = connection->params.address->text;
	int failure = 0;
	socklen_t size = sizeof failure;

	(void)getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &failure, &size);
	if (failure)
		errmsg_errno(ret_reason, failure, "%s cut the connection", name);
	else
		errmsg_set(ret_reason, "%s closed the connection", name);
}

/* 0 when the peer keeps the connection; else closes it and returns -EPIPE, or -EINTR. */
static int prove(struct connection *connection, struct errmsg *error)
{
	int r = connect_address_wait(connection->fd, POLLIN | POLLRDHUP, CONNECTION_PROVED_MS);
	char byte;

	if (r == -ETIMEDOUT || (r == 0 && recv(connection->fd, &byte, 1, MSG_PEEK) > 0))
		return 0;
	if (r == 0) {
		connection_tell_end(connection, error);
		r = -EPIPE;
	} else if (r != -EINTR) {
		errmsg_errno(error, r, "cannot wait for %s", connection->params.address->text);
	}
	fd_close(&connection->fd);
	return r;
}

/* Until there is a connection that the peer keeps. */
static int keep_trying(struct connection *connection, struct errmsg *error)
{
	const struct connection_params *params = &connection->params;
	struct reconnect *reconnect = &connection->reconnect;
	uint64_t limit_ms = params->retry_ms ? params->retry_ms : for_ever_ms;

	for (;;) {
		uint64_t gone_ms = (clock_mono_ns() - reconnect->lost_ns) / NS_PER_MS;
		uint64_t pause_ms = reconnect_next_ms(reconnect, arc4random());
		int r;

		pause_ms = u64_min(pause_ms, limit_ms - u64_min(gone_ms, limit_ms));
		r = connect_address_wait(-1, 0, pause_ms);
		if (r == -EINTR)
			return r;
		r = try_once(connection, 0, error);
		if (r >= 0) {
			connection->fd = r;
			r = prove(connection, error);
		}
		if (r >= 0 || r == -EINTR || gone_ms >= limit_ms)
			return r;
		if (reconnect->tries == 1 && connection->losses == 0)
			(void)fprintf(stderr, "%s: %s; trying again\n", params->program,
				      error->text);
	}
}

const char *connection_print_away(const struct connection *connection,
				  char buf[CONNECTION_AWAY_BYTES])
{
	uint32_t tries = connection->reconnect.tries;

	(void)snprintf(buf, CONNECTION_AWAY_BYTES, "%.1f s, %" PRIu32 " %s",
		       (double)connection->away_ns / (double)NS_PER_S, tries,
		       tries == 1 ? "try" : "tries");
	return buf;
}

static void take_up(struct connection *connection)
{
	const struct connection_params *params = &connection->params;
	struct reconnect *reconnect = &connection->reconnect;
	char away[CONNECTION_AWAY_BYTES];

	reconnect_opened(reconnect, clock_mono_ns());
	connection->away_ns = reconnect->opened_ns - reconnect->lost_ns;
	if (!params->reconnects)
		return;
	set_keepalive(connection->fd);
	if (connection->losses == 0 && reconnect->tries > 1)
		(void)fprintf(stderr, "%s: %s is there after %s\n", params->program,
			      params->address->text, connection_print_away(connection, away));
}

int connection_open(struct connection *connection, struct errmsg *error)
{
	const struct connection_params *params = &connection->params;
	int r = 0;

	if (connection->losses == 0)
		reconnect_init(&connection->reconnect, clock_mono_ns());
	if (params->listens)
		r = listen_once(connection, error);
	if (r < 0)
		return r;
	if (params->reconnects) {
		r = keep_trying(connection, error);
	} else {
		r = try_once(connection, params->retry_ms, error);
		close_listener(connection);
		connection->fd = r < 0 ? -1 : r;
	}
	if (r >= 0)
		take_up(connection);
	return r < 0 ? r : 0;
}

void connection_lost(struct connection *connection, const char *reason)
{
	struct reconnect *reconnect = &connection->reconnect;
	uint64_t lost_ns = reconnect->lost_ns;
	uint32_t tries = reconnect->tries;

	fd_close(&connection->fd);
	reconnect_lost(reconnect, clock_mono_ns());
	if (!reason) {
		reconnect->lost_ns = lost_ns;
		reconnect->tries = tries;
		return;
	}
	connection->losses++;
	(void)fprintf(stderr, "%s: %s; trying again\n", connection->params.program, reason);
}
