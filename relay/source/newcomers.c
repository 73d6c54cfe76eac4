// SPDX-License-Identifier: MIT
/*
 * The bytes are only peeked at here, and only those before the publisher's first take. Where the
 * first few may still be the head of another protocol, SO_RCVLOWAT (socket(7)) makes the socket
 * readable when there are more of them, or at its end.
 */
#include "source/newcomers.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"
#include "intake/body_take.h"
#include "source/first_bytes.h"

/* The place becomes free; descriptor and body are the caller's. */
static int take_out(struct newcomer *newcomer, struct source_body **ret_body)
{
	int fd = newcomer->fd;

	ev_io_stop(newcomer->newcomers->loop, &newcomer->readable);
	newcomer->fd = -1;
	*ret_body = newcomer->body;
	newcomer->body = NULL;
	return fd;
}

/* Nobody need know but itself. */
static void close_one(struct newcomer *newcomer, enum close_reason reason)
{
	struct source_body *body;
	int fd = take_out(newcomer, &body);

	(void)body_end(&body, fd, reason);
	peer_socket_close(&fd);
}

static void refuse(struct newcomer *newcomer, enum close_reason reason)
{
	const struct newcomers *newcomers = newcomer->newcomers;

	struct source_body *body;
	int fd = take_out(newcomer, &body);

	newcomers->events->on_refused(newcomers->owner, fd, body, reason);
}

static void offer(struct newcomer *newcomer)
{
	struct newcomers *newcomers = newcomer->newcomers;
	struct source_body *body;
	int fd;

	newcomer->is_stream = true;
	/* No longer here: on_stream() may end the publisher, and that offers the place to all. */
	fd = take_out(newcomer, &body);
	if (!newcomers->events->on_stream(newcomers->owner, fd, body)) {
		newcomer->fd = fd;
		newcomer->body = body;
	}
}

static void look(struct newcomer *newcomer)
{
	uint8_t bytes[FIRST_BYTES_MAX];
	enum close_reason reason = CLOSE_REJECTED;
	enum first_bytes found = FIRST_BYTES_STREAM;
	ssize_t got;

	if (body_is_ready(newcomer->body)) {
		offer(newcomer);
		return;
	}
	got = recv(newcomer->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		/* It came and went. */
		close_one(newcomer, got < 0 ? CLOSE_PEER_RESET : CLOSE_CUT_BODY);
		return;
	}
	/* No more of them: that was all. */
	if (newcomer->has_sniff && (size_t)got > newcomer->seen)
		found = first_bytes_look(bytes, (size_t)got, &reason);
	newcomer->seen = (size_t)got;
	if (found == FIRST_BYTES_FOREIGN) {
		refuse(newcomer, reason);
	} else if (found == FIRST_BYTES_MORE) {
		sockopt_set_low_water(newcomer->fd, newcomer->seen + 1);
	} else {
		offer(newcomer);
	}
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct newcomer *newcomer = container_of(watcher, struct newcomer, readable);

	(void)loop;
	if (events & EV_ERROR) /* epoll_ctl(2) has no room: it would never be heard */
		refuse(newcomer, CLOSE_NO_MEMORY);
	else
		look(newcomer);
}

void newcomers_init(struct newcomers *newcomers, struct ev_loop *loop,
		    const struct newcomers_events *events, void *owner)
{
	*newcomers = (struct newcomers){.loop = loop, .events = events, .owner = owner};
	for (size_t i = 0; i < NEWCOMERS_MAX; i++) {
		struct newcomer *newcomer = &newcomers->list[i];

		newcomer->newcomers = newcomers;
		newcomer->fd = -1;
		ev_io_init(&newcomer->readable, on_readable, -1, EV_READ);
	}
}

/* The one that came first; of those only that have sent bytes, or of all. NULL: none. */
static struct newcomer *find_first(struct newcomers *newcomers, bool only_streams)
{
	struct newcomer *first = NULL;

	for (size_t i = 0; i < NEWCOMERS_MAX; i++) {
		struct newcomer *newcomer = &newcomers->list[i];

		if (newcomer->fd >= 0 && (newcomer->is_stream || !only_streams) &&
		    (!first || newcomer->number < first->number))
			first = newcomer;
	}
	return first;
}

static struct newcomer *find_place(struct newcomers *newcomers)
{
	struct newcomer *first;

	for (size_t i = 0; i < NEWCOMERS_MAX; i++) {
		if (newcomers->list[i].fd < 0)
			return &newcomers->list[i];
	}
	first = find_first(newcomers, false);
	refuse(first, CLOSE_CROWDED_OUT);
	return first;
}

void newcomers_add(struct newcomers *newcomers, int fd, struct source_body *body, bool sniff)
{
	struct newcomer *newcomer = find_place(newcomers);

	newcomer->fd = fd;
	newcomer->body = body;
	newcomer->number = ++newcomers->count;
	newcomer->since_ms = clock_mono_ns() / NS_PER_MS;
	newcomer->seen = 0;
	newcomer->is_stream = false;
	/* SO_RCVLOWAT does nothing for the readiness of a unix socket (Linux 6). */
	newcomer->has_sniff = sniff && !body && sockopt_is_tcp(fd);
	ev_io_set(&newcomer->readable, fd, EV_READ);
	ev_io_start(newcomers->loop, &newcomer->readable);
	look(newcomer);
}

void newcomers_offer(struct newcomers *newcomers)
{
	struct newcomer *first = find_first(newcomers, true);

	if (first)
		offer(first);
}

void newcomers_tick(struct newcomers *newcomers, uint64_t now_ms, uint64_t silent_ms)
{
	for (size_t i = 0; i < NEWCOMERS_MAX; i++) {
		struct newcomer *newcomer = &newcomers->list[i];

		if (silent_ms && newcomer->fd >= 0 && !newcomer->is_stream &&
		    now_ms - newcomer->since_ms >= silent_ms)
			refuse(newcomer, CLOSE_SOURCE_TIMEOUT);
	}
}

int newcomers_oldest(struct newcomers *newcomers)
{
	const struct newcomer *first = find_first(newcomers, false);

	return first ? first->fd : -1;
}

void newcomers_close(struct newcomers *newcomers, enum close_reason reason)
{
	for (size_t i = 0; i < NEWCOMERS_MAX; i++) {
		if (newcomers->list[i].fd >= 0)
			close_one(&newcomers->list[i], reason);
	}
}
