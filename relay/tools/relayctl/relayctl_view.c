// SPDX-License-Identifier: MIT
/* A table each for workers, feeds, listeners and subscribers; what goes wrong stands in colour, and
 * is a word too, so that nothing is lost without colours. */
#include "tools/relayctl/relayctl_view.h"

#include "base/clock.h"
#include "base/num.h"
#include "tools/relayctl/relayctl_answer.h"
#include "tools/relayctl/relayctl_table.h"
#include "tools/relayctl/relayctl_text.h"
#include "tools/shared/progress.h"

#include <inttypes.h>
#include <string.h>

enum {
	PATH_BYTES = 256,
	FAULT_BYTES = 600, // of a line of a configuration
	DEPTH_MAX = 8,     // of an object that is shown
};

/* ---- cells ---- */

static void add_count(struct table *table, enum table_style style, uint64_t count)
{
	char text[TEXT_BYTES];

	table_add(table, count ? style : TABLE_PLAIN, "%s", text_count(text, sizeof text, count));
}

static void add_bytes(struct table *table, uint64_t bytes)
{
	char text[NUM_PRINT_BYTES];

	table_add(table, TABLE_PLAIN, "%s", progress_print_bytes(text, bytes));
}

static void add_rate(struct table *table, uint64_t bytes_per_s)
{
	char text[NUM_PRINT_BYTES];

	table_add(table, TABLE_PLAIN, "%s", num_print_rate(text, sizeof text, bytes_per_s));
}

static void add_duration(struct table *table, uint64_t us)
{
	char text[TEXT_BYTES];

	table_add(table, TABLE_PLAIN, "%s", text_duration_us(text, sizeof text, us));
}

static int print(const struct view *view, struct table *table)
{
	int r = table_print(table, view->out, view->has_colours);

	table_fini(table);
	return r;
}

/* ---- relay ---- */

/* What no clock can say is as good as nothing: the number may be any. */
static uint64_t microseconds(double seconds)
{
	return seconds > 0 && seconds < 1e12 ? (uint64_t)(seconds * 1e6) : 0;
}

static uint64_t subscribers_to_go(const json_t *status)
{
	const json_t *feed;
	uint64_t count = 0;
	size_t i;

	json_array_foreach(json_object_get(status, "feeds"), i, feed) count +=
		answer_count(json_object_get(feed, "metrics"), "subscribers_to_go");
	return count;
}

void view_relay(const struct view *view, const json_t *status)
{
	const json_t *relay = json_object_get(status, "relay");
	bool drains = answer_flag(relay, "draining");
	uint64_t left_ms = answer_count(relay, "slow_drain_left_ms");
	enum table_style style = drains ? TABLE_WARN : TABLE_GOOD;
	char version[TEXT_BYTES], level[TEXT_BYTES], up[TEXT_BYTES], now[TEXT_BYTES],
		most[TEXT_BYTES], pinned[NUM_PRINT_BYTES], fault[FAULT_BYTES];

	(void)fprintf(
		view->out,
		"relay %s  pid %" PRIu64 "  up %s  %s%s%s  log level %s\n"
		"subscribers %s of at most %s  pinned %s\n",
		text_escape(version, sizeof version, answer_text(relay, "version")),
		answer_count(relay, "pid"),
		text_duration_us(up, sizeof up, microseconds(answer_number(relay, "uptime_s"))),
		table_style_on(style, view->has_colours), drains ? "draining" : "running",
		table_style_off(style, view->has_colours),
		text_escape(level, sizeof level, answer_text(relay, "log_level")),
		text_count(now, sizeof now, answer_count(relay, "subscribers")),
		text_count(most, sizeof most, answer_count(relay, "max_subscribers")),
		progress_print_bytes(pinned, answer_count(relay, "pinned_bytes")));
	if (left_ms)
		(void)fprintf(view->out, "draining slowly  to go %s  left %s\n",
			      text_count(now, sizeof now, subscribers_to_go(status)),
			      text_duration_us(up, sizeof up, left_ms * 1000));
	if (*answer_text(relay, "config_fault"))
		(void)fprintf(view->out, "%sthe configuration in the file is not in effect:%s %s\n",
			      table_style_on(TABLE_WARN, view->has_colours),
			      table_style_off(TABLE_WARN, view->has_colours),
			      text_escape(fault, sizeof fault, answer_text(relay, "config_fault")));
}

static int view_workers(const struct view *view, const json_t *status)
{
	static const struct table_column columns[] = {
		{"WORKER", .is_right = true},  {"SUBSCRIBERS", .is_right = true},
		{"FEEDS", .is_right = true},   {"TURNS", .is_right = true},
		{"LAG P50", .is_right = true}, {"LAG P99", .is_right = true},
		{"LAG MAX", .is_right = true},
	};
	struct table table;
	const json_t *worker;
	size_t i;

	table_init(&table, columns, ARRAY_LEN(columns));
	json_array_foreach(json_object_get(status, "workers"), i, worker)
	{
		const json_t *lag = json_object_get(worker, "lag_us");

		add_count(&table, TABLE_PLAIN, answer_count(worker, "index"));
		add_count(&table, TABLE_PLAIN, answer_count(worker, "subscribers"));
		add_count(&table, TABLE_PLAIN, answer_count(worker, "homes"));
		add_count(&table, TABLE_PLAIN, answer_count(worker, "turns"));
		add_duration(&table, answer_count(lag, "p50"));
		add_duration(&table, answer_count(lag, "p99"));
		add_duration(&table, answer_count(lag, "max"));
	}
	return print(view, &table);
}

static int view_listeners(const struct view *view, const json_t *status)
{
	static const struct table_column columns[] = {
		{"LISTENER", .is_right = false}, {"FEED", .is_right = false},
		{"FORMAT", .is_right = false},   {"ADDRESS", .is_right = false},
		{"ACCEPTED", .is_right = true},  {"ERRORS", .is_right = true},
		{"PACED", .is_right = true},
	};
	struct table table;
	const json_t *listener;
	size_t i;

	table_init(&table, columns, ARRAY_LEN(columns));
	json_array_foreach(json_object_get(status, "listeners"), i, listener)
	{
		table_add(&table, TABLE_PLAIN, "%s", answer_text(listener, "name"));
		table_add(&table, TABLE_PLAIN, "%s", answer_text(listener, "feed"));
		table_add(&table, TABLE_PLAIN, "%s", answer_text(listener, "format"));
		table_add(&table, TABLE_PLAIN, "%s", answer_text(listener, "address"));
		add_count(&table, TABLE_PLAIN, answer_count(listener, "accepted"));
		add_count(&table, TABLE_BAD, answer_count(listener, "accept_errors"));
		add_count(&table, TABLE_WARN, answer_count(listener, "accept_paced"));
	}
	return print(view, &table);
}

/* ---- feeds ---- */

/* "auto: copy, splice": which engines have served. */
static void add_engines(struct table *table, const json_t *feed)
{
	const char *mode = answer_text(feed, "engine");
	json_t *costs = json_object_get(feed, "cost_ps");
	char text[TEXT_BYTES];
	size_t used = (size_t)snprintf(text, sizeof text, "%s", mode);
	const char *engine;
	const json_t *cost;

	json_object_foreach(costs, engine, cost)
	{
		if (used >= sizeof text || strcmp(mode, "auto") != 0)
			break;
		used += (size_t)snprintf(text + used, sizeof text - used, "%s %s",
					 strchr(text, ':') ? "," : ":", engine);
	}
	table_add(table, TABLE_PLAIN, "%s", text);
}

static uint64_t sum_of(const json_t *object)
{
	json_t *counts = (json_t *)(uintptr_t)object; // jansson iterates over what it may change
	const json_t *count;
	const char *key;
	uint64_t sum = 0;

	json_object_foreach(counts, key, count) sum += (uint64_t)json_integer_value(count);
	return sum;
}

/* The cells that every table of feeds begins with. */
static void add_feed_now(struct table *table, const json_t *feed)
{
	const json_t *metrics = json_object_get(feed, "metrics");
	bool up = answer_flag(feed, "source_up");

	table_add(table, TABLE_PLAIN, "%s", answer_text(feed, "name"));
	table_add(table, up ? TABLE_GOOD : TABLE_BAD, up ? "up" : "down");
	add_rate(table, answer_count(feed, "rate_in"));
	add_rate(table, answer_count(feed, "rate_out"));
	add_count(table, TABLE_PLAIN, answer_count(metrics, "subscribers"));
	add_count(table, TABLE_WARN, answer_count(metrics, "subscribers_blocked"));
	add_count(table, TABLE_WARN, answer_count(metrics, "gaps"));
}

int view_feeds(const struct view *view, const json_t *status)
{
	static const struct table_column columns[] = {
		{"FEED", .is_right = false},       {"PUBLISHER", .is_right = false},
		{"IN", .is_right = true},          {"OUT", .is_right = true},
		{"SUBSCRIBERS", .is_right = true}, {"BLOCKED", .is_right = true},
		{"SKIPS", .is_right = true},       {"CLOSED SLOW", .is_right = true},
		{"RING", .is_right = true},        {"ENGINE", .is_right = false},
		{"SOURCE", .is_right = false},
	};
	struct table table;
	const json_t *feed;
	size_t i;

	table_init(&table, columns, ARRAY_LEN(columns));
	json_array_foreach(json_object_get(status, "feeds"), i, feed)
	{
		const json_t *metrics = json_object_get(feed, "metrics");

		add_feed_now(&table, feed);
		add_count(&table, TABLE_WARN, sum_of(json_object_get(feed, "closed_slow_by")));
		add_bytes(&table, answer_count(metrics, "ring_bytes"));
		add_engines(&table, feed);
		table_add(&table, TABLE_PLAIN, "%s", answer_text(feed, "source"));
	}
	return print(view, &table);
}

/* "2026-01-02T03:04:05.678Z"; "-": there is nothing. */
static void add_time(struct table *table, uint64_t ms)
{
	char text[CLOCK_UTC_BYTES];

	table_add(table, TABLE_PLAIN, "%s",
		  ms ? clock_print_utc(text, sizeof text, ms * NS_PER_MS) : "-");
}

enum {
	HISTORY_HANGS_MS = 5000, /* as relay has it (history/recorder.c), and the alert */
};

int view_histories(const struct view *view, const json_t *histories)
{
	static const struct table_column columns[] = {
		{"FEED", .is_right = false},   {"STATE", .is_right = false},
		{"FILES", .is_right = true},   {"BYTES", .is_right = true},
		{"OLDEST", .is_right = false}, {"FROM", .is_right = false},
		{"NEXT", .is_right = false},   {"LAG MSGS", .is_right = true},
		{"MISSED", .is_right = true},  {"SYNC", .is_right = true},
	};
	struct table table;
	const json_t *each;
	size_t i;

	table_init(&table, columns, ARRAY_LEN(columns));
	json_array_foreach(histories, i, each)
	{
		const json_t *history = json_object_get(each, "history");
		bool is_failing = answer_flag(history, "failing");
		bool is_hanging = answer_count(history, "unanswered_ms") >= HISTORY_HANGS_MS;

		if (!json_is_object(history))
			continue;
		table_add(&table, TABLE_PLAIN, "%s", answer_text(each, "feed"));
		table_add(&table, is_failing || is_hanging ? TABLE_BAD : TABLE_GOOD,
			  is_failing   ? "failing"
			  : is_hanging ? "disk hangs"
				       : "recorded");
		add_count(&table, TABLE_PLAIN, answer_count(history, "files"));
		add_bytes(&table, answer_count(history, "bytes"));
		add_time(&table, answer_count(history, "oldest_ms"));
		table_add(&table, TABLE_PLAIN, "%" PRIu64 "-%" PRIu64,
			  answer_count(history, "oldest_session"),
			  answer_count(history, "oldest_seq"));
		table_add(&table, TABLE_PLAIN, "%" PRIu64 "-%" PRIu64,
			  answer_count(history, "session"), answer_count(history, "next_seq"));
		add_count(&table, TABLE_WARN, answer_count(history, "lag_messages"));
		add_count(&table, TABLE_WARN, answer_count(history, "missed"));
		add_duration(&table, 1000 * answer_count(history, "sync_ms"));
	}
	return print(view, &table);
}

int view_status(const struct view *view, const json_t *status)
{
	int r;

	view_relay(view, status);
	(void)fputc('\n', view->out);
	r = view_workers(view, status);
	(void)fputc('\n', view->out);
	if (r == 0)
		r = view_feeds(view, status);
	(void)fputc('\n', view->out);
	return r < 0 ? r : view_listeners(view, status);
}

/* ---- subscribers ---- */

static void print_how_many(const struct view *view, const json_t *answer)
{
	size_t listed = json_array_size(json_object_get(answer, "subscribers"));
	uint64_t total = answer_count(answer, "total");
	char shown[TEXT_BYTES], all[TEXT_BYTES];

	if (total > listed)
		(void)fprintf(view->out, "%s of %s subscribers\n",
			      text_count(shown, sizeof shown, listed),
			      text_count(all, sizeof all, total));
}

int view_subscribers(const struct view *view, const json_t *answer)
{
	static const struct table_column columns[] = {
		{"ID", .is_right = true},        {"FEED", .is_right = false},
		{"FORMAT", .is_right = false},   {"PEER", .is_right = false},
		{"STATE", .is_right = false},    {"CAUSE", .is_right = false},
		{"LAG", .is_right = true},       {"LAG TIME", .is_right = true},
		{"LAG MSGS", .is_right = true},  {"QUEUED", .is_right = true},
		{"DELIVERED", .is_right = true}, {"CONNECTED", .is_right = true},
		{"WORKER", .is_right = true},
	};
	const json_t *list = json_object_get(answer, "subscribers");
	struct table table;
	const json_t *one;
	size_t i;

	table_init(&table, columns, ARRAY_LEN(columns));
	json_array_foreach(list, i, one)
	{
		bool is_blocked = strcmp(answer_text(one, "state"), "blocked") == 0;

		table_add(&table, TABLE_PLAIN, "%" PRIu64, answer_count(one, "id"));
		table_add(&table, TABLE_PLAIN, "%s", answer_text(one, "feed"));
		table_add(&table, TABLE_PLAIN, "%s", answer_text(one, "format"));
		table_add(&table, TABLE_PLAIN, "%s", answer_text(one, "peer"));
		table_add(&table, is_blocked ? TABLE_WARN : TABLE_PLAIN, "%s",
			  answer_text(one, "state"));
		table_add(&table, TABLE_PLAIN, "%s", answer_text(one, "cause"));
		add_bytes(&table, answer_count(one, "lag_bytes"));
		add_duration(&table, 1000 * answer_count(one, "lag_ms"));
		add_count(&table, TABLE_PLAIN, answer_count(one, "lag_messages"));
		add_bytes(&table, answer_count(one, "queued_bytes"));
		add_count(&table, TABLE_PLAIN, answer_count(one, "delivered_messages"));
		add_duration(&table, 1000 * answer_count(one, "connected_ms"));
		add_count(&table, TABLE_PLAIN, answer_count(one, "worker"));
	}
	print_how_many(view, answer);
	return print(view, &table);
}

/* ---- top ---- */

int view_top_feeds(const struct view *view, const json_t *status)
{
	static const struct table_column columns[] = {
		{"FEED", .may_shrink = true},      {"PUBLISHER", .is_right = false},
		{"IN", .is_right = true},          {"OUT", .is_right = true},
		{"SUBSCRIBERS", .is_right = true}, {"BLOCKED", .is_right = true},
		{"SKIPS", .is_right = true},
	};
	struct table table;
	const json_t *feed;
	size_t i;

	table_init(&table, columns, ARRAY_LEN(columns));
	table.max_width = view->columns;
	json_array_foreach(json_object_get(status, "feeds"), i, feed) add_feed_now(&table, feed);
	return print(view, &table);
}

/* What a subscriber does; of one that is blocked, what holds it. */
static void add_doing(struct table *table, const json_t *subscriber)
{
	const char *cause = answer_text(subscriber, "cause");
	const char *state = answer_text(subscriber, "state");
	bool is_blocked = strcmp(state, "blocked") == 0;

	if (strcmp(cause, "receive_window") == 0)
		cause = "window";
	table_add(table, is_blocked ? TABLE_WARN : TABLE_PLAIN, "%s",
		  is_blocked && *cause ? cause : state);
}

int view_top_subscribers(const struct view *view, const json_t *answer)
{
	static const struct table_column columns[] = {
		{"ID", .is_right = true},     {"FEED", .may_shrink = true},
		{"PEER", .may_shrink = true}, {"RATE", .is_right = true},
		{"LAG", .is_right = true},    {"BEHIND", .is_right = true},
		{"DOES", .is_right = false},
	};
	static const char scheme[] = "tcp:";
	struct table table;
	const json_t *one;
	size_t i;

	table_init(&table, columns, ARRAY_LEN(columns));
	table.max_width = view->columns;
	json_array_foreach(json_object_get(answer, "subscribers"), i, one)
	{
		const char *peer = answer_text(one, "peer");

		if (strncmp(peer, scheme, sizeof scheme - 1) == 0)
			peer += sizeof scheme - 1;
		table_add(&table, TABLE_PLAIN, "%" PRIu64, answer_count(one, "id"));
		table_add(&table, TABLE_PLAIN, "%s", answer_text(one, "feed"));
		table_add(&table, TABLE_PLAIN, "%s", peer);
		if (json_object_get(one, "rate"))
			add_rate(&table, answer_count(one, "rate"));
		else
			table_add(&table, TABLE_PLAIN, "-");
		add_bytes(&table, answer_count(one, "lag_bytes"));
		add_duration(&table, 1000 * answer_count(one, "lag_ms"));
		add_doing(&table, one);
	}
	print_how_many(view, answer);
	return print(view, &table);
}

/* ---- any object ---- */

static void add_value(struct table *table, const char *path, const json_t *value)
{
	char text[TEXT_BYTES];

	table_add(table, TABLE_PLAIN, "%s", path);
	if (json_is_string(value))
		table_add(table, TABLE_PLAIN, "%s", json_string_value(value));
	else if (json_is_integer(value) && json_integer_value(value) >= 0)
		table_add(table, TABLE_PLAIN, "%s",
			  text_count(text, sizeof text, (uint64_t)json_integer_value(value)));
	else if (json_is_number(value))
		table_add(table, TABLE_PLAIN, "%g", json_number_value(value));
	else if (json_is_boolean(value))
		table_add(table, TABLE_PLAIN, json_is_true(value) ? "yes" : "no");
	else
		table_add(table, TABLE_PLAIN, "not known");
}

static void add_object(struct table *table, const char *path, json_t *value, unsigned depth)
{
	char below[PATH_BYTES];
	const char *key;
	json_t *member;
	size_t i;

	if (depth == 0 || (!json_is_object(value) && !json_is_array(value))) {
		add_value(table, path, value);
		return;
	}
	json_object_foreach(value, key, member)
	{
		(void)snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", key);
		add_object(table, below, member, depth - 1);
	}
	json_array_foreach(value, i, member)
	{
		(void)snprintf(below, sizeof below, "%s.%zu", path, i);
		add_object(table, below, member, depth - 1);
	}
}

int view_object(const struct view *view, const json_t *object)
{
	static const struct table_column columns[] = {{"NAME", .is_right = false},
						      {"VALUE", .is_right = false}};
	json_t *top = (json_t *)(uintptr_t)object; // as above
	struct table table;

	table_init(&table, columns, ARRAY_LEN(columns));
	add_object(&table, "", top, DEPTH_MAX);
	return print(view, &table);
}
