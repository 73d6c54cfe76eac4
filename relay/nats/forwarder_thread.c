// SPDX-License-Identifier: MIT
/*
 * The thread: packets of the feed become messages of the stream.
 *
 *   connect to any server --> look at the stream --> publish again what has no answer --> go on
 *       ^                                                                                  |
 *       +--- lost, refused, or not acknowledged in time -----------------------------------+
 */
#include "nats/forwarder_parts.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

enum {
	WAIT_MS = 100,       /* for an acknowledgement, before others are looked at */
	ACK_WAIT_MS = 5000,  /* longer than that it does not take */
	RETRY_MAX_MS = 2000, /* between two tries */
	SHORT_MS = 1000,     /* a connection that is of use no longer is followed by a pause */
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

static bool is_stopped(const struct forwarder *forwarder)
{
	return atomic_load(&forwarder->is_stopped);
}

/* ---- what others are told ---- */

static void report(struct forwarder *forwarder)
{
	const struct unacked_message *oldest =
		unacked_find(&forwarder->unacked, forwarder->unacked.first);

	forwarder->counts.next = oldest ? oldest->id : forwarder->position;
	(void)pthread_mutex_lock(&forwarder->lock);
	forwarder->report = forwarder->counts;
	(void)pthread_mutex_unlock(&forwarder->lock);
}

/* Said once, and again when it is another. */
static void tell_trouble(struct forwarder *forwarder, const struct errmsg *err)
{
	forwarder->counts.is_up = false;
	forwarder->counts.errors++;
	report(forwarder);
	if (strcmp(forwarder->told.text, err->text) == 0)
		return;
	forwarder->told = *err;
	log_warn("forward stopped feed=%s: %s", forwarder->feed_name, err->text);
}

static void end_trouble(struct forwarder *forwarder)
{
	if (forwarder->counts.is_up)
		return;
	forwarder->counts.is_up = true;
	forwarder->told.text[0] = '\0';
	forwarder->has_told_look = false;
	backoff_reset(&forwarder->backoff);
	log_info("forward up feed=%s server=%s stream=%s subject=%s", forwarder->feed_name,
		 forwarder->counts.server, forwarder->params.backbone.stream,
		 forwarder->params.backbone.subject);
}

/* On a busy machine it takes some seconds, and nothing is published meanwhile.  It is logged once
 * until that works. */
static void tell_look(struct forwarder *forwarder, bool is_whole)
{
	forwarder->counts.is_looking = is_whole;
	report(forwarder);
	if (!is_whole || forwarder->has_told_look)
		return;
	forwarder->has_told_look = true;
	log_info("forward looks at its stream feed=%s server=%s stream=%s subject=%s: "
		 "it asks for the last messages",
		 forwarder->feed_name, forwarder->counts.server, forwarder->params.backbone.stream,
		 forwarder->params.backbone.subject);
}

static void pause_thread(struct forwarder *forwarder)
{
	uint32_t left_ms = backoff_next_ms(&forwarder->backoff, RETRY_MAX_MS, arc4random());

	while (left_ms && !is_stopped(forwarder)) {
		uint32_t part_ms = left_ms < WAIT_MS ? left_ms : WAIT_MS;

		(void)poll(NULL, 0, (int)part_ms);
		left_ms -= part_ms;
	}
}

/* 0: nothing speaks against going on. */
static int look_for_trouble(struct forwarder *forwarder, struct nats_connection *connection,
			    struct errmsg *err)
{
	const struct backbone_params *params = &forwarder->params.backbone;
	const struct unacked_message *oldest =
		unacked_find(&forwarder->unacked, forwarder->unacked.first);

	if (*nats_connection_why_lost(connection)) {
		errmsg_set(err, "%s", nats_connection_why_lost(connection));
		return -EIO;
	}
	if (!oldest) {
		forwarder->heard_ms = now_ms();
		return 0;
	}
	if (nats_stream_take_refusal(connection, params, err))
		return -EACCES;
	if (now_ms() - oldest->sent_ms < ACK_WAIT_MS)
		return 0;
	errmsg_set(err, "stream %s has acknowledged nothing for %d s", params->stream,
		   ACK_WAIT_MS / 1000);
	return -ETIMEDOUT;
}

/* ---- with one connection ---- */

/* What was never published by this origin, but by another one, is not published again.  What was,
 * may stand in the stream in another order: it is left to the stream to drop it, while it can.
 * Half of the window, since what is published again has to get there, too.  Nobody knows how old
 * that is by which it was overtaken.  Who has just begun does not know what was on its way
 * before. */
static int find_tail(struct forwarder *forwarder, struct nats_connection *connection,
		     struct errmsg *err)
{
	struct stream_target *target = &forwarder->target;
	bool is_old = now_ms() - forwarder->heard_ms > target->window_ms / 2;
	bool is_whole;
	int r;

	forwarder->is_aligned = false;
	forwarder->is_late =
		!unacked_is_empty(&forwarder->unacked) && (is_old || forwarder->overtaken);
	is_whole = forwarder->is_late || !forwarder->position.session;
	tell_look(forwarder, is_whole);
	r = nats_stream_find_tail(connection, &forwarder->params.backbone, target, is_whole,
				  &forwarder->tail, err);
	forwarder->counts.is_looking = false;
	if (r == 0)
		forwarder_raise_to_floor(forwarder);
	return r;
}

static bool has_more(const struct forwarder *forwarder)
{
	return !atomic_load(&forwarder->is_ending) || forwarder->input.fd >= 0 ||
	       !unacked_is_empty(&forwarder->unacked);
}

/* Until it is stopped, or all is done: 0.  Else -errno with a message. */
static int go_on(struct forwarder *forwarder, struct nats_connection *connection,
		 const struct nats_answers *acks, struct errmsg *err)
{
	int r;

	forwarder->sent_until = 0;
	r = forwarder_publish_again(forwarder, connection, acks, err);
	if (r == 0 && unacked_is_empty(&forwarder->unacked))
		end_trouble(forwarder);
	while (r == 0 && !is_stopped(forwarder) && has_more(forwarder)) {
		bool has_room = forwarder_has_room(forwarder);
		uint64_t acked = forwarder->counts.acked;

		r = look_for_trouble(forwarder, connection, err);
		if (r == 0)
			r = forwarder_take_acks(forwarder, acks, has_room ? 0 : WAIT_MS, err);
		if (forwarder->counts.acked > acked)
			end_trouble(forwarder);
		if (r == 0 && has_room && !forwarder->hand.count &&
		    forwarder_take_packet(forwarder) < 0) {
			errmsg_errno(err, ENOMEM, "packet");
			r = -ENOMEM;
		}
		if (r == 0)
			r = forwarder_publish_again(forwarder, connection, acks, err);
		if (r == 0)
			r = forwarder_publish_hand(forwarder, connection, acks, err);
		report(forwarder);
	}
	return r;
}

static int forward(struct forwarder *forwarder, struct nats_connection *connection,
		   struct errmsg *err)
{
	struct nats_answers acks = {0};
	int r = nats_stream_look_at_target(connection, &forwarder->params.backbone,
					   &forwarder->target, err);

	if (r == 0)
		r = find_tail(forwarder, connection, err);
	if (r == 0)
		r = nats_answers_open(&acks, connection, err);
	if (r == 0)
		r = go_on(forwarder, connection, &acks, err);
	nats_answers_close(&acks);
	return r;
}

static void try_once(struct forwarder *forwarder, const char *name)
{
	uint64_t began_ms = now_ms();
	struct nats_connection connection;
	struct errmsg err;
	int r = nats_connection_open(&connection, &forwarder->params.backbone, name, &err);

	if (r == 0) {
		forwarder->counts.connects++;
		(void)snprintf(forwarder->counts.server, sizeof(forwarder->counts.server), "%s",
			       connection.server);
		report(forwarder);
		r = forward(forwarder, &connection, &err);
		forwarder->counts.server[0] = '\0';
		nats_connection_close(&connection);
	}
	if (r == 0)
		return;
	tell_trouble(forwarder, &err);
	if (now_ms() - began_ms < SHORT_MS)
		pause_thread(forwarder);
}

/* ---- life ---- */

void forwarder_release(struct forwarder *forwarder)
{
	if (atomic_fetch_sub(&forwarder->owners, 1) != 1)
		return;
	fd_close(&forwarder->stream);
	packet_input_fini(&forwarder->input);
	unacked_clear(&forwarder->unacked);
	(void)pthread_cond_destroy(&forwarder->changed);
	(void)pthread_mutex_destroy(&forwarder->lock);
	free(forwarder);
}

void *forwarder_run(void *data)
{
	struct forwarder *forwarder = data;
	char name[sizeof(forwarder->feed_name) + 24];

	(void)pthread_setname_np(pthread_self(), "nats forwarder");
	(void)snprintf(name, sizeof(name), "relay feed %s forward", forwarder->feed_name);
	forwarder->heard_ms = now_ms();
	packet_input_reset(&forwarder->input, forwarder_ask_for_stream(forwarder));
	while (!is_stopped(forwarder) && has_more(forwarder))
		try_once(forwarder, name);
	nats_ReleaseThreadMemory();
	packet_input_reset(&forwarder->input, -1);
	(void)pthread_mutex_lock(&forwarder->lock);
	forwarder->has_ended = true;
	(void)pthread_cond_broadcast(&forwarder->changed);
	(void)pthread_mutex_unlock(&forwarder->lock);
	forwarder_release(forwarder);
	return NULL;
}
