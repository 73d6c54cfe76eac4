// SPDX-License-Identifier: MIT
/*
 * How a request is answered, or refused.
 *
 * Each refusal is counted where it was asked and, if it has a reason for that, at the feed.
 */
#include "serve/http_asking.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve/admission.h"
#include "serve/served_feed.h"
#include "web/feed_list.h"
#include "web/ntrip.h"
#include "web/safe_text.h"

void asking_send(struct asking *asking, const char *bytes, ssize_t count)
{
	if (count < 0)
		http_connection_drop(asking->connection);
	else
		http_connection_answer(asking->connection, (const uint8_t *)bytes, (size_t)count);
}

void http_refusal_note(struct http_listener *http, const struct endpoint_address *address,
		       const struct http_request *request, enum http_refusal refusal, int status,
		       const char *line)
{
	char peer[ENDPOINT_TEXT_BYTES], path[SAFE_TEXT_BYTES], origin[SAFE_TEXT_BYTES];
	struct http_text origin_text = {0};
	uint64_t suppressed = 0;

	http->refused[refusal]++;
	if (!log_allow(&http->admission->refused_log, clock_mono_ns(), &suppressed))
		return;
	endpoint_print_address(peer, sizeof(peer), address);
	if (request)
		(void)http_fields_find(&request->fields, "Origin", &origin_text);
	log_warn("request refused listener=%s peer=%s reason=%s status=%d%s%s%s%s (%s) "
		 "suppressed=%llu",
		 http->admission->listener, peer, http_refusal_name(refusal), status,
		 request ? " path=" : "",
		 request ? safe_text_print(path, request->target.path) : "",
		 origin_text.at ? " origin=" : "",
		 origin_text.at ? safe_text_print(origin, origin_text) : "", line,
		 (unsigned long long)suppressed);
}

const struct refusal_words *refusal_words_of(enum http_refusal refusal)
{
	static const struct refusal_words refusals[] = {
#define REFUSAL(id, name, status, feed, text) [HTTP_REFUSED_##id] = {status, feed, text},
#include "table/http_refusal.def"
	};

	return &refusals[refusal];
}

/* It may be otherwise soon. */
static bool is_for_now(int status)
{
	return status == 503 || status == 429;
}

static bool wants_events(const struct asking *asking)
{
	return !asking->answer.is_head && format_is_events(asking->wanted.format);
}

static void send_away(struct asking *asking, enum http_refusal refusal, const char *line)
{
	char buf[STREAM_ANSWER_BYTES];

	asking_send(asking, buf,
		    stream_answer_come_back(&asking->answer, http_refusal_name(refusal), line, buf,
					    sizeof(buf)));
}

void asking_refuse_with(struct asking *asking, enum http_refusal refusal, int status,
			const char *line)
{
	const struct refusal_words *about = refusal_words_of(refusal);
	bool is_sent_away = is_for_now(status) && wants_events(asking);
	struct http_response response;
	char buf[STREAM_ANSWER_BYTES];

	line = line ? line : about->text;
	if (is_sent_away)
		status = 200;
	http_refusal_note(asking->http, http_connection_peer(asking->connection), asking->request,
			  refusal, status, line);
	if (asking->path && asking->path->feed && about->feed != CLOSE_REASON_COUNT)
		quota_count_refusal(asking->path->feed, about->feed);
	if (is_sent_away) {
		send_away(asking, refusal, line);
		return;
	}
	if (asking->request->password.at) {
		asking_send(asking, buf, ntrip_print_refusal(status, line, buf, sizeof(buf)));
		return;
	}
	stream_answer_begin(&asking->answer, &response, buf, sizeof(buf), status);
	if (is_for_now(status))
		http_response_field(&response, "Retry-After", "5");
	else if (status == 401)
		http_response_field(&response, "WWW-Authenticate",
				    asking->token.is_there
					    ? "Basic realm=\"relay\", Bearer realm=\"relay\", "
					      "error=\"invalid_token\""
					    : "Basic realm=\"relay\", Bearer realm=\"relay\"");
	asking_send(asking, buf, http_response_end_text(&response, line, asking->answer.is_head));
}

void asking_refuse(struct asking *asking, enum http_refusal refusal)
{
	asking_refuse_with(asking, refusal, refusal_words_of(refusal)->status, NULL);
}

void asking_send_text(struct asking *asking, char *text, size_t bytes)
{
	if (text)
		asking_send(asking, text, (ssize_t)bytes);
	else
		asking_refuse(asking, HTTP_REFUSED_NO_MEMORY);
	free(text);
}

/* ---- what there is ---- */

void asking_send_list(struct asking *asking)
{
	size_t count = list_length(&asking->http->paths), at = 0, bytes = 0;
	const char **names = calloc(count + 1, sizeof(*names));
	struct list_node *node;
	char *text = NULL;

	list_for_each (&asking->http->paths, node) {
		if (names)
			names[at++] = list_entry(node, struct http_path, node)->feed->name;
	}
	if (names)
		text = feed_list_print(&asking->answer, names, count, &bytes);
	asking_send_text(asking, text, bytes);
	free(names);
}

/* Receivers take nothing of a mount whose format they are not told. */
void asking_send_source_table(struct asking *asking, bool shows_all)
{
	const struct http_listener *http = asking->http;
	struct ntrip_mount *mounts = calloc(list_length(&http->paths) + 1, sizeof(*mounts));
	size_t count = 0, bytes = 0;
	struct list_node *node;
	char *text = NULL;

	list_for_each (&http->paths, node) {
		const struct http_path *path = list_entry(node, struct http_path, node);

		if (mounts && (shows_all || http_path_is_rtcm3(path)))
			mounts[count++] = (struct ntrip_mount){
				path->feed->name, http_path_is_rtcm3(path) ? "RTCM 3" : ""};
	}
	if (mounts)
		text = ntrip_print_table(asking->answer.dialect, mounts, count, http->asks_token,
					 &bytes);
	asking_send_text(asking, text, bytes);
	free(mounts);
}
