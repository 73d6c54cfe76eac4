// SPDX-License-Identifier: MIT
/*
 * The publisher's side.  Invariant: source.fd is watched exactly while there is a publisher and the
 * feed can take; so a full or waiting feed never makes the loop spin.
 */
#include "source/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "feed/feed_kept.h"
#include "file/open_path.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"
#include "intake/body_take.h"
#include "source/ingest_file.h"
#include "source/ingest_log.h"
#include "source/ingest_peer.h"
#include "source/listener_log.h"

enum {
	RATE_PIECES = 50, /* of a second's bytes: one is read at once */
	RATE_PARTS = 10,  /* the same, for what may be made up for after a pause */
};

static const uint64_t PUBLISHER_KEEPALIVE_MS =
	30000;                              /* a dead publisher must give way to the next one */
static const double RATE_TURN_S = 0.01;     /* a paced file is read in such steps */
static const double UNWATCHED_TURN_S = 0.1; /* a source that epoll has no room for */
static const uint64_t SILENCE_MS = 100; /* what is whole need not wait for more to come behind it */

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

static bool has_source(const struct ingest *ingest)
{
	return ingest->source.fd >= 0;
}

bool ingest_may_read(const struct ingest *ingest)
{
	return has_source(ingest) && ingest->may_begin && ingest->has_started &&
	       !ingest->device.is_at_end && feed_can_take(ingest->feed);
}

void ingest_watch(struct ingest *ingest)
{
	bool want = ingest_may_read(ingest);
	bool paced = ingest->params.rate_bytes > 0;
	double turn_s = ingest->is_unwatched ? UNWATCHED_TURN_S : paced ? RATE_TURN_S : 0.;
	bool by_turns = body_is_ready(ingest->body) ||
			(ingest->source.is_file && (paced || !ingest->direct_file)) ||
			ingest->is_unwatched;

	if (want && !by_turns && !ingest->gathering.is_deaf)
		ev_io_start(ingest->loop, &ingest->readable);
	else
		ev_io_stop(ingest->loop, &ingest->readable);
	if (!want || !by_turns) {
		ev_timer_stop(ingest->loop, &ingest->file_turn);
	} else if (!ev_is_active(&ingest->file_turn)) {
		ev_timer_set(&ingest->file_turn, turn_s, 0.);
		ev_timer_start(ingest->loop, &ingest->file_turn);
	}
	/* The kernel has no more of what has been received. */
	if (want && ingest->way && ingest->way->has_more && ingest->way->has_more(ingest))
		ev_feed_event(ingest->loop, &ingest->readable, EV_READ);
}

static void note_direct_bytes(struct ingest *ingest)
{
	if (ingest->direct_file)
		ingest->feed->metrics.direct_bytes = direct_file_bytes(ingest->direct_file);
}

void ingest_drop_source(struct ingest *ingest)
{
	gathering_end(&ingest->gathering);
	ev_io_stop(ingest->loop, &ingest->readable);
	ev_timer_stop(ingest->loop, &ingest->file_turn);
	send_file_stop(&ingest->send_file);
	if (ingest->stdin_flags >= 0) {
		(void)fcntl(ingest->source.fd, F_SETFL, ingest->stdin_flags);
		ingest->stdin_flags = -1;
		if (ingest->source.fd == STDIN_FILENO)
			ingest->source.fd = -1; /* the descriptor is not ours to close */
	}
	feed_record_note_file(&ingest->feed->fanout, -1, 0);
	feed_note_source(ingest->feed, -1);
	peer_socket_close(&ingest->source.fd);
	note_direct_bytes(ingest);
	direct_file_release(&ingest->direct_file);
	ingest->feed->metrics.source_direct = 0;
	datagrams_free(&ingest->datagrams);
	ingest->given.count = 0;
}

void ingest_set_pages(struct ingest *ingest, bool copies_pages)
{
	ingest->params.copies_pages = copies_pages;
	ingest->source.is_seen =
		copies_pages || peer_socket_may_have_descriptors(ingest->source.fd);
}

void ingest_attach(struct ingest *ingest, int fd)
{
	struct stat stat;

	ingest->source = (struct source){.fd = fd};
	ingest->device.is_awaited = false;
	if (fstat(fd, &stat) == 0) {
		ingest->source.is_socket = S_ISSOCK(stat.st_mode) && !ingest->datagrams;
		ingest->source.is_file = S_ISREG(stat.st_mode) || ingest->direct_file;
	}
	ingest_set_pages(ingest, ingest->params.copies_pages);
	ingest->feed->metrics.source_direct = ingest->direct_file != NULL;
	if (!ingest->source.is_file && !ingest->datagrams)
		gathering_begin(&ingest->gathering, fd);
	ingest->last_ms = now_ms();
	ingest->origin_since_ns = clock_wall_ns();
	ingest->position_ms = 0;
	ev_io_set(&ingest->readable, fd, EV_READ);
	if (ingest->params.kind == INGEST_LISTEN && !ingest->body)
		feed_note_source(ingest->feed, fd);
}

void ingest_adopt(struct ingest *ingest, int fd)
{
	ingest_attach(ingest, fd);
	/* A fifo is open before anybody writes: its publisher is there when bytes are.  So is that
	 * of datagrams. */
	if (ingest->params.kind != INGEST_FIFO && !ingest->datagrams)
		feed_source_up(ingest->feed);
	send_file_begin(&ingest->send_file, fd);
	ingest_watch(ingest);
}

static void adopt_socket(struct ingest *ingest, int fd, struct source_body *body,
			 const struct endpoint_address *peer)
{
	struct errmsg err;
	char text[ENDPOINT_TEXT_BYTES];

	if (sockopt_apply_publisher(fd, PUBLISHER_KEEPALIVE_MS, &err) < 0)
		log_warn("%s feed=%s, ignoring", err.text, ingest->feed->params.name);
	endpoint_print_address(text, sizeof(text), peer);
	log_info("publisher up feed=%s peer=%s", ingest->feed->params.name, text);
	ingest->body = body;
	ingest_adopt(ingest, fd);
}

/* A fifo without writer stays readable for ever; a fresh descriptor is not until somebody writes.
 * It is opened before the old one is closed, so that bytes written in between are not lost. */
void ingest_reopen_fifo(struct ingest *ingest)
{
	struct errmsg err;
	int fd;

	if (open_fifo(ingest->params.path, &fd, &err) < 0) {
		log_error("%s feed=%s, no publisher until the next reload", err.text,
			  ingest->feed->params.name);
		ingest_drop_source(ingest);
		return;
	}
	ingest_drop_source(ingest);
	ingest_adopt(ingest, fd);
}

/* To which relay has connected. */
static void adopt(struct ingest *ingest, int fd, struct source_body *body)
{
	struct endpoint_address peer;

	endpoint_peer(fd, &peer);
	adopt_socket(ingest, fd, body, &peer);
}

static void take_better(struct ingest *ingest)
{
	struct source_body *body = ingest->better_body;
	int fd = ingest->better_fd;

	ingest->better_fd = -1;
	ingest->better_body = NULL;
	adopt(ingest, fd, body);
}

static void drop_better(struct ingest *ingest)
{
	(void)body_end(&ingest->better_body, ingest->better_fd, CLOSE_BETTER_SOURCE);
	peer_socket_close(&ingest->better_fd);
}

/* What comes next comes from a descriptor of its own; but of datagrams, all come to one. */
static void let_source_go(struct ingest *ingest)
{
	if (ingest->params.kind == INGEST_FIFO && ingest->is_open)
		ingest_reopen_fifo(ingest);
	else if (ingest->datagrams && ingest->is_open)
		ingest->given.count = 0;
	else
		ingest_drop_source(ingest);
}

/* Who is silent may still accept. */
static void look_elsewhere(struct ingest *ingest, enum close_reason reason)
{
	if (reason == CLOSE_SOURCE_TIMEOUT)
		connector_leave(&ingest->connector);
	else
		connector_lost(&ingest->connector);
}

void ingest_end_source(struct ingest *ingest, enum close_reason reason, int err)
{
	bool was_up = ingest->feed->publish.sequence.is_source_up;
	bool is_told = body_end(&ingest->body, ingest->source.fd, reason);

	if (was_up) {
		log_info("publisher down feed=%s reason=%s (%s)%s%s", ingest->feed->params.name,
			 close_reason_name(reason), close_reason_text(reason), err ? " error=" : "",
			 err ? strerror(err) : "");
		if (close_reason_row(reason)->kind != CLOSE_KIND_PEER && ingest->source.is_socket &&
		    !is_told)
			sockopt_set_reset_on_close(ingest->source.fd);
	}
	let_source_go(ingest);
	if (was_up)
		feed_source_down(ingest->feed, reason);
	if (!ingest->is_open)
		return;
	if (ingest->better_fd >= 0)
		take_better(ingest);
	else if (ingest->params.kind == INGEST_CONNECT)
		look_elsewhere(ingest, reason);
	else if (reason != CLOSE_TAKEN_OVER)
		newcomers_offer(&ingest->newcomers);
}

/* True when direct I/O was refused by the first read, and the file is read the other way now. */
static bool fall_back_to_splice(struct ingest *ingest, int err)
{
	int fd;

	if (!ingest->direct_file || err != EINVAL || direct_file_bytes(ingest->direct_file) > 0)
		return false;
	fd = open(ingest->params.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	ingest_file_log_indirect(&ingest->params, ingest->feed->params.name, err);
	ingest_drop_source(ingest);
	ingest_attach(ingest, fd);
	return true;
}

/* The source gives no more. */
static void take_end(struct ingest *ingest, int err)
{
	if (!err && ingest->way && ingest->way->at_end && ingest->source.is_file) {
		ingest->way->at_end(ingest);
		return;
	}
	if (!err && ingest->direct_file)
		err = direct_file_error(ingest->direct_file);
	if (!fall_back_to_splice(ingest, err))
		ingest_end_source(ingest, body_take_reason(ingest->body, err), err);
}

/* True when the publisher stands between two messages. */
static bool is_at_boundary(const struct ingest *ingest)
{
	return intake_is_between(&ingest->feed->intake);
}

void ingest_note_taken(struct ingest *ingest)
{
	if (ingest->way && ingest->way->took)
		ingest->way->took(ingest);
}

void ingest_take_once(struct ingest *ingest)
{
	struct feed *feed = ingest->feed;
	uint64_t before = feed->intake.taken_bytes;
	int err = 0;

	ingest->source.came_ns = ingest->gathering.since_ns;
	if (!body_take_prepare(ingest->body, &ingest->source)) {
		take_end(ingest, 0);
		return;
	}
	switch (feed_take(feed, &ingest->source, &err)) {
	case INTAKE_TOOK:
		ingest->last_ms = now_ms();
		gathering_note_take(&ingest->gathering, feed->intake.taken_bytes - before);
		ingest_note_taken(ingest);
		break;
	case INTAKE_EMPTY:
		gathering_note_take(&ingest->gathering, UINT64_MAX);
		break;
	case INTAKE_END:
		take_end(ingest, err);
		return;
	case INTAKE_FAULT:
		ingest_end_source(ingest, (enum close_reason)err, 0);
		return;
	}
	if (body_take_note(ingest->body, &ingest->source, feed->intake.taken_bytes - before))
		take_end(ingest, 0);
	else if (ingest->better_fd >= 0 && is_at_boundary(ingest))
		ingest_end_source(ingest, CLOSE_BETTER_SOURCE, 0);
}

static void on_due(struct gathering *gathering)
{
	struct ingest *ingest = container_of(gathering, struct ingest, gathering);

	if (ingest_may_read(ingest))
		ingest_take_once(ingest);
	ingest_watch(ingest);
}

/* What is held was sent in time, although its publisher is to end now. */
static void take_held(struct ingest *ingest)
{
	uint64_t taken = ingest->feed->intake.taken_bytes;
	uint64_t held = gathering_let_go(&ingest->gathering);

	while (ingest_may_read(ingest) && ingest->gathering.is_due &&
	       ingest->feed->intake.taken_bytes - taken < held)
		ingest_take_once(ingest);
	ingest_watch(ingest);
}

/* The publisher of a fifo is there with its first bytes. */
static void note_fifo_publisher(struct ingest *ingest)
{
	int queued = 0;

	if (ingest->feed->publish.sequence.is_source_up ||
	    ioctl(ingest->source.fd, FIONREAD, &queued) < 0 || queued == 0)
		return;
	log_info("publisher up feed=%s peer=fifo:%s", ingest->feed->params.name,
		 ingest->params.path);
	feed_source_up(ingest->feed);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct ingest *ingest = container_of(watcher, struct ingest, readable);

	(void)loop;
	if (events & EV_ERROR) { /* epoll_ctl(2) has no room: it is asked from time to time */
		ingest->is_unwatched = true;
		ingest_watch(ingest);
		return;
	}
	if (ingest->way && ingest->way->take) {
		ingest->way->take(ingest);
		ingest_watch(ingest);
		return;
	}
	if (ingest_may_read(ingest))
		note_fifo_publisher(ingest);
	if (ingest_may_read(ingest)) {
		if (gathering_holds(&ingest->gathering, body_left_bytes(ingest->body)))
			ingest->feed->metrics.source_holds++;
		else
			ingest_take_once(ingest);
	}
	ingest_watch(ingest);
}

static void on_file_turn(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct ingest *ingest = container_of(watcher, struct ingest, file_turn);
	uint64_t rate = ingest->params.rate_bytes, now_ns = clock_mono_ns();
	uint64_t before = ingest->feed->intake.taken_bytes;

	(void)events;
	if (ingest->is_unwatched) { /* with this look it is watched again, if there is room now */
		ingest->is_unwatched = false;
		on_readable(loop, &ingest->readable, EV_READ);
		return;
	}
	if (ingest_may_read(ingest) && !token_bucket_wait_ns(&ingest->rate, now_ns, 1)) {
		ingest->source.max_bytes = rate ? rate / RATE_PIECES + 1 : 0;
		ingest_take_once(ingest);
		token_bucket_take(&ingest->rate, now_ns, ingest->feed->intake.taken_bytes - before);
	}
	ingest_watch(ingest);
}

void ingest_set_rate(struct ingest *ingest, uint64_t bytes)
{
	ingest->params.rate_bytes = bytes;
	token_bucket_init(&ingest->rate, bytes, bytes / RATE_PARTS + 1);
}

static void on_refused(void *owner, int fd, struct source_body *body, enum close_reason reason)
{
	struct endpoint_address peer;

	ingest_find_peer(fd, body, &peer);
	ingest_note_refused(owner, &peer, reason);
	if (!body_end(&body, fd, reason))
		sockopt_set_reset_on_close(fd);
	peer_socket_close(&fd);
}

static void on_accept(void *owner, int fd, const struct endpoint_address *peer)
{
	struct ingest *ingest = owner;

	if (ingest_check_peer(ingest, peer) == CLOSE_REASON_COUNT) {
		newcomers_add(&ingest->newcomers, fd, NULL, ingest->params.sniff);
		return;
	}
	sockopt_set_reset_on_close(fd);
	peer_socket_close(&fd);
}

void ingest_admit(struct ingest *ingest, int fd, struct source_body *body)
{
	newcomers_add(&ingest->newcomers, fd, body, false);
}

/* A publisher that is only to be drained is not taken over: the newcomer waits for its end. */
static bool on_stream(void *owner, int fd, struct source_body *body)
{
	struct ingest *ingest = owner;
	struct endpoint_address peer;

	if (has_source(ingest) && sockopt_is_peer_closed(ingest->source.fd))
		return false;
	if (has_source(ingest) && !ingest->params.takeover) {
		on_refused(ingest, fd, body, CLOSE_REJECTED);
		return true;
	}
	take_held(ingest);
	if (has_source(ingest))
		ingest_end_source(ingest, CLOSE_TAKEN_OVER, 0);
	ingest_find_peer(fd, body, &peer);
	adopt_socket(ingest, fd, body, &peer);
	return true;
}

static void on_connected(void *owner, int fd, size_t index)
{
	struct ingest *ingest = owner;

	(void)index;
	adopt(ingest, fd, pull_take_body(&ingest->pull));
}

static void on_better(void *owner, int fd, size_t index)
{
	struct ingest *ingest = owner;

	(void)index;
	drop_better(ingest);
	take_held(ingest);
	ingest->better_fd = fd;
	ingest->better_body = pull_take_body(&ingest->pull);
	if (has_source(ingest) && !is_at_boundary(ingest))
		return;
	if (has_source(ingest))
		ingest_end_source(ingest, CLOSE_BETTER_SOURCE, 0);
	else
		take_better(ingest);
}

static const struct listener_events listener_events = {
	.on_accept = on_accept,
	.on_error = listener_log_error,
	.on_paced = listener_log_paced,
};

static const struct newcomers_events newcomers_events = {
	.on_stream = on_stream,
	.on_refused = on_refused,
};

static const struct connector_events connector_events = {
	.on_opening = ingest_ask,
	.on_given_up = ingest_ask_no_more,
	.on_connected = on_connected,
	.on_better = on_better,
	.on_connecting = ingest_log_connecting,
	.on_failed = ingest_log_failed,
	.on_more_failed = ingest_log_more_failed,
};

void ingest_init(struct ingest *ingest, struct ev_loop *loop, struct feed *feed,
		 const struct ingest_params *params)
{
	*ingest = (struct ingest){
		.params = *params,
		.feed = feed,
		.loop = loop,
		.source.fd = -1,
		.better_fd = -1,
		.stdin_flags = -1,
		.device.inotify_fd = -1,
		.device.file_watch = -1,
	};
	ingest_set_rate(ingest, params->rate_bytes);
	send_file_init(&ingest->send_file, loop, feed->params.name);
	send_file_load(&ingest->send_file, params->send_file);
	listener_init(&ingest->listener, loop, &listener_events, ingest);
	newcomers_init(&ingest->newcomers, loop, &newcomers_events, ingest);
	if (params->kind == INGEST_CONNECT) {
		connector_init(&ingest->connector, loop, params->endpoints, params->endpoint_count,
			       &connector_events, ingest);
		ingest_init_asking(ingest);
	}
	ev_io_init(&ingest->readable, on_readable, -1, EV_READ);
	ev_timer_init(&ingest->file_turn, on_file_turn, 0., 0.);
	gathering_init(&ingest->gathering, loop, &params->gathering, on_due);
}

void ingest_begin(struct ingest *ingest)
{
	/* Not before, for what it asks for goes by what the feed has kept. */
	if (ingest->params.kind == INGEST_CONNECT && ingest->is_open)
		connector_start(&ingest->connector);
	if (ingest->may_begin)
		return;
	ingest->may_begin = true;
	ingest_watch(ingest);
}

void ingest_close(struct ingest *ingest, enum close_reason reason)
{
	take_held(ingest);
	ingest->is_open = false;
	listener_close(&ingest->listener);
	if (ingest->params.kind == INGEST_CONNECT)
		connector_stop(&ingest->connector);
	newcomers_close(&ingest->newcomers, reason);
	if (ingest->way && ingest->way->stop)
		ingest->way->stop(ingest);
	drop_better(ingest);
	if (has_source(ingest))
		ingest_end_source(ingest, reason, 0);
	send_file_fini(&ingest->send_file);
	access_fini(&ingest->access);
}

void ingest_resume(void *owner)
{
	ingest_watch(owner);
}

void ingest_excuse(struct ingest *ingest, uint64_t now, uint64_t late_ms)
{
	ingest->last_ms = u64_min(ingest->last_ms + late_ms, now);
	ingest->unread_ms = u64_min(ingest->unread_ms + late_ms, now);
}

void ingest_tick(struct ingest *ingest, uint64_t now)
{
	uint64_t timeout = ingest->params.source_timeout_ms;

	/* While relay itself does not read, silence is not the publisher's. */
	if (!ingest_may_read(ingest))
		ingest->unread_ms = now;
	ingest_log_sums(ingest, now * NS_PER_MS);
	newcomers_tick(&ingest->newcomers, now, has_source(ingest) ? NEWCOMERS_BESIDE_MS : timeout);
	note_direct_bytes(ingest);
	if (ingest->may_begin && ingest->is_open && ingest->way && ingest->way->tick)
		ingest->way->tick(ingest);
	ingest_tell_position(ingest, now);
	if (ingest->datagrams) /* its socket stays, also where it could not be watched */
		ingest_watch(ingest);
	if (!ingest->has_started &&
	    feed_subscriber_count(ingest->feed) >= ingest->params.start_subscribers) {
		ingest->has_started = true;
		ingest_watch(ingest);
	}
	if (has_source(ingest) && now - ingest->last_ms >= SILENCE_MS) {
		feed_finish_message(ingest->feed, false);
		ingest_note_taken(ingest);
	}
	if (timeout && ingest->feed->publish.sequence.is_source_up && !ingest->source.is_file &&
	    !ingest->gathering.since_ns &&
	    now - u64_max(ingest->last_ms, ingest->unread_ms) >= timeout)
		ingest_end_source(ingest, CLOSE_SOURCE_TIMEOUT, 0);
}
