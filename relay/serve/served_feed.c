// SPDX-License-Identifier: MIT
/*
 * Served feeds: made, changed and taken down in all workers.
 *
 * Order matters at the end only: home stops sending before the branches go, and they go before
 * home, so nobody ever sends to who is not there.
 */
#include "serve/served_feed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "feed/crossing_branch.h"
#include "serve/params.h"
#include "serve/service.h"
#include "source/listener_log.h"

/* One thing to be done in a worker for a feed; which members count is up to what is done. */
struct order {
	struct served_feed *served;
	struct sequence next; /* of the first message; session 0: a new sequence */
	struct feed_params params;
	struct ingest_params *ingest; /* NULL: of a combination */
	struct access *access;
	const struct ingest_state *kept; /* NULL: the ingest begins anew */
	struct feed_records *records;    /* NULL: a crash would end all */
	enum close_reason reason;
	const struct endpoint_address *peer; /* HTTP: who wants to publish */
	const struct endpoint *endpoint;     /* LISTEN: where it listens, */
	struct listen_sockets *sockets;      /* and how */
	struct errmsg *err;
	int result;               /* of one worker */
	int results[WORKERS_MAX]; /* of all of them at once */
};

static struct worker_feed *worker_feed(const struct served_feed *served,
				       const struct worker *worker)
{
	return &served->worker_feeds[worker->index];
}

struct served_feed *served_feed_find(const struct list *feeds, const char *name)
{
	struct list_node *node;

	list_for_each (feeds, node) {
		if (strcmp(served_feed_at(node)->name, name) == 0)
			return served_feed_at(node);
	}
	return NULL;
}

/* ---- making ---- */

static void wait_for_disk(struct worker *worker, void *data)
{
	const struct order *order = data;
	struct served_feed *served = order->served;

	if (served->recorder)
		recorder_add_fanout(served->recorder, worker->index, &worker->inbox,
				    &worker_feed(served, worker)->feed->fanout);
}

static void make_in_worker(struct worker *worker, void *data)
{
	struct order *order = data;
	struct served_feed *served = order->served;
	struct worker_feed *own = worker_feed(served, worker);
	const struct feed_events events = {.owner = &served->ingest, .on_ready = ingest_resume};
	const struct feed_events no_events = {0};
	struct feed_params params = order->params;
	int r;

	params.is_branch = served->home != worker;
	r = feed_new(worker->loop, &params,
		     params.is_branch || !order->ingest ? &no_events : &events, &own->feed);
	order->results[worker->index] = r;
	if (r < 0)
		return;
	if (served->home == worker && order->next.session)
		publish_resume(&own->feed->publish, &order->next);
	feed_set_records(own->feed, order->records, worker->index);
	list_append(&worker->feeds, &own->node);
	wait_for_disk(worker, data);
}

static void attach_branch(struct worker *worker, void *data)
{
	struct order *order = data;

	if (order->served->crossings[worker->index])
		crossing_attach_branch(order->served->crossings[worker->index]);
}

static void attach_home(struct order *order)
{
	struct served_feed *served = order->served;

	for (unsigned i = 0; i < served->workers->count; i++) {
		if (served->crossings[i])
			crossing_attach_home(served->crossings[i]);
	}
}

static void set_up_home(struct worker *worker, void *data)
{
	struct order *order = data;
	struct served_feed *served = order->served;
	struct worker_feed *own = worker_feed(served, worker);

	if (order->ingest) {
		ingest_init(&served->ingest, worker->loop, own->feed, order->ingest);
		ingest_set_access(&served->ingest, order->access);
		own->ingest = &served->ingest;
	}
	attach_home(order);
}

static int connect_branches(struct served_feed *served, struct order *order)
{
	struct feed *home = worker_feed(served, served->home)->feed;

	for (unsigned i = 0; i < served->workers->count; i++) {
		int r;

		if (served->worker_feeds[i].feed == home)
			continue;
		r = crossing_new(&home->publish.crossings, &served->home->inbox,
				 served->worker_feeds[i].feed, &served->workers->list[i].inbox,
				 &served->crossings[i]);
		if (r < 0)
			return r;
	}
	workers_call(served->workers, attach_branch, order);
	return 0;
}

static int make(struct order *order)
{
	const struct workers *workers = order->served->workers;
	int r = 0;

	workers_call(order->served->workers, make_in_worker, order);
	for (unsigned i = 0; r == 0 && i < workers->count; i++)
		r = order->results[i];
	if (r == 0)
		r = connect_branches(order->served, order);
	if (r == 0)
		worker_call(order->served->home, set_up_home, order);
	return r;
}

/* ---- history ---- */

/* The feed that this one replaces still has it open: served_feed_record() is next then. */
static bool is_held_by_old(const struct served_feed *served)
{
	const struct served_feed *old = served_feed_find(&served->service->feeds, served->name);

	return old && old != served && old->recorder;
}

/* kept: the sequence goes on anyway.  0, or -errno with a message. */
static int open_history(struct served_feed *served, const struct config_feed *from, bool is_kept,
			struct sequence *ret_next, struct errmsg *err)
{
	struct recorder_params params;
	struct history_found found;
	int r;

	if (!*from->history || is_held_by_old(served))
		return 0;
	params_of_recorder(from, &params);
	params.history.goes_on = is_kept;
	params.fanouts_max = served->workers->count;
	r = recorder_new(&params, &served->recorder, &found, err);
	if (r < 0)
		return r;
	params_of_sequence(from, &found);
	recorder_tell_found(served->recorder, &found);
	if (!is_kept)
		*ret_next = found.next;
	r = format_offer_change(&served->recorded, &served->formats[FORMAT_FRAMED], PAST_NEVER);
	if (r < 0)
		errmsg_errno(err, r, "feed %s: history", served->name);
	return r;
}

static void begin_recording(struct worker *worker, void *data)
{
	struct order *order = data;
	struct served_feed *served = order->served;
	struct rendition **renditions = served->formats[FORMAT_FRAMED].renditions;

	if (order->result == 0)
		order->result =
			recorder_begin(served->recorder, &worker->inbox, renditions[worker->index]);
	if (order->result < 0)
		log_error("history cannot be written feed=%s: %s", served->name,
			  strerror(-order->result));
}

static void record(struct served_feed *served)
{
	struct order order = {.served = served,
			      .result = served_format_open(served->recorded.format)};

	worker_call(served->recording, begin_recording, &order);
}

void served_feed_record(struct served_feed *served, const struct config_feed *from)
{
	struct order order = {.served = served};
	struct sequence next;
	struct errmsg err;

	if (served->recorder || !*from->history)
		return;
	if (open_history(served, from, true, &next, &err) < 0)
		log_error("%s", err.text);
	else
		workers_call(served->workers, wait_for_disk, &order);
}

static void finish_recording(struct worker *worker, void *data)
{
	struct served_feed *served = data;

	crossing_take_rest(served->crossings[worker->index]);
	recorder_finish(served->recorder);
}

bool served_feed_read_history(const struct served_feed *served, struct recorder_report *ret)
{
	if (!served->recorder)
		return false;
	recorder_read_report(served->recorder, ret);
	return true;
}

int served_feed_pause_recording(struct served_feed *served, struct errmsg *err)
{
	served_forward_pause(&served->forward);
	if (!served->recorder)
		return 0;
	inbox_run(&served->recording->inbox); /* somebody may be on the way to the history */
	recorder_leave(served->recorder);
	inbox_run(&served->recording->inbox); /* the recorder may wait for an answer */
	return recorder_pause(served->recorder, err);
}

void served_feed_resume_recording(struct served_feed *served)
{
	struct order order = {.served = served};

	if (served->recorder)
		begin_recording(served->recording, &order);
}

/* ---- unmaking ---- */

static void leave_home(struct worker *worker, void *data)
{
	struct order *order = data;
	struct served_feed *served = order->served;

	if (worker_feed(served, worker)->ingest)
		ingest_close(&served->ingest, order->reason);
	if (worker_feed(served, worker)->feed)
		served->next = worker_feed(served, worker)->feed->publish.sequence;
	for (unsigned i = 0; i < served->workers->count; i++) {
		if (served->crossings[i] && list_is_linked(&served->crossings[i]->node))
			crossing_detach_home(served->crossings[i]);
	}
}

static void free_in_worker(struct worker *worker, void *data)
{
	struct order *order = data;
	struct served_feed *served = order->served;
	struct worker_feed *own = worker_feed(served, worker);

	if (!own->feed)
		return;
	list_remove(&own->node);
	if (served->recorder)
		recorder_remove_fanout(served->recorder, worker->index);
	if (served->crossings[worker->index])
		crossing_detach_branch(served->crossings[worker->index]);
	feed_free(&own->feed, order->reason);
}

static void free_branch(struct worker *worker, void *data)
{
	const struct order *order = data;

	if (order->served->home != worker)
		free_in_worker(worker, data);
}

void served_feed_end(struct served_feed *served, enum close_reason reason)
{
	struct order order = {.served = served, .reason = reason};

	if (served->has_ended)
		return;
	served->has_ended = true;
	worker_call(served->home, leave_home, &order);
	served_forward_end(&served->forward);
	if (served->recorder && served->has_begun)
		worker_call(served->recording, finish_recording, served);
}

void served_feed_free(struct served_feed **served_ptr, enum close_reason reason)
{
	struct served_feed *served = *served_ptr;
	struct order order = {.served = served, .reason = reason};

	*served_ptr = NULL;
	if (!served)
		return;
	served_feed_end(served, reason);
	if (served->recorder && served->has_begun) {
		recorder_await_end(served->recorder);
		served_format_leave(served->recorded.format);
	}
	format_offer_end(&served->recorded);
	workers_call(served->workers, free_branch, &order);
	worker_call(served->home, free_in_worker, &order);
	for (unsigned i = 0; i < served->workers->count; i++)
		crossing_free(&served->crossings[i]);
	/* The quotas that its subscribers gave back. */
	inbox_run(served->workers->control);
	recorder_free(&served->recorder, &served->next);
	served->home->homes--;
	list_remove(&served->node);
	free(served->crossings);
	free(served->worker_feeds);
	free(served);
}

/* ---- life ---- */

/* Without anything in the workers yet. */
static struct served_feed *new_empty(struct service *service, const char *name, struct worker *home)
{
	struct workers *workers = &service->workers;
	struct served_feed *served = calloc(1, sizeof(*served));

	if (!served)
		return NULL;
	served->worker_feeds = calloc(workers->count, sizeof(*served->worker_feeds));
	served->crossings = calloc(workers->count, sizeof(struct crossing *));
	if (!served->worker_feeds || !served->crossings) {
		free(served->worker_feeds);
		free(served->crossings);
		free(served);
		return NULL;
	}
	list_node_init(&served->node);
	(void)snprintf(served->name, sizeof(served->name), "%s", name);
	served->service = service;
	served->workers = workers;
	served->home = home;
	served->recording = workers_for_history(workers, name, home);
	served->home->homes++;
	served_formats_init(served);
	return served;
}

/* Can its publisher go on where it stood in the process before?  CLOSE_REASON_COUNT: yes.  Else it
 * has to begin anew. */
static enum close_reason source_end(const struct handed_feed *handed,
				    const struct config_feed *from,
				    const struct framing_params *framing)
{
	const struct intake_state *intake = &handed->parts[handed->home].intake;

	if (strcmp(handed->ingest_text, from->ingest.text) != 0 ||
	    intake->framing != framing->kind || intake->fixed_bytes != framing->fixed_bytes)
		return CLOSE_REMOVED;
	return handed->ingest.is_cut ? CLOSE_HANDOVER : CLOSE_REASON_COUNT;
}

int served_feed_new(struct service *service, const struct config *config,
		    const struct config_feed *from, struct handed_feed *kept,
		    struct served_feed **ret, struct errmsg *err)
{
	const char *name = from->section.name;
	struct workers *workers = &service->workers;
	struct served_feed *served = new_empty(
		service, name, kept ? &workers->list[kept->home] : workers_for_home(workers));
	struct ingest_params *ingest = calloc(1, sizeof(*ingest));
	struct access publishers = {0};
	struct order order = {.served = served,
			      .ingest = ingest,
			      .access = &publishers,
			      .records = service->records.parts ? &service->records : NULL};

	if (!served || !ingest) {
		order.result = -ENOMEM;
		errmsg_errno(err, -ENOMEM, "feed %s", from->section.name);
		goto out;
	}
	order.result = params_of_ingest(config, from, ingest, err);
	if (order.result == 0)
		order.result = params_of_publishers(from, &publishers, err);
	if (order.result < 0)
		goto out;
	params_of_feed(config, from, &service->thresholds, &order.params);
	if (kept)
		kept->source_end = source_end(kept, from, &order.params.framing);
	order.result = open_history(served, from, kept != NULL, &order.next, err);
	if (order.result < 0)
		goto out;
	order.result = served_forward_offer(served, config, from, err);
	if (order.result < 0)
		goto out;
	order.result = make(&order);
	if (order.result < 0)
		errmsg_errno(err, order.result, "feed %s", from->section.name);
out:
	access_fini(&publishers);
	free(ingest);
	if (order.result < 0) {
		served_feed_free(&served, CLOSE_REMOVED);
		return order.result;
	}
	served->max_subscribers = from->max_subscribers;
	served->keep_past_ms = from->keep_past;
	*ret = served;
	return 0;
}

int served_feed_new_combined(struct service *service, const struct feed_params *params,
			     struct served_feed **ret)
{
	struct order order = {
		.served = new_empty(service, params->name, workers_for_home(&service->workers)),
		.params = *params,
	};
	int r = order.served ? make(&order) : -ENOMEM;

	if (r < 0) {
		served_feed_free(&order.served, CLOSE_NO_MEMORY);
		return r;
	}
	*ret = order.served;
	return 0;
}

static void open_ingest(struct worker *worker, void *data)
{
	struct order *order = data;

	(void)worker;
	order->result = ingest_open(&order->served->ingest, order->kept, order->err);
}

int served_feed_open(struct served_feed *served, const struct handed_feed *kept, struct errmsg *err)
{
	struct errmsg why;
	struct order order = {
		.served = served,
		.kept = kept && (kept->source_end == CLOSE_REASON_COUNT ||
				 kept->ingest.is_after_crash)
				? &kept->ingest
				: NULL,
		.err = &why,
	};

	worker_call(served->home, open_ingest, &order);
	if (order.result < 0) {
		errmsg_set(err, "feed %s: %s", served->name, why.text);
		return order.result;
	}
	return 0;
}

static void listen_in(struct worker *worker, void *data)
{
	struct order *order = data;

	(void)worker;
	ingest_listen(&order->served->ingest, order->endpoint, order->sockets);
	listener_log_open("feed", order->served->name, &order->served->ingest.listener);
}

void served_feed_listen(struct served_feed *served, const struct endpoint *endpoint,
			struct listen_sockets *sockets)
{
	struct order order = {.served = served, .endpoint = endpoint, .sockets = sockets};

	worker_call(served->home, listen_in, &order);
}

static void check_publisher(struct worker *worker, void *data)
{
	struct order *order = data;

	(void)worker;
	order->reason = ingest_check_peer(&order->served->ingest, order->peer);
}

enum close_reason served_feed_check_publisher(struct served_feed *served,
					      const struct endpoint_address *peer)
{
	struct order order = {.served = served, .peer = peer};

	worker_call(served->home, check_publisher, &order);
	return order.reason;
}

static void begin(struct worker *worker, void *data)
{
	struct order *order = data;
	struct served_feed *served = order->served;

	crossings_answer(&worker_feed(served, worker)->feed->publish.crossings);
	ingest_begin(&served->ingest);
}

void served_feed_begin(struct served_feed *served)
{
	struct order order = {.served = served};

	if (served->has_begun)
		return;
	/* Branches ask before home begins, so that they get what comes first. */
	if (served->recorder) {
		served_format_enter(served->recorded.format);
		record(served);
	}
	served_forward_begin(&served->forward);
	served_formats_begin(served);
	worker_call(served->home, begin, &order);
}

static void change_in_worker(struct worker *worker, void *data)
{
	struct order *order = data;
	struct served_feed *served = order->served;
	struct worker_feed *own = worker_feed(served, worker);

	feed_change(own->feed, &order->params);
	if (!own->ingest)
		return;
	ingest_change(&served->ingest, order->ingest);
	ingest_look_again(&served->ingest);
	if (order->access)
		ingest_set_access(&served->ingest, order->access);
}

void served_feed_change(struct service *service, struct served_feed *served,
			const struct config *config, const struct config_feed *from)
{
	struct ingest_params *ingest = calloc(1, sizeof(*ingest));
	struct access publishers = {0};
	struct order order = {.served = served, .ingest = ingest, .access = &publishers};
	struct recorder_params recorder;
	struct errmsg err;

	if (!ingest || params_of_ingest(config, from, ingest, &err) < 0) {
		log_error("out of memory feed=%s, it has not changed", served->name);
		free(ingest);
		return;
	}
	if (params_of_publishers(from, &publishers, &err) < 0) {
		log_error("%s feed=%s, who may publish has not changed", err.text, served->name);
		order.access = NULL;
	}
	params_of_feed(config, from, &service->thresholds, &order.params);
	if (served->recorder) {
		params_of_recorder(from, &recorder);
		recorder_change(served->recorder, &recorder);
	}
	workers_call(served->workers, change_in_worker, &order);
	served_forward_change(&served->forward, config, from);
	served->max_subscribers = from->max_subscribers;
	served->keep_past_ms = from->keep_past;
	access_fini(&publishers);
	free(ingest);
}

static void drain_home(struct worker *worker, void *data)
{
	struct served_feed *served = data;

	ingest_close(&served->ingest, CLOSE_DRAIN);
	feed_drain(worker_feed(served, worker)->feed);
}

void served_feed_drain(struct served_feed *served)
{
	worker_call(served->home, drain_home, served);
}
