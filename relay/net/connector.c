// SPDX-License-Identifier: MIT
/* Rounds of attempts, and probes.
 *
 * An attempt looks one endpoint up and tries its addresses in turn; it ends in attempt_succeeded()
 * or attempt_failed(), which look at the state to tell a round (CONNECTING) from a probe
 * (CONNECTED).  Every step is taken from a watcher's callback, and what may call the owner is the
 * last thing there. */
#include "net/connector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"

/* A name may have hundreds of addresses.  After so long the next endpoint has its turn; this one is
 * tried again later, and its addresses come in another order then. */
#define ATTEMPT_MS 30000u

/* Short enough that a feed is back on its better publisher within a quarter of a minute, rare
 * enough that a connection that is closed at once does not bother the publisher. */
#define PROBE_MS 5000u

/* An endpoint that accepts and then hangs up is broken, not back. */
#define SETTLED_MS 10000u

/* How often in a row a better endpoint must be reachable.  Doubled, up to the second value (four
 * minutes), whenever a connection did not settle, so that the feed does not swing to and fro. */
#define PROBES_NEEDED     3u
#define PROBES_NEEDED_MAX 48u

static void start_attempt(struct connector *connector, size_t index);

static void start_timer(struct connector *connector, struct ev_timer *timer, uint32_t ms)
{
	ev_timer_stop(connector->loop, timer);
	ev_timer_set(timer, ms / 1000.0, 0.0);
	ev_timer_start(connector->loop, timer);
}

/* ---- the course of rounds and probes ---- */

static void wait_for_round(struct connector *connector, size_t index, uint32_t ms)
{
	connector->state = CONNECTOR_WAITING;
	connector->round_start = index;
	start_timer(connector, &connector->pause_over, ms);
}

static void wait_for_probe(struct connector *connector)
{
	if (connector->current > 0)
		start_timer(connector, &connector->pause_over, connector->pace.probe_ms);
}

static void wait_after_failures(struct connector *connector)
{
	wait_for_round(
		connector, 0,
		backoff_next_ms(&connector->backoff, connector->pace.retry_max_ms, arc4random()));
}

static void tell_connecting(struct connector *connector, size_t index)
{
	struct connector_target *target = &connector->targets[index];

	if (connector->state == CONNECTOR_CONNECTING && !target->is_told) {
		target->is_told = true;
		connector->events->on_connecting(connector->owner, index);
	}
}

static void tell_failure(struct connector *connector, size_t index, const char *error)
{
	uint64_t suppressed;

	if (connector->state == CONNECTOR_CONNECTING &&
	    log_allow_each_minute(&connector->targets[index].failed_rate, clock_mono_ns(),
				  &suppressed))
		connector->events->on_failed(connector->owner, index, error, suppressed);
}

/* When it is lost again, that is news. */
static void tell_rest(struct connector *connector, size_t index)
{
	struct connector_target *target = &connector->targets[index];

	if (target->failed_rate.suppressed)
		connector->events->on_more_failed(connector->owner, index,
						  target->failed_rate.suppressed);
	target->failed_rate = (struct log_rate){0};
	target->is_told = false;
}

/* Forget the attempt under way, if any, and close what it has opened. */
static void end_attempt(struct connector *connector)
{
	if (connector->is_opening)
		connector->events->on_given_up(connector->owner, false);
	connector->is_opening = false;
	resolver_cancel(&connector->resolver);
	ev_timer_stop(connector->loop, &connector->timed_out);
	ev_io_stop(connector->loop, &connector->connected);
	peer_socket_close(&connector->fd);
	resolver_answer_free(&connector->answer);
}

static void attempt_failed(struct connector *connector, const char *error)
{
	size_t next = connector->attempt_target + 1;

	tell_failure(connector, connector->attempt_target, error);
	end_attempt(connector);
	if (connector->state == CONNECTOR_CONNECTING) {
		if (next < connector->target_count)
			start_attempt(connector, next);
		else
			wait_after_failures(connector);
		return;
	}
	connector->targets[connector->attempt_target].probes_ok = 0;
	if (next < connector->current)
		start_attempt(connector, next);
	else
		wait_for_probe(connector);
}

/* The endpoint of the attempt is in use from here on. */
static void settle_on_attempt(struct connector *connector)
{
	connector->state = CONNECTOR_CONNECTED;
	connector->current = connector->attempt_target;
	connector->connected_ns = clock_mono_ns();
	for (size_t i = 0; i < connector->target_count; i++)
		connector->targets[i].probes_ok = 0;
	tell_rest(connector, connector->current);
	wait_for_probe(connector);
}

/* The connection is of use, and the owner's. */
static void hand_over(struct connector *connector)
{
	bool is_probe = connector->state == CONNECTOR_CONNECTED;
	int fd = connector->fd;

	connector->fd = -1; /* not to be closed with the attempt */
	end_attempt(connector);
	settle_on_attempt(connector);
	if (is_probe)
		connector->events->on_better(connector->owner, fd, connector->current);
	else
		connector->events->on_connected(connector->owner, fd, connector->current);
}

static void attempt_succeeded(struct connector *connector)
{
	struct connector_target *target = &connector->targets[connector->attempt_target];
	bool is_probe = connector->state == CONNECTOR_CONNECTED;

	if (is_probe && ++target->probes_ok < connector->probes_needed) {
		end_attempt(connector);
		wait_for_probe(connector);
		return;
	}
	ev_io_stop(connector->loop, &connector->connected);
	connector->is_opening = true;
	start_timer(connector, &connector->timed_out, connector->pace.connect_timeout_ms);
	if (connector->events->on_opening &&
	    connector->events->on_opening(connector->owner, connector->fd,
					  connector->attempt_target))
		return;
	connector->is_opening = false;
	hand_over(connector);
}

/* ---- one attempt ---- */

/* Connecting to a free local port of the ephemeral range can meet itself (simultaneous open) and
 * would then keep the publisher from ever binding it. */
static bool is_connected_to_itself(int fd)
{
	struct sockaddr_storage here = {0}, there = {0};
	socklen_t here_bytes = sizeof(here), there_bytes = sizeof(there);

	if (getsockname(fd, (struct sockaddr *)&here, &here_bytes) < 0 ||
	    getpeername(fd, (struct sockaddr *)&there, &there_bytes) < 0)
		return false;
	return here.ss_family != AF_UNIX && here_bytes == there_bytes &&
	       memcmp(&here, &there, here_bytes) == 0;
}

/* Returns 0 or -errno: how a connect() that is over has ended. */
static int finish_connect(int fd)
{
	int err = 0;
	socklen_t bytes = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &bytes) < 0)
		return -errno;
	if (err == 0 && is_connected_to_itself(fd)) {
		sockopt_set_reset_on_close(fd);
		return -ECONNREFUSED;
	}
	return -err;
}

/* Returns 0 when connected, -EINPROGRESS when that will show, or -errno. */
static int begin_connect(struct connector *connector, const struct endpoint_address *address)
{
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	peer_socket_refuse_descriptors(fd);
	connector->fd = fd;
	ev_io_set(&connector->connected, fd, EV_WRITE);
	if (connect(fd, (const struct sockaddr *)&address->storage, address->bytes) == 0)
		return finish_connect(fd);
	return errno == EINTR ? -EINPROGRESS : -errno;
}

/* The first address is tried in any case. */
static bool has_next_address(const struct connector *connector)
{
	uint64_t since_ns = clock_mono_ns() - connector->attempt_ns;

	return connector->next_address < connector->answer.count &&
	       (connector->next_address == 0 || since_ns < connector->pace.attempt_ms * NS_PER_MS);
}

/* r: -errno of the address before, for the case that it was the last. */
static void try_next_address(struct connector *connector, int r)
{
	while (has_next_address(connector)) {
		ev_io_stop(connector->loop, &connector->connected);
		peer_socket_close(&connector->fd);
		r = begin_connect(connector,
				  &connector->answer.addresses[connector->next_address++]);
		if (r == -EINPROGRESS) {
			ev_io_start(connector->loop, &connector->connected);
			start_timer(connector, &connector->timed_out,
				    connector->pace.connect_timeout_ms);
			return;
		}
		if (r == 0) {
			attempt_succeeded(connector);
			return;
		}
	}
	attempt_failed(connector, strerror(-r));
}

static void on_answer(void *owner, struct resolver_answer *answer)
{
	struct connector *connector = owner;

	if (answer->error) {
		attempt_failed(connector, answer->error);
		return;
	}
	connector->answer = *answer;
	*answer = (struct resolver_answer){0};
	try_next_address(connector, -EADDRNOTAVAIL);
}

static void on_connected(struct ev_loop *loop, struct ev_io *watcher, int revents)
{
	struct connector *connector = container_of(watcher, struct connector, connected);
	/* The kernel may have no room to watch it (epoll_ctl(2)). */
	int r = revents & EV_ERROR ? -ENOMEM : finish_connect(connector->fd);

	(void)loop;
	if (r == 0)
		attempt_succeeded(connector);
	else
		try_next_address(connector, r);
}

static void on_timed_out(struct ev_loop *loop, struct ev_timer *watcher, int revents)
{
	struct connector *connector = container_of(watcher, struct connector, timed_out);

	(void)loop;
	(void)revents;
	if (connector->is_opening) {
		connector->events->on_given_up(connector->owner, true);
		connector_refused(connector, "no answer to the request in time");
		return;
	}
	if (connector->answer.count == 0)
		attempt_failed(connector, "no answer from the name server");
	else
		try_next_address(connector, -ETIMEDOUT);
}

static void start_attempt(struct connector *connector, size_t index)
{
	int r;

	connector->attempt_target = index;
	connector->attempt_ns = clock_mono_ns();
	connector->next_address = 0;
	tell_connecting(connector, index);
	start_timer(connector, &connector->timed_out, connector->pace.connect_timeout_ms);
	r = resolver_start(&connector->resolver, &connector->targets[index].endpoint);
	if (r < 0)
		attempt_failed(connector, strerror(-r));
}

static void on_pause_over(struct ev_loop *loop, struct ev_timer *watcher, int revents)
{
	struct connector *connector = container_of(watcher, struct connector, pause_over);

	(void)loop;
	(void)revents;
	if (connector->state == CONNECTOR_CONNECTED) {
		start_attempt(connector, 0);
		return;
	}
	connector->state = CONNECTOR_CONNECTING;
	start_attempt(connector, connector->round_start);
}

/* ---- for the owner ---- */

void connector_init(struct connector *connector, struct ev_loop *loop,
		    const struct endpoint *endpoints, size_t count,
		    const struct connector_events *events, void *owner)
{
	*connector = (struct connector){
		.pace = {CONNECTOR_TIMEOUT_MS, ATTEMPT_MS, PROBE_MS, SETTLED_MS, BACKOFF_MAX_MS},
		.loop = loop,
		.target_count = size_min(count, CONNECTOR_MAX_ENDPOINTS),
		.events = events,
		.owner = owner,
		.probes_needed = PROBES_NEEDED,
		.fd = -1,
	};
	for (size_t i = 0; i < connector->target_count; i++)
		connector->targets[i].endpoint = endpoints[i];
	resolver_init(&connector->resolver, loop, on_answer, connector);
	ev_init(&connector->pause_over, on_pause_over);
	ev_init(&connector->connected, on_connected);
	ev_init(&connector->timed_out, on_timed_out);
}

void connector_start(struct connector *connector)
{
	if (connector->state == CONNECTOR_STOPPED)
		wait_for_round(connector, 0, 0);
}

void connector_resume(struct connector *connector, size_t index)
{
	connector->attempt_target = size_min(index, connector->target_count - 1);
	settle_on_attempt(connector);
}

void connector_stop(struct connector *connector)
{
	end_attempt(connector);
	ev_timer_stop(connector->loop, &connector->pause_over);
	connector->state = CONNECTOR_STOPPED;
}

/* index: the endpoint to begin with, if this one was good for long enough. */
static void connect_again(struct connector *connector, size_t index)
{
	uint64_t lived_ns = clock_mono_ns() - connector->connected_ns;

	if (connector->state != CONNECTOR_CONNECTED)
		return;
	end_attempt(connector);
	if (lived_ns >= connector->pace.settled_ms * NS_PER_MS) {
		backoff_reset(&connector->backoff);
		connector->probes_needed = PROBES_NEEDED;
		wait_for_round(connector, index, 0);
		return;
	}
	if (connector->probes_needed < PROBES_NEEDED_MAX)
		connector->probes_needed *= 2;
	if (connector->current + 1 < connector->target_count)
		wait_for_round(connector, connector->current + 1, 0);
	else
		wait_after_failures(connector);
}

void connector_lost(struct connector *connector)
{
	connect_again(connector, 0);
}

void connector_leave(struct connector *connector)
{
	connect_again(connector, (connector->current + 1) % connector->target_count);
}

void connector_opened(struct connector *connector)
{
	connector->is_opening = false;
	hand_over(connector);
}

void connector_refused(struct connector *connector, const char *error)
{
	connector->is_opening = false;
	if (has_next_address(connector))
		try_next_address(connector, -EPROTO);
	else
		attempt_failed(connector, error);
}

void connector_reopen(struct connector *connector)
{
	connector->is_opening = false;
	connector->next_address--;
	try_next_address(connector, -EPROTO);
}
