// SPDX-License-Identifier: MIT
/* The status, from the tables of metrics.def and close_reason.def. */
#include "admin/status.h"

#include <stdarg.h>
#include <stdio.h>

#include "admin/admin_actions.h"
#include "admin/collect.h"
#include "base/compiler.h"
#include "base/log.h"
#include "serve/http_listener.h"
#include "serve/served_listener.h"
#include "serve/service.h"

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

/* What the rule goes by, and what each engine that served has cost of late, in ps a byte. */
static void add_engines(struct line *line, const struct engine_choice *choice)
{
	const struct engine_thresholds *thresholds = &choice->thresholds;

	if (choice->is_fixed)
		line_add(line, " engine=%s", engine_name(choice->fixed));
	else
		line_add(line, " engine=auto copy_below=%llu compact_readers=%llu slot_bytes=%.0f",
			 (unsigned long long)thresholds->copy_below,
			 (unsigned long long)thresholds->compact_readers, choice->slot_bytes);
	for (enum engine engine = 0; engine < ENGINE_COUNT; engine++) {
		uint64_t cost_ps = engine_cost_ps(choice, engine);

		if (cost_ps)
			line_add(line, " ps_%s=%llu", engine_name(engine),
				 (unsigned long long)cost_ps);
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

/* " accepted_NAME=7"; but for the first, what is 0 is left out. */
static void add_counters(struct line *line, const char *prefix, const char *name,
			 const void *counters, const struct counter_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = counter_value(counters, &rows[i]);

		if (!rows[i].is_admin_only && (value || i == 0))
			line_add(line, " %s%s_%s=%llu", prefix, rows[i].name, name,
				 (unsigned long long)value);
	}
}

static void add_http(struct line *line, const struct served_listener *served)
{
	size_t row_count;
	const struct counter_row *rows = http_counter_rows(&row_count);

	add_counters(line, "http_", served->name, &served->http->server.counters, rows, row_count);
	line_add(line, " http_heads_%s=%zu", served->name, served->http->server.count);
	for (int i = 0; i < HTTP_REFUSAL_COUNT; i++) {
		uint64_t count = http_listener_refused(served->http, (enum http_refusal)i);

		if (count)
			line_add(line, " http_refused_%s_%s=%llu", served->name,
				 http_refusal_name((enum http_refusal)i),
				 (unsigned long long)count);
	}
}

static void add_listeners(struct line *line, const struct service *service)
{
	struct list_node *node;
	size_t row_count;
	const struct counter_row *rows = listener_counter_rows(&row_count);

	list_for_each (&service->listeners, node) {
		const struct served_listener *served = served_listener_at(node);

		add_counters(line, "", served->name, &served->listener.counters, rows, row_count);
		if (served->http)
			add_http(line, served);
	}
}

/* How many subscribers each worker has, and how long its loop keeps them waiting. */
static void log_worker(struct service *service, unsigned index)
{
	struct loop_lag_counts lag;

	collect_loop_lag(service, index, &lag);
	log_info("status worker=%u subscribers=%llu homes=%u turns=%llu lag_p50_us=%llu "
		 "lag_p99_us=%llu lag_max_us=%llu",
		 index, (unsigned long long)service->workers.list[index].subscribers,
		 service->workers.list[index].homes, (unsigned long long)loop_lag_total(&lag),
		 (unsigned long long)loop_lag_quantile_us(&lag, 0.5),
		 (unsigned long long)loop_lag_quantile_us(&lag, 0.99),
		 (unsigned long long)lag.max_us);
}

void status_log(struct service *service, const struct admin_process *process)
{
	struct metrics sum = {0};
	struct line line = {.used = 0};
	struct list_node *node;
	size_t feeds = 0;

	collect_reports(service, true);
	list_for_each (&service->feeds, node) {
		const struct served_feed *served = served_feed_at(node);

		log_feed(served);
		metrics_add(&sum, &served->report.metrics);
		feeds++;
	}
	for (unsigned i = 0; i < service->workers.count; i++)
		log_worker(service, i);
	line_add(&line, "feeds=%zu workers=%u max_subscribers=%llu", feeds, service->workers.count,
		 (unsigned long long)service->max_subscribers);
	if (process->survives_crash)
		line_add(&line, " survives_crash=1");
	if (process->pinned_bytes)
		line_add(&line, " pinned_bytes=%llu", (unsigned long long)process->pinned_bytes);
	if (process->keeper_restarts)
		line_add(&line, " keeper_restarts=%llu",
			 (unsigned long long)process->keeper_restarts);
	if (process->config_fallbacks)
		line_add(&line, " config_fallbacks=%llu",
			 (unsigned long long)process->config_fallbacks);
	if (process->log_lost)
		line_add(&line, " log_lines_lost=%llu", (unsigned long long)process->log_lost);
	add_listeners(&line, service);
	add_metrics(&line, &sum);
	log_info("status relay %s", line.text);
	log_info("status end");
}
