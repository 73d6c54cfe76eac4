// SPDX-License-Identifier: MIT
/*
 * A feed's life: its source coming and going, taking packets in, renditions, what time brings, and
 * its end.  Numbering packets is number.c, putting them into rings publish.c, its subscribers are
 * fanout/.
 */
#include "feed/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fanout/rendition.h"
#include "feed/feed_kept.h"
#include "feed/number.h"

/* ---- the source ---- */

static void tell(struct feed *feed, enum packet_type type)
{
	number_tell(&feed->publish, type);
	fanout_serve_ready(&feed->fanout);
}

void feed_source_up(struct feed *feed)
{
	crossings_answer(&feed->publish.crossings); /* whoever asked before is told of it */
	publish_set_source(&feed->publish, true);
	number_begin_source(&feed->publish);
	feed->metrics.source_connects++;
	tell(feed, PACKET_SOURCE_UP);
}

void feed_miss_messages(struct feed *feed, uint64_t count)
{
	number_miss(&feed->publish, count);
	fanout_serve_ready(&feed->fanout);
}

/* What it has left behind.  has_ended: in good order. */
static void end_rest(struct feed *feed, bool has_ended)
{
	uint64_t rest;
	bool in_message;

	feed_finish_message(feed, has_ended);
	in_message = !intake_is_empty(&feed->intake);
	rest = intake_reset(&feed->intake);
	if (!in_message)
		return;
	feed->metrics.partial_messages++;
	feed->metrics.partial_bytes += rest;
	log_warn("unfinished message not published feed=%s bytes=%llu", feed->params.name,
		 (unsigned long long)rest);
}

void feed_begin_elsewhere(struct feed *feed)
{
	end_rest(feed, true);
}

void feed_source_down(struct feed *feed, enum close_reason reason)
{
	end_rest(feed, reason == CLOSE_PEER_CLOSED);
	crossings_answer(&feed->publish.crossings);
	publish_set_source(&feed->publish, false);
	feed->metrics.source_losses++;
	feed->source_ends[reason]++;
	tell(feed, PACKET_SOURCE_DOWN);
	feed_close_for_lost_source(feed);
}

void feed_close_for_lost_source(struct feed *feed)
{
	if (feed->params.close_on_source_loss && !feed->is_draining)
		fanout_finish_all(&feed->fanout, CLOSE_SOURCE_LOST);
}

/* ---- pipes ---- */

static void on_refused(void *owner, enum refusal refusal, bool is_first)
{
	static const char *const calls[] = {"splice from the publisher", "tee",
					    "splice to a subscriber", "vmsplice",
					    "socketpair, or splice from it,"};
	struct feed *feed = owner;

	if (is_first)
		log_warn("%s is refused by the kernel or a sandbox feed=%s; going on without it",
			 calls[refusal], feed->params.name);
	if (refusal == REFUSAL_TEE || refusal == REFUSAL_SPLICE_OUT)
		intake_refuse_pipes(&feed->intake);
}

static void on_no_pipe(void *owner, int error)
{
	const struct feed *feed = owner;

	if (error == -EDQUOT)
		log_warn("no pipe of %u slots feed=%s: the pipe pages of this user are used up; "
			 "raise fs.pipe-user-pages-soft; copying instead",
			 feed->pipes.pool.slots, feed->params.name);
	else
		log_warn("no pipe feed=%s: %s; copying instead", feed->params.name,
			 strerror(-error));
}

static int init_pipes(struct feed *feed)
{
	const struct pipe_set_params params = {
		.segment_bytes = feed->params.segment_bytes,
		.max_idle = INTAKE_PIPES_MAX,
		.gift_headers = feed->params.gift_headers,
	};
	const struct pipe_set_events events = {
		.owner = feed,
		.on_refused = on_refused,
		.on_no_pipe = on_no_pipe,
	};

	return pipe_set_init(&feed->pipes, &params, &events, &feed->metrics);
}

/* While nobody reads a feed, what comes is copied and thrown away. */
static bool needs_pipes(const struct feed *feed)
{
	if (feed->params.is_branch)
		return feed->publish.is_awake;
	return !list_is_empty(&feed->fanout.renditions) ||
	       crossings_are_open(&feed->publish.crossings);
}

/* ---- taking in: one packet after the other, each served before the next one comes ---- */

bool feed_can_take(const struct feed *feed)
{
	return !fanout_is_busy(&feed->fanout) && !feed->publish.crossings.is_held &&
	       !feed->is_draining;
}

/* What the packet before has cost until now, to whom it belongs. */
static void report_pass(struct feed *feed)
{
	struct fanout_pass *cost = &feed->fanout.pass;

	if (feed->is_measured)
		engine_note_cost(&feed->intake.choice, feed->publish.crossings.engine,
				 cost->delivered_bytes, cost->spent_ns);
	feed->is_measured = false;
	fanout_reset_cost(&feed->fanout);
}

static void log_unsynced(struct feed *feed)
{
	enum framing_kind kind = feed->params.framing.kind;
	unsigned long long unsynced = feed->metrics.unsynced_bytes;
	unsigned long long losses = feed->metrics.sync_losses;
	uint64_t suppressed;

	if (!log_allow_each_minute(&feed->sync_log, clock_mono_ns(), &suppressed))
		return;
	if (kind == FRAMING_TS)
		log_warn("no TS packet found feed=%s, passing over; unsynced_bytes=%llu "
			 "sync_losses=%llu suppressed=%llu",
			 feed->params.name, unsynced, losses, (unsigned long long)suppressed);
	else
		log_warn("no frame found feed=%s framing=%s, passing over; unsynced_bytes=%llu "
			 "sync_losses=%llu suppressed=%llu",
			 feed->params.name, framing_row(kind)->word, unsynced, losses,
			 (unsigned long long)suppressed);
}

/* Nothing of what was taken waits for more.  Where messages are still looked for, more
 * is not known. */
static void settle_source(struct feed *feed)
{
	if (intake_is_empty(&feed->intake) && !framing_is_out_of_sync(&feed->intake.scan))
		feed_record_settle_source(&feed->fanout);
}

void feed_note_source(struct feed *feed, int fd)
{
	feed_record_note_source(&feed->fanout, fd, &feed->intake.params.framing);
	settle_source(feed);
}

enum intake_result feed_take(struct feed *feed, const struct source *source, int *ret_err)
{
	uint64_t start_ns = clock_mono_ns();
	uint64_t packets = feed->metrics.in_packets;
	uint64_t unsynced = feed->metrics.unsynced_bytes;
	enum intake_result result;

	report_pass(feed);
	feed->intake.choice.readers = feed_subscriber_count(feed);
	feed_record_unsettle_source(&feed->fanout);
	result = intake_take(&feed->intake, source, ret_err);
	if (result == INTAKE_TOOK || result == INTAKE_EMPTY)
		settle_source(feed);
	feed->is_measured = feed->metrics.in_packets == packets + 1;
	feed_serve_packet(feed, start_ns);
	if (feed->metrics.unsynced_bytes != unsynced)
		log_unsynced(feed);
	return result;
}

void feed_finish_message(struct feed *feed, bool has_ended)
{
	uint64_t start_ns = clock_mono_ns();

	if (!feed_can_take(feed) || intake_is_empty(&feed->intake))
		return;
	report_pass(feed);
	if (intake_finish(&feed->intake, has_ended)) {
		settle_source(feed);
		feed_serve_packet(feed, start_ns);
	}
}

void feed_serve_packet(struct feed *feed, uint64_t start_ns)
{
	fanout_serve(&feed->fanout, start_ns);
	crossings_hold(&feed->publish.crossings);
}

static void on_ready(void *owner)
{
	struct feed *feed = owner;

	feed->must_tell_ready = true; /* told before the loop waits again */
	fanout_end_turn(&feed->fanout);
}

static void init_publish(struct feed *feed)
{
	struct publish *publish = &feed->publish;

	*publish = (struct publish){
		.fanout = &feed->fanout,
		.framing = &feed->params.framing,
		/* The session changes with every start, and is never 0. */
		.sequence.session = (uint32_t)(clock_wall_ns() / NS_PER_MS) | 1u,
		.sequence.next_seq = 1,
		.is_counted = feed->params.is_branch || feed->params.is_combination,
		.is_awake = !feed->params.is_branch,
		.last_ms = clock_mono_ns() / NS_PER_MS,
	};
	crossings_init(&publish->crossings, &feed->fanout, &publish->sequence, feed, on_ready);
}

static struct intake_params intake_params(const struct feed_params *params)
{
	return (struct intake_params){
		.framing = params->framing,
		.is_auto = params->is_auto,
		.engine = params->engine,
		.thresholds = params->thresholds,
		.segment_bytes = params->segment_bytes,
	};
}

static void init_intake(struct feed *feed)
{
	const struct intake_params params = intake_params(&feed->params);
	const struct packet_sink sink = {.owner = &feed->publish, .put_packet = number_put};

	intake_init(&feed->intake, &params, &sink, &feed->pipes, &feed->metrics);
}

static void change_intake(struct feed *feed)
{
	const struct intake_params params = intake_params(&feed->params);

	intake_change(&feed->intake, &params);
}

/* ---- fan-out ---- */

static struct fanout_source get_source(void *owner)
{
	const struct feed *feed = owner;

	return (struct fanout_source){
		.session = feed->publish.sequence.session,
		.is_up = feed->publish.sequence.is_source_up,
		.is_awake = feed->publish.is_awake,
		.is_draining = feed->is_draining,
	};
}

static void on_wanted(void *owner)
{
	const struct feed *feed = owner;

	if (feed->events.on_wanted)
		feed->events.on_wanted(feed->events.owner);
}

static void on_count(void *owner)
{
	const struct feed *feed = owner;

	if (feed->events.on_count)
		feed->events.on_count(feed->events.owner);
}

static void on_skip(void *owner, const struct subscriber *subscriber, const struct skip *skip)
{
	struct feed *feed = owner;

	subscriber_log_skip(&feed->subscriber_log, subscriber, skip);
}

static void on_close(void *owner, const struct subscriber *subscriber, enum close_reason reason,
		     const char *cause)
{
	struct feed *feed = owner;

	subscriber_log_close(&feed->subscriber_log, subscriber, reason, cause);
}

static void on_turn_end(void *owner)
{
	struct feed *feed = owner;

	if (!feed->must_tell_ready || feed->is_draining)
		return;
	if (!feed_can_take(feed)) {
		fanout_end_turn(&feed->fanout); /* looks again */
		return;
	}
	feed->must_tell_ready = false;
	if (feed->events.on_ready)
		feed->events.on_ready(feed->events.owner);
}

static void init_fanout(struct feed *feed)
{
	const struct fanout_events events = {
		.owner = feed,
		.get_source = get_source,
		.on_wanted = on_wanted,
		.on_count = on_count,
		.on_skip = on_skip,
		.on_close = on_close,
		.on_ready = on_ready,
		.on_turn_end = on_turn_end,
	};

	feed->subscriber_log.feed = feed->params.name;
	fanout_init(&feed->fanout, feed->loop, feed->params.name, &feed->params.fanout, &events,
		    &feed->pipes, &feed->metrics);
}

/* ---- time ---- */

void feed_excuse(struct feed *feed, uint64_t now_ms, uint64_t late_ms)
{
	fanout_excuse(&feed->fanout, now_ms, late_ms);
}

void feed_tick(struct feed *feed, uint64_t now_ms)
{
	fanout_tick(&feed->fanout, now_ms);
	feed_record_note_counts(&feed->fanout, feed->source_ends, 0);
	subscriber_log_tick(&feed->subscriber_log, now_ms * NS_PER_MS);
	publish_tick(&feed->publish, now_ms * NS_PER_MS);
	number_tick(&feed->publish, now_ms * NS_PER_MS);
	crossings_tick(&feed->publish.crossings);
	if (feed->events.on_tick)
		feed->events.on_tick(feed->events.owner, now_ms);
	if (needs_pipes(feed))
		pipe_set_tick(&feed->pipes, now_ms);
	else
		pipe_set_sleep(&feed->pipes);
	if (feed->params.fanout.heartbeat_ms && !feed->is_draining && !feed->params.is_branch &&
	    now_ms - feed->publish.last_ms >= feed->params.fanout.heartbeat_ms) {
		feed->metrics.heartbeats++;
		tell(feed, PACKET_HEARTBEAT);
	}
}

/* ---- renditions ---- */

struct rendition *feed_open_rendition(struct feed *feed, const struct encoder *encoder)
{
	const struct feed_params *params = &feed->params;
	const struct ring_params ring = {
		.max_bytes = params->ring_bytes,
		.max_pipes = rendition_max_pipes(params->ring_bytes, params->segment_bytes),
	};
	struct rendition *rendition =
		rendition_new(&feed->fanout, encoder, &ring, &feed->publish.sequence);

	if (!rendition)
		return NULL;
	feed_record_open_rendition(rendition, feed->params.framing.max_message);
	if (!feed->params.is_branch)
		pipe_set_open(&feed->pipes);
	return rendition;
}

void feed_take_past(const struct feed *feed, struct rendition *rendition)
{
	publish_take_past(&feed->publish, rendition);
	(void)rendition_update_held(rendition);
}

static void free_rendition(struct rendition *rendition, enum close_reason reason)
{
	fanout_clear_rendition(rendition, reason);
	feed_record_close_rendition(rendition);
	rendition_free(rendition);
}

void feed_close_rendition(struct rendition **rendition)
{
	free_rendition(*rendition, CLOSE_REMOVED);
	*rendition = NULL;
}

/* Packets are collected for it even while it has no subscriber, if that is so now. */
static void ask_for_packets(struct rendition *rendition)
{
	const struct fanout_events *events = &rendition->fanout->events;

	if (rendition->keeps_past || rendition->is_recorded)
		events->on_wanted(events->owner);
}

void feed_keep_past(struct rendition *rendition, bool keeps_past)
{
	rendition->keeps_past = keeps_past;
	ask_for_packets(rendition);
}

void feed_set_recorded(struct rendition *rendition, bool is_recorded)
{
	rendition->is_recorded = is_recorded;
	ask_for_packets(rendition);
}

/* ---- life ---- */

int feed_new(struct ev_loop *loop, const struct feed_params *params,
	     const struct feed_events *events, struct feed **ret)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	int r;

	if (!feed)
		return -ENOMEM;
	feed->params = *params;
	feed->events = *events;
	feed->loop = loop;
	list_node_init(&feed->node);
	init_publish(feed);
	init_intake(feed);
	r = init_pipes(feed);
	if (r < 0) {
		free(feed);
		return r;
	}
	init_fanout(feed);
	*ret = feed;
	return 0;
}

void feed_free(struct feed **feed_ptr, enum close_reason reason)
{
	struct feed *feed = *feed_ptr;
	struct list_node *node;

	*feed_ptr = NULL;
	if (!feed)
		return;
	feed->is_draining = true;
	fanout_close_all(&feed->fanout, reason);
	fanout_stop(&feed->fanout);
	while ((node = list_first(&feed->fanout.renditions)))
		free_rendition(rendition_of(node), reason);
	feed_record_close(&feed->fanout);
	intake_fini(&feed->intake);
	pipe_set_fini(&feed->pipes);
	free(feed);
}

void feed_change(struct feed *feed, const struct feed_params *params)
{
	size_t segment_bytes = feed->params.segment_bytes;
	struct framing_params framing = feed->params.framing;
	bool is_branch = feed->params.is_branch;
	struct list_node *node;

	framing.max_message = params->framing.max_message;
	framing.ends_with_source = params->framing.ends_with_source;
	feed->params = *params;
	feed->params.segment_bytes = segment_bytes;
	feed->params.framing = framing;
	feed->params.is_branch = is_branch;
	feed->pipes.params.gift_headers = params->gift_headers;
	change_intake(feed);
	list_for_each (&feed->fanout.renditions, node)
		rendition_of(node)->ring.params.max_bytes = params->ring_bytes;
}

uint64_t feed_subscriber_count(const struct feed *feed)
{
	return feed->metrics.subscribers + crossings_subscriber_count(&feed->publish.crossings);
}

bool feed_is_wanted(const struct feed *feed)
{
	struct list_node *node;

	if (feed->metrics.subscribers || feed->fanout.own_count)
		return true;
	list_for_each (&feed->fanout.renditions, node) {
		if (rendition_of(node)->keeps_past || rendition_of(node)->is_recorded)
			return true;
	}
	return false;
}

void feed_set_records(struct feed *feed, struct feed_records *records, unsigned worker)
{
	feed_record_open(&feed->fanout, &feed->publish.sequence, feed->params.is_branch, records,
			 worker);
}

/* ---- branches ---- */

void feed_wake(struct feed *feed)
{
	pipe_set_open(&feed->pipes);
	fanout_begin_joining(&feed->fanout);
}

bool feed_sleep(struct feed *feed)
{
	struct list_node *node;

	if (feed_is_wanted(feed))
		return false;
	fanout_free_closed(&feed->fanout);
	list_for_each (&feed->fanout.renditions, node)
		ring_clear(&rendition_of(node)->ring);
	pipe_set_sleep(&feed->pipes);
	return true;
}

void feed_catch_up(struct feed *feed)
{
	if (feed->events.catch_up)
		feed->events.catch_up(feed->events.owner);
}

/* ---- the end ---- */

void feed_drain(struct feed *feed)
{
	if (feed->is_draining)
		return;
	feed->is_draining = true;
	crossings_send_drain(&feed->publish.crossings);
	fanout_drain_rest(&feed->fanout);
	tell(feed, PACKET_END);
	fanout_finish_all(&feed->fanout, CLOSE_DRAIN);
}

void feed_read_metrics(const struct feed *feed, struct metrics *ret)
{
	*ret = feed->metrics;
	ret->source_up = !feed->params.is_branch && feed->publish.sequence.is_source_up;
	ret->pipes_open =
		pipe_set_count(&feed->pipes) + crossings_pipe_count(&feed->publish.crossings);
	ret->socket_pairs = socket_pair_is_open(&feed->pipes.pair);
	fanout_add_metrics(&feed->fanout, ret);
}
