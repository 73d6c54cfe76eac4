// SPDX-License-Identifier: MIT
/* The accept loop and what it does when accept() fails.
 *
 * accept(2) reports errors of the connection it was about to return as its own; they concern one
 * peer and are survived at once.  Every other error is a shortage or worse and would come back on
 * the next turn of the loop, because the socket stays readable: those stop the watcher for a
 * while.  refresh_watcher() is the one place that starts and stops it. */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"

/* A flood of new peers must leave the turn to those that are there. */
#define ACCEPTS_PER_EVENT 64

#define PAUSE_MIN_MS      100u
#define PAUSE_MAX_MS      1000u

/* Waiting for the rate is not cut finer: several peers are taken at once then. */
#define PACE_MIN_NS (10 * NS_PER_MS)

static bool concerns_one_peer(int err)
{
	switch (err) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case ENETDOWN:
	case ENETUNREACH:
	case ETIMEDOUT:
	case EPERM: /* a firewall rule */
		return true;
	default:
		return false;
	}
}

static void refresh_watcher(struct listener *listener)
{
	bool want = !ev_is_active(&listener->pause_over);

	for (size_t i = 0; i < listener->sockets.count; i++) {
		if (want)
			ev_io_start(listener->loop, &listener->acceptable[i]);
		else
			ev_io_stop(listener->loop, &listener->acceptable[i]);
	}
}

/* Asked later, a peer that has reset its connection would have no address any more. */
static int accept_peer(int listening_fd, struct endpoint_address *ret_peer)
{
	*ret_peer = (struct endpoint_address){.bytes = sizeof(ret_peer->storage)};
	return accept4(listening_fd, (struct sockaddr *)&ret_peer->storage, &ret_peer->bytes,
		       SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void take_spare(struct listener *listener)
{
	if (listener->spare_fd < 0)
		listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* A peer in the queue believes that it is connected.  RST, because the end of an empty stream could
 * be taken for an answer. */
static void refuse_waiting_peers(struct listener *listener, int listening_fd)
{
	fd_close(&listener->spare_fd);
	for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
		struct endpoint_address ignored;
		int fd = accept_peer(listening_fd, &ignored);

		if (fd < 0)
			break;
		sockopt_set_reset_on_close(fd);
		peer_socket_close(&fd);
		listener->counters.accept_refused++;
	}
	take_spare(listener);
}

static void suspend_accepting(struct listener *listener, int listening_fd, int err)
{
	bool outlasted_a_pause = listener->pause_ms > 0;

	listener->pause_ms = outlasted_a_pause ? listener->pause_ms * 2 : PAUSE_MIN_MS;
	if (listener->pause_ms > PAUSE_MAX_MS)
		listener->pause_ms = PAUSE_MAX_MS;
	listener->counters.accept_pauses++;
	if (outlasted_a_pause && (err == EMFILE || err == ENFILE))
		refuse_waiting_peers(listener, listening_fd);

	ev_timer_set(&listener->pause_over, listener->pause_ms / 1000.0, 0.0);
	ev_timer_start(listener->loop, &listener->pause_over);
	refresh_watcher(listener);
}

static void tell_error(struct listener *listener, int err)
{
	uint64_t suppressed;

	if (log_allow(&listener->error_rate, clock_mono_ns(), &suppressed))
		listener->events->on_error(
			listener, err, ev_is_active(&listener->pause_over) ? listener->pause_ms : 0,
			suppressed);
}

/* Somebody waits, and the rate has nothing left. */
static void wait_for_rate(struct listener *listener, uint64_t now_ns, uint64_t wait_ns)
{
	uint64_t suppressed;

	listener->counters.accept_paced++;
	if (log_allow(&listener->paced_rate, now_ns, &suppressed))
		listener->events->on_paced(listener, suppressed);
	ev_timer_set(&listener->pause_over, (double)u64_max(wait_ns, PACE_MIN_NS) / NS_PER_S, 0.0);
	ev_timer_start(listener->loop, &listener->pause_over);
	refresh_watcher(listener);
}

/* is_waiting: somebody is known to be in the queue. */
static bool is_within_rate(struct listener *listener, bool is_waiting)
{
	uint64_t now_ns = clock_mono_ns();
	uint64_t wait_ns = token_bucket_wait_ns(&listener->rate, now_ns, 1);

	if (wait_ns && is_waiting)
		wait_for_rate(listener, now_ns, wait_ns);
	return wait_ns == 0;
}

static void take_peer(struct listener *listener, int fd, const struct endpoint_address *peer)
{
	listener->counters.accepted++;
	listener->events->on_accept(listener->owner, fd, peer);
}

static void on_acceptable(struct ev_loop *loop, struct ev_io *watcher, int revents)
{
	struct listener *listener = watcher->data;
	int errors = 0;

	(void)loop;
	if (revents & EV_ERROR) { /* epoll_ctl(2) has no room: nobody would be heard any more */
		listener->counters.accept_errors++;
		suspend_accepting(listener, watcher->fd, ENOMEM);
		tell_error(listener, ENOMEM);
		return;
	}
	/* The owner may close the listener while it takes a peer. */
	for (int i = 0; i < ACCEPTS_PER_EVENT && ev_is_active(watcher); i++) {
		struct endpoint_address peer;
		int fd, err;

		if (!is_within_rate(listener, i == 0))
			return;
		fd = accept_peer(watcher->fd, &peer);
		err = errno;
		if (fd >= 0) {
			token_bucket_take(&listener->rate, clock_mono_ns(), 1);
			listener->pause_ms = 0;
			take_peer(listener, fd, &peer);
			continue;
		}
		if (err == EAGAIN)
			return;
		listener->counters.accept_errors++;
		errors++;
		/* An error that takes no peer off the queue would go on for ever. */
		if (!concerns_one_peer(err) || errors == ACCEPTS_PER_EVENT)
			suspend_accepting(listener, watcher->fd, err);
		tell_error(listener, err);
	}
}

static void on_pause_over(struct ev_loop *loop, struct ev_timer *watcher, int revents)
{
	struct listener *listener = container_of(watcher, struct listener, pause_over);

	(void)loop;
	(void)revents;
	take_spare(listener);
	refresh_watcher(listener);
}

void listener_init(struct listener *listener, struct ev_loop *loop,
		   const struct listener_events *events, void *owner)
{
	*listener = (struct listener){
		.loop = loop,
		.spare_fd = -1,
		.events = events,
		.owner = owner,
	};
	for (size_t i = 0; i < LISTEN_SOCKETS_MAX; i++) {
		ev_init(&listener->acceptable[i], on_acceptable);
		listener->acceptable[i].data = listener;
	}
	ev_init(&listener->pause_over, on_pause_over);
}

static void stop_watching(struct listener *listener)
{
	for (size_t i = 0; i < listener->sockets.count; i++)
		ev_io_stop(listener->loop, &listener->acceptable[i]);
}

/* They believe that they are connected, and would be reset with their socket. */
static void take_waiting_peers(struct listener *listener)
{
	for (size_t i = 0; i < listener->sockets.count; i++) {
		struct endpoint_address peer;
		int fd;

		for (int n = 0; n < SOMAXCONN; n++) {
			fd = accept_peer(listener->sockets.list[i].fd, &peer);
			if (fd < 0)
				break;
			take_peer(listener, fd, &peer);
		}
	}
}

void listener_open(struct listener *listener, const struct endpoint *endpoint,
		   struct listen_sockets *sockets)
{
	struct listen_sockets before = listener->sockets;
	const struct endpoint there = listener->endpoint;

	stop_watching(listener);
	take_waiting_peers(listener);
	listener->sockets = *sockets;
	*sockets = (struct listen_sockets){.count = 0};
	listener->endpoint = *endpoint;
	endpoint_print_local(listener->address, sizeof(listener->address),
			     listener->sockets.list[0].fd);
	take_spare(listener);
	for (size_t i = 0; i < listener->sockets.count; i++)
		ev_io_set(&listener->acceptable[i], listener->sockets.list[i].fd, EV_READ);
	refresh_watcher(listener);
	if (before.count == 0)
		return;
	listen_sockets_close(&before);
	if (strcmp(there.path, endpoint->path) != 0)
		endpoint_unlink(&there);
}

static bool is_same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	return a->kind == b->kind && strcmp(a->host, b->host) == 0 &&
	       strcmp(a->port, b->port) == 0 && strcmp(a->path, b->path) == 0 &&
	       a->is_ipv6_only == b->is_ipv6_only && a->mode == b->mode &&
	       strcmp(a->group, b->group) == 0;
}

bool listener_is_at(const struct listener *listener, const struct endpoint *endpoint)
{
	return listener->sockets.count > 0 && is_same_endpoint(&listener->endpoint, endpoint) &&
	       listen_socket_has_file(&listener->sockets.list[0], endpoint);
}

void listener_close(struct listener *listener)
{
	struct listen_socket first = listener->sockets.list[0];

	if (listener->sockets.count == 0)
		return;
	stop_watching(listener);
	ev_timer_stop(listener->loop, &listener->pause_over);
	listen_sockets_close(&listener->sockets);
	fd_close(&listener->spare_fd);
	if (listen_socket_has_file(&first, &listener->endpoint))
		endpoint_unlink(&listener->endpoint);
	listener->address[0] = '\0';
	listener->pause_ms = 0;
}

void listener_set_rate(struct listener *listener, uint64_t per_second)
{
	token_bucket_init(&listener->rate, per_second, per_second);
}

bool listener_sum_is_due(struct listener *listener, uint64_t now_ns, uint64_t *ret_errors,
			 uint64_t *ret_paced)
{
	bool has_errors = log_sum_is_due(&listener->error_rate, now_ns, ret_errors);

	return log_sum_is_due(&listener->paced_rate, now_ns, ret_paced) || has_errors;
}

const char *listener_address(const struct listener *listener)
{
	return listener->address;
}
