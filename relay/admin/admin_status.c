// SPDX-License-Identifier: MIT
/* The status as JSON.  json_object_set_new() takes NULL for a failure and goes on: what could not
 * be had for want of memory is missing in the answer. */
#include "admin/admin_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin_agent.h"
#include "admin/collect.h"
#include "base/clock.h"
#include "base/num.h"
#include "history/recorder.h"
#include "nats/forwarder.h"
#include "serve/http_listener.h"
#include "serve/served_listener.h"
#include "serve/service.h"

enum {
	STATUS_VERSION = 1,
	SLOWEST = 10, /* of each feed in the status */
	LIST_DEFAULT = 100,
	LIST_MAX = 1000,
};

#define LOG_LEVEL_WORD(prefix, id, word) [prefix##_##id] = (word),
static const char *const log_level_words[] = {CONFIG_LOG_LEVELS(LOG_LEVEL_WORD)};
#undef LOG_LEVEL_WORD

static void set(json_t *object, const char *name, json_t *value)
{
	(void)json_object_set_new(object, name, value);
}

static void set_count(json_t *object, const char *name, uint64_t count)
{
	set(object, name, json_integer((json_int_t)count));
}

/* ---- subscribers ---- */

static json_t *subscriber_json(const struct census_row *row)
{
	char peer[ENDPOINT_TEXT_BYTES];
	json_t *json = json_object();

	endpoint_print_address(peer, sizeof(peer), &row->peer);
	set_count(json, "id", row->id);
	set(json, "feed", json_string(row->feed));
	set(json, "format", json_string(row->format));
	set_count(json, "worker", row->worker);
	set(json, "peer", json_string(peer));
	set(json, "state", json_string(census_state_name(row->state)));
	set_count(json, "lag_bytes", row->lag_bytes);
	set_count(json, "lag_ms", row->lag_ms);
	set_count(json, "lag_messages", row->lag_messages);
	set_count(json, "delivered_messages", row->delivered_messages);
	set_count(json, "sent_bytes", row->sent_bytes);
	set_count(json, "connected_ms", row->connected_ms);
	set_count(json, "queued_bytes", row->queued_bytes);
	set(json, "replaying", json_boolean(row->is_replaying));
	if (row->state == SUBSCRIBER_BLOCKED)
		set(json, "cause", json_string(slow_cause_name(row->cause)));
	return json;
}

static json_t *rows_json(const struct census *census)
{
	json_t *list = json_array();

	for (size_t i = 0; i < census->count; i++)
		(void)json_array_append_new(list, subscriber_json(&census->rows[i]));
	return list;
}

static json_t *buckets_json(const uint64_t *bounds, const uint64_t *counts, int count)
{
	json_t *list = json_array();

	for (int i = 0; i < count; i++) {
		json_t *bucket = json_object();

		set(bucket, "le",
		    i < count - 1 ? json_integer((json_int_t)bounds[i]) : json_null());
		set_count(bucket, "count", counts[i]);
		(void)json_array_append_new(list, bucket);
	}
	return list;
}

static int parse_order(const char *text, enum census_order *ret)
{
	static const char *const words[] = {
		[CENSUS_BY_LAG] = "lag",
		[CENSUS_BY_AGE] = "age",
		[CENSUS_BY_DELIVERED] = "delivered",
		[CENSUS_BY_ID] = "id",
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(words[i], text) == 0) {
			*ret = (enum census_order)i;
			return 0;
		}
	}
	return -1;
}

void admin_get_subscribers(const struct admin_request *request)
{
	struct service *service = request->admin->service;
	char feed_name[FEED_NAME_BYTES + 1], sort[16], slow[8], limit_text[24];
	const struct served_feed *feed = NULL;
	enum census_order order = CENSUS_BY_LAG;
	uint64_t limit = LIST_DEFAULT;
	struct census census;
	json_t *json;

	if (admin_parameter(request, "feed", feed_name, sizeof(feed_name))) {
		feed = served_feed_find(&service->feeds, feed_name);
		if (!feed) {
			admin_answer_error(request, 404, "there is no feed '%s'", feed_name);
			return;
		}
	}
	if (admin_parameter(request, "sort", sort, sizeof(sort)) && parse_order(sort, &order) < 0) {
		admin_answer_error(request, 400,
				   "bad sort; expected one of lag, age, delivered, id");
		return;
	}
	if (admin_parameter(request, "limit", limit_text, sizeof(limit_text)) &&
	    num_parse_count(limit_text, &limit) < 0) {
		admin_answer_error(request, 400, "bad limit; expected a number");
		return;
	}
	if (!admin_parameter(request, "slow", slow, sizeof(slow)))
		slow[0] = '\0';
	if (census_init(&census, order, strcmp(slow, "1") == 0, u64_min(limit, LIST_MAX)) < 0 ||
	    collect_census(service, feed, &census) < 0) {
		census_fini(&census);
		admin_answer_error(request, 503, "out of memory");
		return;
	}
	json = json_object();
	set(json, "subscribers", rows_json(&census));
	set_count(json, "total", census.total);
	census_fini(&census);
	admin_answer_json(request, 200, json);
}

/* ---- feeds ---- */

static json_t *metrics_json(const struct metrics *metrics)
{
	json_t *json = json_object();
	size_t count;
	const struct metric_row *rows = metrics_rows(&count);

	for (size_t i = 0; i < count; i++)
		set_count(json, rows[i].name, metrics_value(metrics, &rows[i]));
	return json;
}

static json_t *reasons_json(const uint64_t counts[CLOSE_REASON_COUNT])
{
	json_t *json = json_object();

	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		if (counts[i])
			set_count(json, close_reason_name((enum close_reason)i), counts[i]);
	}
	return json;
}

static json_t *causes_json(const uint64_t counts[SLOW_CAUSE_COUNT])
{
	json_t *json = json_object();

	for (int i = 0; i < SLOW_CAUSE_COUNT; i++) {
		if (counts[i])
			set_count(json, slow_cause_name((enum slow_cause)i), counts[i]);
	}
	return json;
}

/* What each engine that served has cost of late, in ps a byte. */
static json_t *costs_json(const struct engine_choice *choice)
{
	json_t *json = json_object();

	for (enum engine engine = 0; engine < ENGINE_COUNT; engine++) {
		uint64_t cost_ps = engine_cost_ps(choice, engine);

		if (cost_ps)
			set_count(json, engine_name(engine), cost_ps);
	}
	return json;
}

static void set_engine(json_t *json, const struct engine_choice *choice)
{
	set(json, "engine", json_string(choice->is_fixed ? engine_name(choice->fixed) : "auto"));
	set(json, "cost_ps", costs_json(choice));
	if (choice->is_fixed)
		return;
	set_count(json, "copy_below", choice->thresholds.copy_below);
	set_count(json, "compact_readers", choice->thresholds.compact_readers);
	set_count(json, "slot_bytes", (uint64_t)choice->slot_bytes);
}

static json_t *lag_json(const struct census *census)
{
	json_t *json = json_object();

	set_count(json, "max", census->max_lag_ms);
	set(json, "buckets",
	    buckets_json(census_lag_bounds_ms, census->lag_buckets, CENSUS_LAG_BUCKETS));
	return json;
}

/* null where there is none. */
static json_t *history_json(const struct served_feed *served)
{
	struct recorder_report report;
	json_t *json;

	if (!served_feed_read_history(served, &report))
		return json_null();
	json = json_object();
	set(json, "folder", json_string(report.history.path));
	set_count(json, "files", report.history.files);
	set_count(json, "bytes", report.history.bytes);
	set_count(json, "oldest_session", report.history.oldest.session);
	set_count(json, "oldest_seq", report.history.oldest.sequence);
	set_count(json, "oldest_ms", report.history.oldest.time_ns / NS_PER_MS);
	set_count(json, "session", report.history.end.session);
	set_count(json, "next_seq", report.history.end.sequence);
	set_count(json, "newest_ms", report.history.end.time_ns / NS_PER_MS);
	set_count(json, "lag_messages", collect_unrecorded(served, &report));
	set_count(json, "readers", served->report.metrics.subscribers_replaying);
	set(json, "failing", json_boolean(report.is_failing));
	set_count(json, "errors", report.errors);
	set_count(json, "gaps", report.gaps);
	set_count(json, "missed", report.missed);
	set_count(json, "written_bytes", report.written_bytes);
	set_count(json, "sync_ms", report.sync_ns / NS_PER_MS);
	set_count(json, "unanswered_ms", report.unanswered_ms);
	return json;
}

/* null where it is not forwarded. */
static json_t *forward_json(const struct config_feed *from, const struct served_feed *served)
{
	struct forwarder_report report;
	json_t *json;

	if (!from || !served_forward_read(&served->forward, &report))
		return json_null();
	json = json_object();
	set(json, "to", json_string(from->forward));
	set(json, "subject", json_string(from->forward_subject));
	set(json, "server", json_string(report.server));
	set(json, "up", json_boolean(report.is_up));
	set(json, "looking", json_boolean(report.is_looking));
	set_count(json, "session", report.next.session);
	set_count(json, "next_seq", report.next.sequence);
	return json;
}

static json_t *feed_json(const struct config *config, const struct served_feed *served,
			 const struct census *census)
{
	const struct config_feed *from = config_find_feed(config, served->name);
	const struct feed_report *report = &served->report;
	json_t *json = json_object();

	set(json, "name", json_string(served->name));
	set_count(json, "session", report->session);
	set_count(json, "next_seq", report->next_seq);
	set(json, "source_up", json_boolean(report->is_source_up));
	set(json, "source", json_string(from ? from->ingest.text : ""));
	set(json, "origin", json_string(served->origin.name));
	set_count(json, "origin_since_ms", served->origin.since_ns / NS_PER_MS);
	set_count(json, "rate_in", served->rates.in_bytes);
	set_count(json, "rate_out", served->rates.out_bytes);
	set(json, "metrics", metrics_json(&report->metrics));
	set(json, "closed", reasons_json(report->closed));
	set(json, "source_ends", reasons_json(report->source_ends));
	set(json, "skipped_by", causes_json(report->skipped_by));
	set(json, "closed_slow_by", causes_json(report->closed_slow_by));
	set_engine(json, &report->choice);
	set(json, "lag_ms", lag_json(census));
	set(json, "slowest", rows_json(census));
	set(json, "history", history_json(served));
	set(json, "forward", forward_json(from, served));
	return json;
}

/* One for each feed; NULL without memory. */
static struct census *take_censuses(struct service *service, size_t count)
{
	struct census *list = calloc(count + 1, sizeof(*list));
	int r = list ? 0 : -1;

	for (size_t i = 0; i < count && r == 0; i++)
		r = census_init(&list[i], CENSUS_BY_LAG, false, SLOWEST);
	if (r == 0)
		r = collect_each_census(service, list, count);
	for (size_t i = 0; i < count && list && r < 0; i++)
		census_fini(&list[i]);
	if (r < 0) {
		free(list);
		return NULL;
	}
	return list;
}

static json_t *feeds_json(struct service *service, const struct config *config)
{
	size_t count = list_length(&service->feeds), i = 0;
	struct census *censuses = take_censuses(service, count);
	json_t *list = json_array();
	struct list_node *node;

	if (!censuses)
		return list;
	list_for_each (&service->feeds, node) {
		(void)json_array_append_new(list,
					    feed_json(config, served_feed_at(node), &censuses[i]));
		census_fini(&censuses[i++]);
	}
	free(censuses);
	return list;
}

/* ---- the rest of the status ---- */

static json_t *worker_json(struct service *service, unsigned index)
{
	const struct worker *worker = &service->workers.list[index];
	struct loop_lag_counts lag;
	json_t *json = json_object(), *lag_us = json_object();

	collect_loop_lag(service, index, &lag);
	set_count(lag_us, "p50", loop_lag_quantile_us(&lag, 0.5));
	set_count(lag_us, "p99", loop_lag_quantile_us(&lag, 0.99));
	set_count(lag_us, "max", lag.max_us);
	set(lag_us, "buckets", buckets_json(loop_lag_bounds_us, lag.buckets, LOOP_LAG_BUCKETS));
	set_count(json, "index", index);
	set_count(json, "subscribers", worker->subscribers);
	set_count(json, "homes", worker->homes);
	set_count(json, "turns", loop_lag_total(&lag));
	set(json, "lag_us", lag_us);
	return json;
}

static void set_counters(json_t *json, const void *counters, const struct counter_row *rows,
			 size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!rows[i].is_admin_only)
			set_count(json, rows[i].name, counter_value(counters, &rows[i]));
	}
}

static json_t *http_json(const struct http_listener *http)
{
	json_t *json = json_object(), *refused = json_object();
	size_t count;
	const struct counter_row *rows = http_counter_rows(&count);

	for (int i = 0; i < HTTP_REFUSAL_COUNT; i++)
		set_count(refused, http_refusal_name((enum http_refusal)i),
			  http_listener_refused(http, (enum http_refusal)i));
	set_counters(json, &http->server.counters, rows, count);
	set_count(json, "heads", http->server.count);
	set(json, "refused", refused);
	return json;
}

static json_t *listener_json(const struct served_listener *served)
{
	json_t *json = json_object();
	size_t count;
	const struct counter_row *rows = listener_counter_rows(&count);

	set(json, "name", json_string(served->name));
	if (served->http) {
		set(json, "feed", json_string(served->http->feed));
		set(json, "format", json_string("http"));
		set(json, "http", http_json(served->http));
	} else {
		const struct served_format *format = served->offer.format;

		set(json, "feed", json_string(format ? format->feed->name : ""));
		set(json, "format", json_string(format ? format_row(format->format)->name : ""));
	}
	set(json, "address", json_string(listener_address(&served->listener)));
	set_counters(json, &served->listener.counters, rows, count);
	return json;
}

/* 0: no slow drain is under way. */
static uint64_t slow_drain_left_ms(const struct service *service)
{
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS, end_ms = service->slow_drain_end_ms;

	return service->is_draining ? 0 : u64_max(end_ms, now_ms) - now_ms;
}

static json_t *relay_json(const struct service *service, const struct admin_process *process)
{
	uint64_t now_ns = clock_wall_ns();
	char time[CLOCK_UTC_BYTES];
	json_t *json = json_object();

	set(json, "version", json_string(process->version));
	set_count(json, "pid", (uint64_t)getpid());
	set(json, "uptime_s",
	    json_real((double)(clock_mono_ns() - process->started_mono_ns) / NS_PER_S));
	set(json, "time", json_string(clock_print_utc(time, sizeof(time), now_ns)));
	set(json, "draining", json_boolean(service_is_leaving(service)));
	set_count(json, "slow_drain_left_ms", slow_drain_left_ms(service));
	set(json, "survives_crash", json_boolean(process->survives_crash));
	set_count(json, "workers", service->workers.count);
	set_count(json, "subscribers", service->subscribers);
	set_count(json, "max_subscribers", service->max_subscribers);
	set_count(json, "pinned_bytes", process->pinned_bytes);
	set_count(json, "log_lines_lost", process->log_lost);
	set(json, "log_level", json_string(log_level_words[process->log_level]));
	set(json, "reload_failed", json_boolean(*process->config_fault));
	set(json, "config_fault", json_string(process->config_fault));
	set_count(json, "config_fallbacks", process->config_fallbacks);
	return json;
}

void admin_get_status(const struct admin_request *request)
{
	struct service *service = request->admin->service;
	json_t *json = json_object(), *workers = json_array(), *listeners = json_array();
	struct admin_process process;
	struct list_node *node;

	admin_describe(request->admin, &process);
	collect_reports(service, true);
	for (unsigned i = 0; i < service->workers.count; i++)
		(void)json_array_append_new(workers, worker_json(service, i));
	list_for_each (&service->listeners, node)
		(void)json_array_append_new(listeners, listener_json(served_listener_at(node)));
	set_count(json, "version", STATUS_VERSION);
	set(json, "relay", relay_json(service, &process));
	set(json, "workers", workers);
	set(json, "feeds", feeds_json(service, process.config));
	set(json, "listeners", listeners);
	admin_answer_json(request, 200, json);
}

/* ---- health ---- */

void admin_get_healthz(const struct admin_request *request)
{
	collect_reports(request->admin->service, false);
	admin_answer_line(request, 200, "ok");
}

void admin_get_readyz(const struct admin_request *request)
{
	struct service *service = request->admin->service;
	char name[FEED_NAME_BYTES + 1];
	const struct served_feed *only = NULL;
	bool is_up;

	if (admin_parameter(request, "feed", name, sizeof(name))) {
		only = served_feed_find(&service->feeds, name);
		if (!only) {
			admin_answer_error(request, 404, "there is no feed '%s'", name);
			return;
		}
	}
	is_up = admin_has_source(service, only);
	if (service_is_leaving(service))
		admin_answer_error(request, 503, "draining");
	else if (!is_up)
		admin_answer_error(request, 503,
				   only ? "the feed has no source" : "no feed has a source");
	else
		admin_answer_line(request, 200, "ready");
}

static void print_config(FILE *to, const struct admin_request *request)
{
	struct admin_process process;

	admin_describe(request->admin, &process);
	config_print_effective(to, process.config);
}

void admin_get_config(const struct admin_request *request)
{
	admin_answer_written(request, "text/plain; charset=utf-8", print_config);
}
