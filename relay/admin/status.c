// SPDX-License-Identifier: MIT
/* The status, from the tables of metrics.def and close_reason.def. */
#include "admin/status.h"

#include <stdarg.h>
#include <stdio.h>

#include "admin/collect.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "base/num.h"
#include "daemon/notify.h"
#include "daemon/relay.h"
#include "serve/http_listener.h"
#include "serve/served_listener.h"

/* A line being put together; what does not fit is cut. */
struct line {
	char text[8192];
	size_t used;
};

static void line_add(struct line *line, const char *fmt, ...) printf_like(2, 3);

static void line_add(struct line *line, const char *fmt, ...)
{
	size_t room = sizeof(line->text) - line->used;
	va_list args;
	int length;

	va_start(args, fmt);
	length = vsnprintf(line->text + line->used, room, fmt, args);
	va_end(args);
	if (length > 0)
		line->used += size_min((size_t)length, room - 1);
}

static void add_metrics(struct line *line, const struct metrics *metrics)
{
	size_t count;
	const struct metric_row *rows = metrics_rows(&count);

	for (size_t i = 0; i < count; i++)
		line_add(line, " %s=%llu", rows[i].name,
			 (unsigned long long)metrics_value(metrics, &rows[i]));
}

static void add_reasons(struct line *line, const char *prefix,
			const uint64_t counts[CLOSE_REASON_COUNT])
{
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		if (counts[i])
			line_add(line, " %s_%s=%llu", prefix,
				 close_reason_name((enum close_reason)i),
				 (unsigned long long)counts[i]);
	}
}

static void add_causes(struct line *line, const char *prefix,
		       const uint64_t counts[SLOW_CAUSE_COUNT])
{
	for (int i = 0; i < SLOW_CAUSE_COUNT; i++) {
		if (counts[i])
			line_add(line, " %s_%s=%llu", prefix, slow_cause_name((enum slow_cause)i),
				 (unsigned long long)counts[i]);
	}
}

/* The classes that were measured: best_64k=splice, and the cost of each engine in ps a byte. */
static void add_engines(struct line *line, const struct engine_choice *choice)
{
	if (choice->is_fixed) {
		line_add(line, " engine=%s", engine_name(choice->fixed));
		return;
	}
	line_add(line, " engine=auto");
	for (unsigned class = 0; class < ENGINE_CLASS_COUNT; class ++) {
		const struct engine_class *row = &choice->classes[class];

		if (!row->engines[row->best].windows)
			continue;
		line_add(line, " best_%llu=%s", 1ULL << class, engine_name(row->best));
		for (int i = 0; i < ENGINE_COUNT; i++) {
			if (row->engines[i].windows)
				line_add(line, " ps_%llu_%s=%.0f", 1ULL << class,
					 engine_name((enum engine)i), row->engines[i].cost * 1000);
		}
	}
}

static void log_feed(const struct served_feed *served)
{
	const struct feed_report *report = &served->report;
	struct line line = {.used = 0};

	line_add(&line, "feed=%s session=%u next_seq=%llu rate_in=%llu rate_out=%llu", served->name,
		 report->session, (unsigned long long)report->next_seq,
		 (unsigned long long)served->rates.in_bytes,
		 (unsigned long long)served->rates.out_bytes);
	add_metrics(&line, &report->metrics);
	add_reasons(&line, "closed", report->closed);
	add_causes(&line, "closed_slow_by", report->closed_slow_by);
	add_causes(&line, "skipped_by", report->skipped_by);
	add_reasons(&line, "source", report->source_ends);
	add_engines(&line, &report->choice);
	log_info("status %s", line.text);
}

static void add_http(struct line *line, const struct served_listener *served)
{
	const struct http_server_counters *counters = &served->http->server.counters;

	line_add(line, " http_requests_%s=%llu http_heads_%s=%zu", served->name,
		 (unsigned long long)counters->requests, served->name, served->http->server.count);
	for (int i = 0; i < HTTP_REFUSAL_COUNT; i++) {
		uint64_t count = http_listener_refused(served->http, (enum http_refusal)i);

		if (count)
			line_add(line, " http_refused_%s_%s=%llu", served->name,
				 http_refusal_name((enum http_refusal)i),
				 (unsigned long long)count);
	}
}

static void add_listeners(struct line *line, const struct relay *relay)
{
	struct list_node *node;

	list_for_each (&relay->listeners, node) {
		const struct served_listener *served =
			list_entry(node, struct served_listener, node);
		const struct listener_counters *counters = &served->listener.counters;

		line_add(line, " accepted_%s=%llu", served->name,
			 (unsigned long long)counters->accepted);
		if (counters->accept_paced)
			line_add(line, " accept_paced_%s=%llu", served->name,
				 (unsigned long long)counters->accept_paced);
		if (counters->accept_errors)
			line_add(line, " accept_errors_%s=%llu", served->name,
				 (unsigned long long)counters->accept_errors);
		if (served->http)
			add_http(line, served);
	}
}

/* How many subscribers each worker has, and how long its loop keeps them waiting. */
static void log_worker(struct relay *relay, unsigned index)
{
	struct loop_lag_counts lag;

	collect_loop_lag(relay, index, &lag);
	log_info("status worker=%u subscribers=%llu homes=%u turns=%llu lag_p50_us=%llu "
		 "lag_p99_us=%llu lag_max_us=%llu",
		 index, (unsigned long long)relay->workers.list[index].subscribers,
		 relay->workers.list[index].homes, (unsigned long long)loop_lag_total(&lag),
		 (unsigned long long)loop_lag_quantile_us(&lag, 0.5),
		 (unsigned long long)loop_lag_quantile_us(&lag, 0.99),
		 (unsigned long long)lag.max_us);
}

void status_log(struct relay *relay)
{
	struct metrics sum = {0};
	struct line line = {.used = 0};
	struct list_node *node;
	size_t feeds = 0;

	collect_reports(relay, true);
	list_for_each (&relay->feeds, node) {
		const struct served_feed *served = list_entry(node, struct served_feed, node);

		log_feed(served);
		metrics_add(&sum, &served->report.metrics);
		feeds++;
	}
	for (unsigned i = 0; i < relay->workers.count; i++)
		log_worker(relay, i);
	line_add(&line, "feeds=%zu workers=%u max_subscribers=%llu", feeds, relay->workers.count,
		 (unsigned long long)relay->max_subscribers);
	if (relay_survives_crash(relay))
		line_add(&line, " survives_crash=1");
	if (relay->pinned_bytes)
		line_add(&line, " pinned_bytes=%llu", (unsigned long long)relay->pinned_bytes);
	if (relay->keeper.restarts)
		line_add(&line, " keeper_restarts=%llu",
			 (unsigned long long)relay->keeper.restarts);
	add_listeners(&line, relay);
	add_metrics(&line, &sum);
	log_info("status relay %s", line.text);
	log_info("status end");
}

static void notify_draining(const struct relay *relay)
{
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
	uint64_t left_ms = u64_max(relay->drain_end_ms, now_ms) - now_ms;

	notify_status("draining: %llu subscribers left, for %llu s at most",
		      (unsigned long long)relay->subscribers,
		      (unsigned long long)(left_ms + 999) / 1000);
}

void status_notify(const struct relay *relay)
{
	uint64_t in = 0, out = 0, gaps = 0;
	char in_text[32], out_text[32];
	struct list_node *node;
	size_t feeds = 0;

	if (relay->is_draining) {
		notify_draining(relay);
		return;
	}
	list_for_each (&relay->feeds, node) {
		const struct served_feed *served = list_entry(node, struct served_feed, node);

		feeds++;
		in += served->rates.in_bytes;
		out += served->rates.out_bytes;
		gaps += served->report.metrics.gaps;
	}
	num_print_rate(in_text, sizeof(in_text), in);
	num_print_rate(out_text, sizeof(out_text), out);
	notify_status("%s%zu feed%s, %llu subscriber%s, in %s, out %s, %llu skips",
		      relay->reload_failed ? "the last reload failed, see the journal; " : "",
		      feeds, feeds == 1 ? "" : "s", (unsigned long long)relay->subscribers,
		      relay->subscribers == 1 ? "" : "s", in_text, out_text,
		      (unsigned long long)gaps);
}
