// SPDX-License-Identifier: MIT
/* What only a running relay knows: its own limits and sandbox differ from those of who asks. */
#include "tools/relayctl/relayctl_doctor.h"

#include "base/num.h"
#include "tools/relayctl/relayctl_table.h"
#include "tools/relayctl/relayctl_text.h"
#include "tools/shared/progress.h"

#include <inttypes.h>
#include <string.h>

/* ---- what relay says ---- */

/* Pages in pipes are no part of it: they count in no cgroup. */
static void check_memory(const json_t *budget, struct doctor_report *report)
{
	uint64_t wanted = answer_count(budget, "rings_bytes") + answer_count(budget, "heads_bytes");
	uint64_t limit = answer_count(budget, "memory_bytes");
	char found[DOCTOR_TEXT_BYTES], most[NUM_PRINT_BYTES], allowed[NUM_PRINT_BYTES];

	progress_print_bytes(most, wanted);
	if (limit)
		(void)snprintf(found, sizeof found,
			       "rings and requests may take %s of memory; MemoryHigh= and "
			       "MemoryMax= allow %s",
			       most, progress_print_bytes(allowed, limit));
	else
		(void)snprintf(found, sizeof found,
			       "rings and requests may take %s of memory, and no limit holds relay "
			       "(MemoryMax=)",
			       most);
	doctor_report_add(report, "relay_memory",
			  limit && wanted > limit ? DOCTOR_FINDING : DOCTOR_OK, found,
			  "lower ring in relay.ini; or raise MemoryHigh= and MemoryMax= under "
			  "[Service], by systemctl edit relay, then restart it");
}

void relayctl_doctor_check_limits(const json_t *limits, struct doctor_report *report)
{
	const json_t *budget = json_object_get(limits, "budget");
	uint64_t pipes = answer_count(budget, "pipes");
	uint64_t wanted = answer_count(budget, "pipes_wanted");
	uint64_t descriptors = answer_count(budget, "descriptors");
	bool is_by_option = answer_flag(budget, "is_by_option");
	char found[DOCTOR_TEXT_BYTES], most[TEXT_BYTES];

	if (!budget)
		return;
	(void)snprintf(found, sizeof found, "relay takes at most %s subscribers; %s bounds it",
		       text_count(most, sizeof most, answer_count(budget, "subscribers")),
		       is_by_option ? "max_subscribers" : "LimitNOFILE");
	doctor_report_add(
		report, "relay_subscribers",
		is_by_option || descriptors >= DOCTOR_DESCRIPTORS_LEAST ? DOCTOR_OK
									: DOCTOR_FINDING,
		found,
		"LimitNOFILE=1048576 under [Service], by systemctl edit relay, then restart it");
	(void)snprintf(found, sizeof found,
		       "relay could have %" PRIu64 " of the %" PRIu64
		       " pipes that its rings may use",
		       pipes, wanted);
	doctor_report_add(report, "relay_pipes", pipes < wanted ? DOCTOR_FINDING : DOCTOR_OK, found,
			  "put the line \"fs.pipe-user-pages-soft = 1048576\", or more, into "
			  "/etc/sysctl.d/60-relay.conf, then run: sysctl --system; restart relay");
	check_memory(budget, report);
}

enum {
	HISTORY_HANGS_MS = 5000, // as relay has it (history/recorder.c), and the alert
};

/* Of feeds that are recorded. */
static void check_histories(const json_t *status, struct doctor_report *report)
{
	uint64_t recorded = 0, most = 0;
	char found[DOCTOR_TEXT_BYTES], name[TEXT_BYTES], text[TEXT_BYTES];
	const json_t *feed, *bad = NULL;
	size_t i;

	json_array_foreach(json_object_get(status, "feeds"), i, feed)
	{
		const json_t *history = json_object_get(feed, "history");

		recorded += json_is_object(history);
		most = u64_max(most, answer_count(history, "lag_messages"));
		if (answer_flag(history, "failing") ||
		    answer_count(history, "unanswered_ms") >= HISTORY_HANGS_MS)
			bad = feed;
	}
	if (!recorded)
		return;
	if (bad)
		(void)snprintf(found, sizeof found, "feed %s cannot be recorded now",
			       text_escape(name, sizeof name, answer_text(bad, "name")));
	else
		(void)snprintf(found, sizeof found,
			       "relay records %" PRIu64
			       " feeds; %s messages are to be written where it is furthest behind",
			       recorded, text_count(text, sizeof text, most));
	doctor_report_add(report, "relay_history", bad ? DOCTOR_FINDING : DOCTOR_OK, found,
			  "journalctl -u relay says why: most often the disk is full, or does not "
			  "answer");
}

void relayctl_doctor_check_status(const json_t *status, struct doctor_report *report)
{
	uint64_t refused = 0, short_of_pipes = 0;
	char found[DOCTOR_TEXT_BYTES];
	const json_t *feed;
	size_t i;

	if (!status)
		return;
	json_array_foreach(json_object_get(status, "feeds"), i, feed)
	{
		const json_t *metrics = json_object_get(feed, "metrics");

		refused += answer_count(metrics, "refused_calls");
		short_of_pipes += answer_count(metrics, "engine_fallbacks");
	}
	(void)snprintf(found, sizeof found, "the kernel refused relay %" PRIu64 " zero-copy calls",
		       refused);
	doctor_report_add(
		report, "relay_calls", refused ? DOCTOR_FINDING : DOCTOR_OK, found,
		"permit splice, tee and vmsplice: in the unit's SystemCallFilter= (systemctl "
		"edit relay), or in the seccomp profile of the container; restart relay");
	(void)snprintf(found, sizeof found,
		       "relay copied %" PRIu64 " packets for want of pipes or permission",
		       short_of_pipes);
	doctor_report_add(report, "relay_fallbacks", short_of_pipes ? DOCTOR_FINDING : DOCTOR_OK,
			  found, "see pipe_pages_soft, relay_pipes and relay_calls; restart relay");
	check_histories(status, report);
}

/* Is the word one of the list's, which has single blanks between them? */
static bool is_among(const char *list, const char *word, size_t length)
{
	for (const char *at = list; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
		if (strcspn(at, " ") == length && strncmp(at, word, length) == 0)
			return true;
	}
	return false;
}

void relayctl_doctor_check_config(const char *config, const struct doctor_facts *facts,
				  struct doctor_report *report)
{
	static const char key[] = "congestion = ";
	char found[DOCTOR_TEXT_BYTES], change[DOCTOR_TEXT_BYTES], safe[64], word[32];
	const char *line = config;

	for (; line && facts->congestion_allowed[0]; line = strchr(line, '\n')) {
		size_t length;

		line += *line == '\n';
		if (strncmp(line, key, sizeof key - 1) != 0)
			continue;
		length = strcspn(line + sizeof key - 1, " \t\r\n;#");
		if (length == 0 ||
		    is_among(facts->congestion_allowed, line + sizeof key - 1, length))
			continue;
		(void)snprintf(word, sizeof word, "%.*s", (int)size_min(length, sizeof word - 1),
			       line + sizeof key - 1);
		text_escape(safe, sizeof safe, word);
		(void)snprintf(found, sizeof found,
			       "a listener asks for congestion = %s, which is not allowed here",
			       safe);
		(void)snprintf(
			change, sizeof change,
			"put the line \"net.ipv4.tcp_allowed_congestion_control = %.150s %s\" "
			"into /etc/sysctl.d/60-relay.conf%s%s%s, then run: sysctl --system",
			facts->congestion_allowed, safe,
			is_among(facts->congestion_available, word, strlen(word)) ? ""
										  : " and \"tcp_",
			is_among(facts->congestion_available, word, strlen(word)) ? "" : safe,
			is_among(facts->congestion_available, word, strlen(word))
				? ""
				: "\" into /etc/modules-load.d/relay.conf (modprobe it now)");
		doctor_report_add(report, "relay_congestion", DOCTOR_FINDING, found, change);
		return;
	}
}

/* A GET whose failure leaves NULL. */
static json_t *ask_for(const struct relayctl_options *options, const char *target)
{
	struct errmsg ignored;
	json_t *json;

	if (relayctl_ask(options, "GET", target, &json, &ignored) == RELAYCTL_DONE)
		return json;
	json_decref(json);
	return NULL;
}

static void check_relay(const struct relayctl_options *options, const char *why_no_socket,
			const struct doctor_facts *facts, struct doctor_report *report)
{
	json_t *status = NULL, *limits, *config;
	struct errmsg error;
	char found[DOCTOR_TEXT_BYTES];

	if (!options->socket) {
		doctor_report_add(report, "relay", DOCTOR_NOT_KNOWN, why_no_socket, "");
		return;
	}
	if (relayctl_ask_status(options, &status, &error) != RELAYCTL_DONE) {
		doctor_report_add(report, "relay", DOCTOR_NOT_KNOWN, error.text, "");
		json_decref(status);
		return;
	}
	(void)snprintf(found, sizeof found, "answers at %s", options->socket);
	doctor_report_add(report, "relay", DOCTOR_OK, found, "");
	limits = ask_for(options, "/limits.json");
	config = ask_for(options, "/config");
	relayctl_doctor_check_limits(limits, report);
	relayctl_doctor_check_status(status, report);
	relayctl_doctor_check_config(answer_text(config, "text"), facts, report);
	json_decref(status);
	json_decref(limits);
	json_decref(config);
}

/* ---- what is shown ---- */

static void print_text(const struct view *view, const struct doctor_report *report)
{
	static const enum table_style styles[] = {
		[DOCTOR_OK] = TABLE_GOOD,
		[DOCTOR_FINDING] = TABLE_BAD,
		[DOCTOR_NOT_KNOWN] = TABLE_DIM,
	};
	char safe[2 * DOCTOR_TEXT_BYTES];

	for (size_t i = 0; i < report->count; i++) {
		const struct doctor_result *result = &report->results[i];
		enum table_style style = styles[result->verdict];

		(void)fprintf(view->out, "%s%-9s%s  %-17s  %s\n",
			      table_style_on(style, view->has_colours),
			      doctor_verdict_name(result->verdict),
			      table_style_off(style, view->has_colours), result->name,
			      text_escape(safe, sizeof safe, result->found));
		if (result->verdict == DOCTOR_FINDING)
			(void)fprintf(view->out, "%9s  %-17s  change: %s\n", "", "",
				      result->change);
	}
	if (report->findings)
		(void)fprintf(view->out, "\n%zu finding%s\n", report->findings,
			      report->findings == 1 ? "" : "s");
	else
		(void)fputs("\nno findings\n", view->out);
}

static void print_json(const struct view *view, const struct doctor_report *report)
{
	json_t *checks = json_array();
	json_t *all;

	for (size_t i = 0; i < report->count; i++) {
		const struct doctor_result *result = &report->results[i];
		json_t *one =
			json_pack("{s:s,s:s,s:s}", "name", result->name, "verdict",
				  doctor_verdict_name(result->verdict), "found", result->found);

		if (result->verdict == DOCTOR_FINDING)
			(void)json_object_set_new(one, "change", json_string(result->change));
		(void)json_array_append_new(checks, one);
	}
	all = json_pack("{s:I,s:o}", "findings", (json_int_t)report->findings, "checks", checks);
	(void)json_dumpf(all, view->out, JSON_ENSURE_ASCII | JSON_INDENT(2));
	(void)fputc('\n', view->out);
	json_decref(all);
}

enum relayctl_exit relayctl_doctor(const struct relayctl_options *options,
				   const char *why_no_socket, const struct view *view)
{
	struct doctor_report report = {0};
	struct doctor_facts facts;

	doctor_facts_read(&facts, "/proc");
	doctor_check_all(&facts, &report);
	check_relay(options, why_no_socket, &facts, &report);
	if (options->json)
		print_json(view, &report);
	else
		print_text(view, &report);
	return report.findings ? RELAYCTL_REFUSED : RELAYCTL_DONE;
}
