// SPDX-License-Identifier: MIT
/* A family is a head and its samples, which have to stand together: so each family goes through all
 * feeds, workers or listeners. */
#include "admin/admin_metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/collect.h"
#include "base/clock.h"
#include "base/num.h"
#include "history/recorder.h"
#include "nats/forwarder.h"
#include "serve/http_listener.h"
#include "serve/served_listener.h"
#include "serve/service.h"

enum {
	NAME_BYTES = 96, /* of a family */
};

static void print_head(FILE *to, const char *name, const char *type, const char *help)
{
	(void)fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_gauge(FILE *to, const char *name, uint64_t value, const char *help)
{
	print_head(to, name, "gauge", help);
	(void)fprintf(to, "%s %" PRIu64 "\n", name, value);
}

static void print_seconds(FILE *to, const char *name, const char *type, double value,
			  const char *help)
{
	print_head(to, name, type, help);
	(void)fprintf(to, "%s %.6f\n", name, value);
}

/* ---- feeds ---- */

/* "relay_feed_in_bytes_total", "relay_feed_subscribers" */
static void print_name(char *buf, size_t size, const struct metric_row *row)
{
	size_t length = strlen(row->name);
	bool has_total = length > 6 && strcmp(row->name + length - 6, "_total") == 0;

	snprintf(buf, size, "relay_feed_%s%s", row->name,
		 row->kind == METRIC_COUNTER && !has_total ? "_total" : "");
}

static void print_feed_metrics(FILE *to, const struct service *service)
{
	struct list_node *node;
	char name[NAME_BYTES];
	size_t count;
	const struct metric_row *rows = metrics_rows(&count);

	for (size_t i = 0; i < count; i++) {
		print_name(name, sizeof(name), &rows[i]);
		print_head(to, name, rows[i].kind == METRIC_COUNTER ? "counter" : "gauge",
			   rows[i].help);
		list_for_each (&service->feeds, node)
			(void)fprintf(
				to, "%s{feed=\"%s\"} %" PRIu64 "\n", name,
				served_feed_at(node)->name,
				metrics_value(&served_feed_at(node)->report.metrics, &rows[i]));
	}
}

/* One family with a sample for each feed and each word of a list. */
struct word_family {
	const char *name, *help, *label;
	int count;
	size_t offset; /* of the counts in struct feed_report */
	const char *(*word)(int i);
};

static const char *reason_word(int i)
{
	return close_reason_name((enum close_reason)i);
}

static const char *cause_word(int i)
{
	return slow_cause_name((enum slow_cause)i);
}

static const struct word_family word_families[] = {
	{"relay_closed_total", "subscribers closed or refused, by reason", "reason",
	 CLOSE_REASON_COUNT, offsetof(struct feed_report, closed), reason_word},
	{"relay_source_ends_total", "publishers that ended, by reason", "reason",
	 CLOSE_REASON_COUNT, offsetof(struct feed_report, source_ends), reason_word},
	{"relay_skips_total", "skips to the live edge, by what held the subscriber back", "cause",
	 SLOW_CAUSE_COUNT, offsetof(struct feed_report, skipped_by), cause_word},
	{"relay_closed_slow_total", "slow subscribers closed, by what held them back", "cause",
	 SLOW_CAUSE_COUNT, offsetof(struct feed_report, closed_slow_by), cause_word},
};

static void print_words(FILE *to, const struct service *service, const struct word_family *family)
{
	struct list_node *node;

	print_head(to, family->name, "counter", family->help);
	list_for_each (&service->feeds, node) {
		const char *report = (const char *)&served_feed_at(node)->report;
		const uint64_t *counts = (const void *)(report + family->offset);

		for (int i = 0; i < family->count; i++)
			(void)fprintf(to, "%s{feed=\"%s\",%s=\"%s\"} %" PRIu64 "\n", family->name,
				      served_feed_at(node)->name, family->label, family->word(i),
				      counts[i]);
	}
}

/* As the value of a label: a URL and a path may have a quote or a backslash. */
static void print_label(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\' || *text == '\n')
			(void)fputc('\\', to);
		(void)fputc(*text == '\n' ? 'n' : *text, to);
	}
}

/* value: of the label; "": there is nothing to say. */
static void print_info(FILE *to, const char *name, const struct served_feed *served,
		       const char *label, const char *value)
{
	if (!*value)
		return;
	(void)fprintf(to, "%s{feed=\"%s\",%s=\"", name, served->name, label);
	print_label(to, value);
	(void)fprintf(to, "\"} 1\n");
}

static void print_forwarded(FILE *to, const struct service *service)
{
	static const char name[] = "relay_feed_forward_info";
	struct forwarder_report report;
	struct list_node *node;

	print_head(to, name, "gauge",
		   "1; server is that of NATS through which the feed is forwarded");
	list_for_each (&service->feeds, node) {
		if (served_forward_read(&served_feed_at(node)->forward, &report))
			print_info(to, name, served_feed_at(node), "server", report.server);
	}
}

static void print_origins(FILE *to, const struct service *service)
{
	static const char name[] = "relay_feed_origin_info";
	struct list_node *node;

	print_head(to, name, "gauge",
		   "1; origin is whom the feed is taken from: a server, a parent or a publisher");
	list_for_each (&service->feeds, node)
		print_info(to, name, served_feed_at(node), "origin",
			   served_feed_at(node)->origin.name);
	print_head(to, "relay_feed_origin_since_seconds", "gauge",
		   "when that began; 0 without a source");
	list_for_each (&service->feeds, node)
		(void)fprintf(to, "relay_feed_origin_since_seconds{feed=\"%s\"} %.3f\n",
			      served_feed_at(node)->name,
			      (double)(served_feed_at(node)->origin.since_ns / NS_PER_MS) / 1e3);
}

static void print_feeds(FILE *to, const struct service *service)
{
	struct list_node *node;

	print_head(to, "relay_feed_up", "gauge", "1 while the feed has its source");
	list_for_each (&service->feeds, node)
		(void)fprintf(to, "relay_feed_up{feed=\"%s\"} %d\n", served_feed_at(node)->name,
			      served_feed_at(node)->report.is_source_up);
	print_origins(to, service);
	print_forwarded(to, service);
	print_feed_metrics(to, service);
	for (size_t i = 0; i < ARRAY_LEN(word_families); i++)
		print_words(to, service, &word_families[i]);
}

/* ---- workers and listeners ---- */

static void print_lag(FILE *to, unsigned index, const struct loop_lag_counts *lag)
{
	static const char name[] = "relay_loop_lag_seconds";
	uint64_t sum = 0;

	for (int i = 0; i < LOOP_LAG_BUCKETS - 1; i++) {
		sum += lag->buckets[i];
		(void)fprintf(to, "%s_bucket{worker=\"%u\",le=\"%g\"} %" PRIu64 "\n", name, index,
			      (double)loop_lag_bounds_us[i] / 1e6, sum);
	}
	sum += lag->buckets[LOOP_LAG_BUCKETS - 1];
	(void)fprintf(to, "%s_bucket{worker=\"%u\",le=\"+Inf\"} %" PRIu64 "\n", name, index, sum);
	(void)fprintf(to, "%s_sum{worker=\"%u\"} %.6f\n", name, index, (double)lag->sum_us / 1e6);
	(void)fprintf(to, "%s_count{worker=\"%u\"} %" PRIu64 "\n", name, index, sum);
}

static void print_workers(FILE *to, struct service *service)
{
	struct loop_lag_counts lag;

	print_head(to, "relay_worker_subscribers", "gauge", "subscribers placed in the worker");
	for (unsigned i = 0; i < service->workers.count; i++)
		(void)fprintf(to, "relay_worker_subscribers{worker=\"%u\"} %" PRIu64 "\n", i,
			      service->workers.list[i].subscribers);
	print_head(to, "relay_loop_lag_seconds", "histogram",
		   "how long one turn of a worker's loop keeps what comes in waiting");
	for (unsigned i = 0; i < service->workers.count; i++) {
		collect_loop_lag(service, i, &lag);
		print_lag(to, i, &lag);
	}
}

/* Begins the family relay_SUBJECT_NAME_total; `name` is for its samples. */
static void begin_counter(FILE *to, char name[NAME_BYTES], const char *subject,
			  const struct counter_row *row)
{
	(void)snprintf(name, NAME_BYTES, "relay_%s_%s_total", subject, row->name);
	print_head(to, name, "counter", row->help);
}

static void print_sample(FILE *to, const char *name, const char *label, const char *word,
			 uint64_t value)
{
	(void)fprintf(to, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, word, value);
}

static void print_listeners(FILE *to, const struct service *service)
{
	struct list_node *node;
	char name[NAME_BYTES];
	size_t count;
	const struct counter_row *rows = listener_counter_rows(&count);

	for (size_t i = 0; i < count; i++) {
		begin_counter(to, name, "listener", &rows[i]);
		list_for_each (&service->listeners, node)
			print_sample(to, name, "listener", served_listener_at(node)->name,
				     counter_value(&served_listener_at(node)->listener.counters,
						   &rows[i]));
	}
}

static void print_http_counter(FILE *to, const struct service *service,
			       const struct counter_row *row)
{
	struct list_node *node;
	char name[NAME_BYTES];

	begin_counter(to, name, "http", row);
	list_for_each (&service->listeners, node) {
		const struct served_listener *served = served_listener_at(node);

		if (served->http)
			print_sample(to, name, "listener", served->name,
				     counter_value(&served->http->server.counters, row));
	}
}

static void print_http(FILE *to, const struct service *service)
{
	struct list_node *node;
	size_t count;
	const struct counter_row *rows = http_counter_rows(&count);

	for (size_t i = 0; i < count; i++) {
		if (!rows[i].is_admin_only)
			print_http_counter(to, service, &rows[i]);
	}
	print_head(to, "relay_http_refused_total", "counter",
		   "requests that were refused, by listener and reason");
	list_for_each (&service->listeners, node) {
		const struct served_listener *served = served_listener_at(node);

		for (int i = 0; served->http && i < HTTP_REFUSAL_COUNT; i++)
			(void)fprintf(
				to,
				"relay_http_refused_total{listener=\"%s\",reason=\"%s\"} %" PRIu64
				"\n",
				served->name, http_refusal_name((enum http_refusal)i),
				http_listener_refused(served->http, (enum http_refusal)i));
	}
}

/* ---- histories ---- */

static const struct {
	const char *name, *type, *help;
} history_families[] = {
	{"relay_history_files", "gauge", "files of the history of a feed"},
	{"relay_history_bytes", "gauge", "what they have on disk"},
	{"relay_history_oldest_timestamp_seconds", "gauge",
	 "when the oldest packet of the history came, since 1970; 0: there is none"},
	{"relay_history_oldest_sequence", "gauge", "the sequence of that packet"},
	{"relay_history_lag_messages", "gauge", "messages that are published and not recorded yet"},
	{"relay_history_failing", "gauge", "1 while nothing can be recorded"},
	{"relay_history_unanswered_seconds", "gauge",
	 "so long the disk has not answered; 0: nothing is asked of it"},
	{"relay_history_written_bytes_total", "counter", "written since relay was started"},
	{"relay_history_errors_total", "counter", "times that writing or syncing failed"},
	{"relay_history_missed_total", "counter", "messages that are gaps in the history"},
};

/* In the order of the families. */
static uint64_t history_value(const struct served_feed *served,
			      const struct recorder_report *report, size_t family)
{
	const uint64_t values[ARRAY_LEN(history_families)] = {
		report->history.files,
		report->history.bytes,
		report->history.oldest.time_ns / NS_PER_S,
		report->history.oldest.sequence,
		collect_unrecorded(served, report),
		report->is_failing,
		report->unanswered_ms * NS_PER_MS / NS_PER_S,
		report->written_bytes,
		report->errors,
		report->missed,
	};

	return values[family];
}

/* Only feeds that are recorded have a sample. */
static void print_histories(FILE *to, const struct service *service)
{
	struct recorder_report report;
	struct list_node *node;

	for (size_t i = 0; i < ARRAY_LEN(history_families); i++) {
		print_head(to, history_families[i].name, history_families[i].type,
			   history_families[i].help);
		list_for_each (&service->feeds, node) {
			const struct served_feed *served = served_feed_at(node);

			if (served_feed_read_history(served, &report))
				print_sample(to, history_families[i].name, "feed", served->name,
					     history_value(served, &report, i));
		}
	}
}

/* ---- relay and its process ---- */

static void print_relay(FILE *to, const struct service *service,
			const struct admin_process *process)
{
	size_t feeds = process->config->feed_count;

	print_head(to, "relay_build_info", "gauge", "1; what runs stands in the labels");
	(void)fprintf(to, "relay_build_info{version=\"%s\"} 1\n", process->version);
	print_seconds(to, "relay_start_time_seconds", "gauge",
		      (double)process->started_ns / NS_PER_S, "when relay was started, since 1970");
	print_gauge(
		to, "relay_config_last_reload_successful", !*process->config_fault,
		"0 when the file could not be applied, and the configuration before is in effect");
	print_head(to, "relay_config_fallbacks_total", "counter",
		   "starts that went on with the configuration before, over restarts and crashes");
	(void)fprintf(to, "relay_config_fallbacks_total %" PRIu64 "\n", process->config_fallbacks);
	print_seconds(to, "relay_config_last_reload_success_timestamp_seconds", "gauge",
		      (double)process->loaded_ns / NS_PER_S,
		      "when the configuration in effect was loaded");
	print_gauge(to, "relay_survives_crash", process->survives_crash,
		    "1 while subscribers would go on if relay died");
	print_head(to, "relay_keeper_restarts_total", "counter",
		   "times the keeper, which makes relay outlive a crash, ended and was replaced");
	(void)fprintf(to, "relay_keeper_restarts_total %" PRIu64 "\n", process->keeper_restarts);
	print_head(to, "relay_log_lines_lost_total", "counter",
		   "lines of the log that nobody took from standard error in time");
	(void)fprintf(to, "relay_log_lines_lost_total %" PRIu64 "\n", process->log_lost);
	print_gauge(to, "relay_draining", service_is_leaving(service),
		    "1 while relay lets its subscribers go, to stop");
	print_gauge(to, "relay_feeds", feeds, "feeds");
	print_gauge(to, "relay_workers", service->workers.count, "threads that carry bytes");
	print_gauge(to, "relay_subscribers", service->subscribers, "subscribers of all feeds");
	print_gauge(to, "relay_max_subscribers", service->max_subscribers,
		    "subscribers that there may be");
	print_gauge(to, "relay_pinned_bytes", process->pinned_bytes,
		    "held by slow subscribers; 0 without max_pinned");
}

static void print_admin(FILE *to, const struct admin *admin)
{
	static const char *const doors[ADMIN_SERVERS] = {"tcp", "unix"};
	char name[NAME_BYTES];
	size_t count;
	const struct counter_row *rows = http_counter_rows(&count);

	for (size_t i = 0; i < count; i++) {
		begin_counter(to, name, "admin", &rows[i]);
		for (int door = 0; door < ADMIN_SERVERS; door++)
			print_sample(to, name, "door", doors[door],
				     counter_value(&admin->servers[door].counters, &rows[i]));
	}
}

/* 0 when it cannot be known.  The size of the directory says it from Linux 6.2 on (proc(5));
 * before, it has to be read, which takes milliseconds for 15,000. */
static uint64_t count_open_fds(void)
{
	struct stat status;
	uint64_t count = 0;
	DIR *directory;

	if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
		return (uint64_t)status.st_size;
	directory = opendir("/proc/self/fd");
	if (!directory)
		return 0;
	while (readdir(directory))
		count++;
	(void)closedir(directory);
	return count > 3 ? count - 3 : 0; /* ".", ".." and the directory itself */
}

/* /proc/self/statm, proc(5): pages of memory, and of these resident. */
static void print_memory(FILE *to)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t pages, resident;
	char text[128] = "";
	char *second, *third;

	if (!file)
		return;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	(void)fclose(file);
	second = strchr(text, ' ');
	third = second ? strchr(second + 1, ' ') : NULL;
	if (!third)
		return;
	*second = *third = '\0';
	if (num_parse_count(text, &pages) < 0 || num_parse_count(second + 1, &resident) < 0)
		return;
	print_gauge(to, "process_virtual_memory_bytes", pages * page, "address space");
	print_gauge(to, "process_resident_memory_bytes", resident * page,
		    "memory in use; what pipes and sockets hold is the kernel's");
}

static double seconds_of(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void print_process(FILE *to, const struct admin_process *process)
{
	uint64_t fds = count_open_fds();
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) == 0)
		print_seconds(to, "process_cpu_seconds_total", "counter",
			      seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime),
			      "processor time of all threads");
	print_memory(to);
	if (fds)
		print_gauge(to, "process_open_fds", fds, "open descriptors");
	print_gauge(to, "process_max_fds", process->fd_limit, "descriptors that may be open");
	print_seconds(to, "process_start_time_seconds", "gauge",
		      (double)process->started_ns / NS_PER_S, "when the process was started");
}

static void print_all(FILE *to, const struct admin_request *request)
{
	struct service *service = request->admin->service;
	struct admin_process process;

	admin_describe(request->admin, &process);
	collect_reports(service, true);
	print_relay(to, service, &process);
	print_feeds(to, service);
	print_histories(to, service);
	print_workers(to, service);
	print_listeners(to, service);
	print_http(to, service);
	print_admin(to, request->admin);
	print_process(to, &process);
}

void admin_get_metrics(const struct admin_request *request)
{
	admin_answer_written(request, "text/plain; version=0.0.4; charset=utf-8", print_all);
}
