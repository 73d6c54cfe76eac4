// SPDX-License-Identifier: MIT
/* Why each option is set stands at the line that sets it.
 *
 * Values come from the operator as 64-bit numbers and are cut to what the kernel takes; that the
 * kernel may round or limit them further (net.core.wmem_max) is left to it. */
#include "net/sockopt.h"

#include <errno.h>
#include <poll.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/errmsg.h"

/* The kernel's own limits for keepalive times (tcp(7), MAX_TCP_KEEPIDLE). */
#define KEEPALIVE_MAX_S  32767
#define KEEPALIVE_PROBES 3

/* Tries every option and keeps the first failure. */
struct attempt {
	int fd;
	int first_error; /* 0 or -errno */
	struct errmsg *err;
};

static void set_option(struct attempt *attempt, int level, int option, const char *name,
		       const void *value, size_t bytes)
{
	if (setsockopt(attempt->fd, level, option, value, (socklen_t)bytes) == 0 ||
	    attempt->first_error)
		return;
	attempt->first_error = -errno;
	errmsg_errno(attempt->err, -attempt->first_error, "set %s", name);
}

static void set_number(struct attempt *attempt, int level, int option, const char *name,
		       uint64_t number)
{
	/* half of INT_MAX, because the kernel doubles buffer sizes */
	int value = (int)(number < INT_MAX / 2 ? number : INT_MAX / 2);

	set_option(attempt, level, option, name, &value, sizeof(value));
}

int sockopt_number(int fd, int level, int option)
{
	int value = 0;
	socklen_t bytes = sizeof(value);

	return getsockopt(fd, level, option, &value, &bytes) < 0 ? -errno : value;
}

bool sockopt_is_tcp(int fd)
{
	int domain = sockopt_number(fd, SOL_SOCKET, SO_DOMAIN);

	return domain >= 0 && domain != AF_UNIX;
}

bool sockopt_is_listening(int fd)
{
	return sockopt_number(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
}

static uint64_t keepalive_seconds(uint64_t ms)
{
	uint64_t s = ms / 1000;

	return s < 1 ? 1 : s > KEEPALIVE_MAX_S ? KEEPALIVE_MAX_S : s;
}

/* A peer whose machine or network vanished sends no FIN; without probes it would hold its quota
 * for ever.  Half of the time is silence, the other half is three probes. */
static void set_keepalive(struct attempt *attempt, uint64_t keepalive_ms)
{
	if (keepalive_ms == 0)
		return;
	set_number(attempt, SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE", 1);
	set_number(attempt, IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE",
		   keepalive_seconds(keepalive_ms / 2));
	set_number(attempt, IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL",
		   keepalive_seconds(keepalive_ms / 2 / KEEPALIVE_PROBES));
	set_number(attempt, IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT", KEEPALIVE_PROBES);
}

int sockopt_apply_subscriber(int fd, const struct sockopt_params *params, struct errmsg *err)
{
	struct attempt attempt = {.fd = fd, .err = err};

	/* Bounds what a subscriber that does not read can pin.  It also ends the kernel's
	 * autotuning, and with it full speed over long distances: hence not by default. */
	if (params->send_buffer)
		set_number(&attempt, SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF", params->send_buffer);
	if (!sockopt_is_tcp(fd))
		return attempt.first_error;

	/* A packet is sent when it is there; Nagle would hold its tail until the one before is
	 * acknowledged. */
	set_number(&attempt, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY", 1);
	/* Bounds what waits in the kernel behind the congestion window, where it can be neither
	 * skipped nor counted as lag, without a limit on what is in flight. */
	if (params->notsent_lowat)
		set_number(&attempt, IPPROTO_TCP, TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT",
			   params->notsent_lowat);
	/* Data in flight to a dead peer is otherwise retried for a quarter of an hour, and
	 * keepalive is silent meanwhile.  See sockopt_user_timeout(). */
	if (params->user_timeout_ms)
		set_number(&attempt, IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT",
			   params->user_timeout_ms);
	set_keepalive(&attempt, params->keepalive_ms);
	/* The system's default may suit other traffic; splicing is faster under one that does not
	 * pace (design.md 4). */
	if (params->congestion[0])
		set_option(&attempt, IPPROTO_TCP, TCP_CONGESTION, "TCP_CONGESTION",
			   params->congestion,
			   strnlen(params->congestion, sizeof(params->congestion)));
	return attempt.first_error;
}

int sockopt_apply_publisher(int fd, uint64_t keepalive_ms, struct errmsg *err)
{
	struct attempt attempt = {.fd = fd, .err = err};

	/* relay sends a publisher nothing, so probes are the only way to find out that it is gone;
	 * as long as it holds the feed, no other one can have it. */
	if (sockopt_is_tcp(fd))
		set_keepalive(&attempt, keepalive_ms);
	return attempt.first_error;
}

uint32_t sockopt_user_timeout(int fd)
{
	int ms = sockopt_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);

	return ms < 0 ? 0 : (uint32_t)ms;
}

void sockopt_set_user_timeout(int fd, uint32_t ms)
{
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

void sockopt_set_low_water(int fd, uint64_t bytes)
{
	struct attempt attempt = {.fd = fd, .first_error = -1};
	int before = sockopt_number(fd, SOL_SOCKET, SO_RCVBUF), after;

	/* Refused: it is taken at once, as without. */
	set_number(&attempt, SOL_SOCKET, SO_RCVLOWAT, "SO_RCVLOWAT", bytes);
	/* A mark that does not fit the receive buffer makes that larger, and the window never
	 * larger than the mark (tcp_set_rcvlowat(), net/ipv4/tcp.c).  The publisher would be held
	 * to it for good. */
	after = sockopt_number(fd, SOL_SOCKET, SO_RCVBUF);
	if (after > before)
		set_number(&attempt, IPPROTO_TCP, TCP_WINDOW_CLAMP, "TCP_WINDOW_CLAMP",
			   (uint64_t)after);
}

void sockopt_clear_low_water(int fd)
{
	static const int one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
}

void sockopt_set_reset_on_close(int fd)
{
	static const struct linger reset = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

void sockopt_clear_reset_on_close(int fd)
{
	static const struct linger ordinary = {.l_onoff = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &ordinary, sizeof(ordinary));
}

int sockopt_cookie(int fd, uint64_t *ret_cookie)
{
	socklen_t bytes = sizeof(*ret_cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret_cookie, &bytes) < 0 ? -errno : 0;
}

bool sockopt_has_cookie(int fd, uint64_t cookie)
{
	uint64_t own;

	return sockopt_cookie(fd, &own) == 0 && own == cookie;
}

bool sockopt_is_peer_closed(int fd)
{
	struct pollfd end = {.fd = fd, .events = POLLRDHUP};

	return poll(&end, 1, 0) > 0;
}
