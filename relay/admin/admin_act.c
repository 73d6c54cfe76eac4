// SPDX-License-Identifier: MIT
/* Commands.  Each one that is obeyed is logged: it was a person's decision. */
#include "admin/admin_act.h"

#include <errno.h>
#include <string.h>

#include "admin/collect.h"
#include "base/log.h"
#include "base/num.h"
#include "serve/http_listener.h"
#include "serve/served_feed.h"
#include "serve/served_listener.h"
#include "serve/service.h"
#include "web/icy.h"

enum {
	TITLE_TEXT_BYTES = 1024, /* as asked for; what is longer than a title is cut */
};

enum {
	SPREAD_MAX_MS = 24 * 3600 * 1000,
};

static json_t *lines_json(const struct reload_report *report)
{
	json_t *lines = json_array();

	for (size_t i = 0; i < report->count; i++)
		(void)json_array_append_new(lines, json_string(report->lines[i]));
	return lines;
}

void admin_post_reload(const struct admin_request *request)
{
	struct reload_report report = {0};
	json_t *lines, *answer;
	struct admin *admin = request->admin;
	int r = admin->actions->reload(admin->owner, &report);

	if (r == -EBUSY) {
		admin_answer_error(request, 409, "relay is draining");
		return;
	}
	lines = lines_json(&report);
	reload_report_free(&report);
	answer = json_pack("{s:b,s:o}", "ok", r == 0, r < 0 ? "errors" : "changes", lines);
	if (r < 0)
		(void)json_object_set_new(answer, "error",
					  json_string(r == -EIO ? "not all feeds are served, all "
								  "else has changed"
								: "nothing is changed"));
	admin_answer_json(request, r < 0 ? 422 : 200, answer);
}

void admin_post_drain(const struct admin_request *request)
{
	struct admin *admin = request->admin;

	if (admin->service->is_draining) {
		admin_answer_error(request, 409, "relay is draining already");
		return;
	}
	log_info("drain asked for by the admin socket");
	/* First the answer: draining may end the loop. */
	admin_answer_json(request, 200,
			  json_pack("{s:b,s:I}", "ok", true, "subscribers",
				    (json_int_t)admin->service->subscribers));
	admin->actions->drain(admin->owner);
}

/* spread_ms: 0 takes it back. */
static void drain_slowly(const struct admin_request *request, uint64_t spread_ms)
{
	struct admin *admin = request->admin;
	int r = admin->actions->drain_slowly(admin->owner, spread_ms);

	if (r < 0)
		admin_answer_error(request, 409,
				   r == -EBUSY ? "relay is draining already, nothing changes that"
					       : "relay is not draining");
	else
		admin_answer_json(request, 200,
				  json_pack("{s:b,s:I}", "ok", true, "subscribers",
					    (json_int_t)admin->service->subscribers));
}

void admin_post_drain_slowly(const struct admin_request *request)
{
	char text[24];
	uint64_t spread_ms;

	if (admin_parameter(request, "spread", text, sizeof(text)) &&
	    num_parse_duration_ms(text, &spread_ms) == 0 && spread_ms &&
	    spread_ms <= SPREAD_MAX_MS) {
		drain_slowly(request, spread_ms);
		return;
	}
	admin_answer_error(request, 400, "expected ?spread=DURATION, such as 5m, at most 24h");
}

void admin_post_drain_cancel(const struct admin_request *request)
{
	drain_slowly(request, 0);
}

void admin_post_kick(const struct admin_request *request)
{
	char name[FEED_NAME_BYTES + 1], text[24];
	struct service *service = request->admin->service;
	const struct served_feed *feed;
	uint64_t id;

	if (!admin_parameter(request, "feed", name, sizeof(name)) ||
	    !admin_parameter(request, "id", text, sizeof(text)) || num_parse_count(text, &id) < 0) {
		admin_answer_error(request, 400, "expected ?feed=NAME&id=NUMBER");
		return;
	}
	feed = served_feed_find(&service->feeds, name);
	if (!feed) {
		admin_answer_error(request, 404, "there is no feed '%s'", name);
	} else if (!collect_kick(service, feed, id)) {
		admin_answer_error(request, 404, "feed '%s' has no subscriber %s", name, text);
	} else {
		log_info("subscriber kicked feed=%s subscriber=%s by the admin socket", name, text);
		admin_answer_json(request, 200, json_pack("{s:b}", "ok", true));
	}
}

static bool has_titles(const struct service *service, const char *feed)
{
	struct list_node *node;

	list_for_each (&service->listeners, node) {
		const struct http_listener *http = served_listener_at(node)->http;
		const struct http_path *path = http ? http_listener_find(http, feed) : NULL;

		if (path && icy_is_for(path->fields.content_type))
			return true;
	}
	return false;
}

void admin_post_title(const struct admin_request *request)
{
	char name[CONFIG_NAME_BYTES + 1], text[TITLE_TEXT_BYTES], title[ICY_TITLE_BYTES + 1];
	const struct service *service = request->admin->service;
	const struct served_feed *feed;

	if (!admin_parameter(request, "feed", name, sizeof(name)) ||
	    !admin_parameter(request, "title", text, sizeof(text))) {
		admin_answer_error(request, 400,
				   "expected ?feed=NAME&title=TEXT, of UTF-8 without control "
				   "characters and less than %d bytes",
				   TITLE_TEXT_BYTES);
		return;
	}
	feed = served_feed_find(&service->feeds, name);
	if (!feed) {
		admin_answer_error(request, 404, "there is no feed '%s'", name);
	} else if (!has_titles(service, name)) {
		admin_answer_error(request, 409,
				   "feed '%s' has no titles: they need a listener with format = "
				   "http, and content_type = audio/... but Ogg and Opus",
				   name);
	} else {
		icy_copy_title(text, title);
		workers_set_title(feed->workers, feed->worker_feeds, title);
		log_info("title set feed=%s by the admin socket", name);
		admin_answer_json(request, 200, json_pack("{s:b,s:s}", "ok", true, "title", title));
	}
}

void admin_post_log_level(const struct admin_request *request)
{
	static const struct {
		const char *word;
		enum log_level level;
	} levels[] = {
#define LEVEL(prefix, id, word) {word, prefix##_##id},
		CONFIG_LOG_LEVELS(LEVEL)
#undef LEVEL
	};
	struct admin *admin = request->admin;
	char text[16] = "";

	(void)admin_parameter(request, "level", text, sizeof(text));
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (strcmp(levels[i].word, text) != 0)
			continue;
		log_info("log_level=%s by the admin socket", text);
		admin->actions->set_log_level(admin->owner, levels[i].level);
		admin_answer_json(request, 200, json_pack("{s:b,s:s}", "ok", true, "level", text));
		return;
	}
	admin_answer_error(request, 400, "bad level; expected one of error, warn, info, debug");
}

/* Which process this is: an upgrade keeps the pid, but not the time of the start. */
static json_int_t process_number(const struct admin *admin)
{
	struct admin_process process;

	admin_describe(admin, &process);
	return (json_int_t)process.started_ns;
}

void admin_post_upgrade(const struct admin_request *request)
{
	struct admin *admin = request->admin;
	struct errmsg err;
	int r = admin->actions->upgrade(admin->owner, &err);

	if (r == -EALREADY || r == -EBUSY)
		admin_answer_error(request, 409, "%s", err.text);
	else if (r < 0)
		admin_answer_error(request, 500, "%s", err.text);
	else
		admin_answer_json(request, 202,
				  json_pack("{s:b,s:I,s:s}", "ok", true, "process",
					    process_number(admin), "note",
					    "begun; GET /upgrade.json says how it ends"));
}

void admin_get_upgrade(const struct admin_request *request)
{
	struct admin *admin = request->admin;
	const struct upgrade_report *report = admin->actions->upgrade_report(admin->owner);
	struct admin_process process;

	admin_describe(admin, &process);
	admin_answer_json(request, 200,
			  json_pack("{s:I,s:s,s:I,s:b,s:s,s:o}", "process", process_number(admin),
				    "version", process.version, "subscribers",
				    (json_int_t)admin->service->subscribers, "under_way",
				    report->is_under_way, "error", report->error.text, "errors",
				    lines_json(&report->lines)));
}
