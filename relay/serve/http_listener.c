// SPDX-License-Identifier: MIT
/* Listeners with format = http: made, changed and taken down. */
#include "serve/http_listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "http/http_host.h"
#include "serve/params.h"
#include "serve/service.h"
#include "web/forwarded.h"
#include "web/icy.h"
#include "web/safe_text.h"

const char *http_refusal_name(enum http_refusal refusal)
{
	static const char *const names[] = {
#define REFUSAL(id, name, ...) [HTTP_REFUSED_##id] = name,
#include "table/http_refusal.def"
	};

	return names[refusal];
}

uint64_t http_listener_refused(const struct http_listener *http, enum http_refusal refusal)
{
	return http->refused[refusal];
}

static struct http_path *path_of(struct list_node *node)
{
	return list_entry(node, struct http_path, node);
}

/* ---- paths ---- */

static struct http_path *find_path(const struct http_listener *http, const struct served_feed *feed)
{
	struct list_node *node;

	list_for_each (&http->paths, node) {
		if (path_of(node)->feed == feed)
			return path_of(node);
	}
	return NULL;
}

static void free_path(struct http_path *path)
{
	for (size_t i = 0; i < FORMAT_COUNT; i++)
		format_offer_end(&path->offers[i]);
	list_remove(&path->node);
	free(path);
}

/* Of a WebSocket.  Who has several feeds is always told. */
static bool tells_gaps(const struct http_listener *http, const struct http_path *path)
{
	return http->gaps || path->is_several;
}

/* Can it be had here, of this feed? */
static bool is_offered(const struct http_listener *http, const struct http_path *path,
		       enum format format)
{
	const struct format_row *row = format_row(format);

	if (row->carrier == FORMAT_CARRIER_WEBSOCKET && !row->is_framed &&
	    row->tells_gaps != tells_gaps(http, path))
		return false;
	if (row->coding != FORMAT_CODING_IDENTITY && !http->compresses)
		return false;
	/* Of titles, the history has none. */
	if (row->carrier == FORMAT_CARRIER_ICY &&
	    (http->admission->delay_ms || !icy_is_for(path->fields.content_type)))
		return false;
	return (!row->is_text || http_path_is_text(path)) &&
	       (!row->per_message || path->has_messages);
}

enum format http_websocket_format(bool is_text, bool per_message, bool tells_gaps)
{
	for (int i = 0; i < FORMAT_COUNT; i++) {
		const struct format_row *row = format_row((enum format)i);

		if (row->carrier == FORMAT_CARRIER_WEBSOCKET && !row->is_framed &&
		    row->coding == FORMAT_CODING_IDENTITY && row->is_text == is_text &&
		    row->per_message == per_message && row->tells_gaps == tells_gaps)
			return (enum format)i;
	}
	return FORMAT_COUNT;
}

/* How it can be compressed for this client. */
static enum format_coding coding_of(enum format format, const struct stream_request *wanted)
{
	if (format_row(format)->carrier == FORMAT_CARRIER_WEBSOCKET)
		return wanted->deflate ? FORMAT_CODING_DEFLATE : FORMAT_CODING_IDENTITY;
	return wanted->takes_gzip ? FORMAT_CODING_GZIP : FORMAT_CODING_IDENTITY;
}

enum format http_path_format(const struct http_listener *http, const struct http_path *path,
			     const struct stream_request *wanted, enum stream_dialect dialect)
{
	bool per_message = wanted->has_messages ? wanted->per_message
						: http->per_message && path->has_messages;
	enum format format = wanted->format;

	if (dialect == STREAM_NTRIP_1)
		return FORMAT_RAW;
	if (wanted->wants_icy && path->offers[FORMAT_ICY].format)
		return FORMAT_ICY;
	if (!wanted->wants_framed && format_row(format)->carrier == FORMAT_CARRIER_WEBSOCKET)
		format = http_websocket_format(wanted->wants_text, per_message,
					       tells_gaps(http, path));
	if (!http->compresses || dialect != STREAM_HTTP)
		return format;
	return format_coded(format, coding_of(format, wanted));
}

/* Is it what most ask for?  Of lines also events: their bytes are looked at one by one anyway. */
static bool is_usual(const struct http_listener *http, const struct http_path *path,
		     enum format format)
{
	bool per_message = http->per_message && path->has_messages;

	return format == FORMAT_HTTP || (format == FORMAT_EVENTS && http_path_is_text(path)) ||
	       format == http_websocket_format(false, per_message, http->gaps);
}

static enum offered_past past_of(const struct http_listener *http, const struct http_path *path,
				 enum format format)
{
	bool has_burst = subscriber_params_have_burst(&path->params) && !http->admission->delay_ms;

	return has_burst && is_usual(http, path, format) ? PAST_ALWAYS : PAST_ASKED;
}

static int offer_formats(const struct http_listener *http, struct http_path *path)
{
	int r = 0;

	for (int i = 0; r == 0 && i < FORMAT_COUNT; i++) {
		enum format format = (enum format)i;
		bool has = is_offered(http, path, format);

		r = format_offer_change(&path->offers[i], has ? &path->feed->formats[i] : NULL,
					past_of(http, path, format));
	}
	return r;
}

static int serve_feed(struct http_listener *http, struct served_feed *feed,
		      const struct config_listener *from, const struct config_feed *config)
{
	struct http_path *path = find_path(http, feed);

	if (!path) {
		path = calloc(1, sizeof(*path));
		if (!path)
			return -ENOMEM;
		path->feed = feed;
		list_append(&http->paths, &path->node);
	}
	params_of_subscriber(from, config, &path->params);
	params_of_stream(from, config, &path->fields);
	path->framing = config->framing.kind;
	path->has_messages = config_has_messages(config);
	path->is_auto = config_on_slow_of(from, config) == CONFIG_ON_SLOW_AUTO;
	return offer_formats(http, path);
}

/* Feeds that are gone have been detached; here go those that this listener no longer serves. */
static int change_paths(struct http_listener *http, const struct config *config,
			const struct config_listener *from)
{
	struct list_node *node, *next;
	int r = 0;

	list_for_each_safe (&http->paths, node, next) {
		const struct config_feed *feed =
			config_find_feed(config, path_of(node)->feed->name);

		if (!feed || !config_is_served(from, feed))
			free_path(path_of(node));
	}
	for (size_t i = 0; r == 0 && i < config->feed_count; i++) {
		const struct config_feed *feed = &config->feeds[i];
		struct served_feed *served =
			served_feed_find(&http->admission->service->feeds, feed->section.name);

		if (served && config_is_served(from, feed))
			r = serve_feed(http, served, from, feed);
	}
	return r;
}

void http_listener_detach(struct http_listener *http, const struct served_feed *feed)
{
	struct http_path *path = find_path(http, feed);

	if (path)
		free_path(path);
}

struct http_path *http_listener_find(const struct http_listener *http, const char *name)
{
	struct list_node *node;

	list_for_each (&http->paths, node) {
		if (strcmp(path_of(node)->feed->name, name) == 0)
			return path_of(node);
	}
	return NULL;
}

/* ---- several feeds at once ---- */

/* Events of relay's own have these names, or those of an EventSource. */
static bool is_event_name(const char *name)
{
	static const char *const names[] = {"gap", "source", "refused", "open", "error"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

/* Puts it where it belongs by its name.  False: it is there already. */
static bool put_feed(struct http_several *several, struct served_feed *feed)
{
	size_t at = several->count;

	for (; at > 0; at--) {
		int order = strcmp(several->feeds[at - 1]->name, feed->name);

		if (order < 0)
			break;
		if (order == 0)
			return false;
	}
	memmove(&several->feeds[at + 1], &several->feeds[at],
		(several->count - at) * sizeof(several->feeds[0]));
	several->feeds[at] = feed;
	several->count++;
	return true;
}

static enum http_refusal add_feed(const struct http_listener *http, const char *name,
				  struct http_several *several)
{
	const struct http_path *path = http_listener_find(http, name);
	char told[SAFE_TEXT_BYTES];

	if (!path) {
		errmsg_set(&several->wrong, "there is no feed '%s'",
			   safe_text_print(told, (struct http_text){name, strlen(name)}));
		return HTTP_REFUSED_UNKNOWN_FEED;
	}
	if (!path->has_messages) {
		errmsg_set(&several->wrong,
			   "feed %s does not know where its messages end, so it cannot be had "
			   "with others on one connection",
			   name);
		return HTTP_REFUSED_NO_MESSAGES;
	}
	if (is_event_name(name))
		errmsg_set(&several->wrong,
			   "feed %s has the name of another event, so it cannot be had with "
			   "others on one connection",
			   name);
	else if (several->count == MEMBERS_MAX)
		errmsg_set(&several->wrong, "more than %d feeds for one connection", MEMBERS_MAX);
	else if (!put_feed(several, path->feed))
		errmsg_set(&several->wrong, "feed %s is named twice", name);
	else
		return HTTP_REFUSAL_COUNT;
	return HTTP_REFUSED_BAD_REQUEST;
}

/* What is so for one of them only is so for none, but for a longer burst. */
static void join_path(struct http_path *path, const struct http_path *other)
{
	path->is_auto =
		path->is_auto || other->is_auto || path->params.on_slow != other->params.on_slow;
	path->params.burst_bytes = u64_max(path->params.burst_bytes, other->params.burst_bytes);
	path->params.burst_ms = u64_max(path->params.burst_ms, other->params.burst_ms);
	if (!http_path_is_text(other))
		path->framing = other->framing;
}

/* A combination has no history and no key frames.  False: not all of them are served here. */
static bool join_paths(const struct http_listener *http, struct served_feed *const feeds[],
		       size_t count, struct http_path *ret)
{
	for (size_t i = 0; i < count; i++) {
		const struct http_path *path = find_path(http, feeds[i]);

		if (!path)
			return false;
		if (i == 0)
			*ret = *path;
		else
			join_path(ret, path);
	}
	ret->feed = NULL;
	ret->is_several = true;
	ret->params.burst_key_frame = false;
	ret->is_auto = ret->is_auto || ret->params.on_slow == ON_SLOW_REPLAY;
	memset(ret->offers, 0, sizeof(ret->offers));
	return true;
}

enum http_refusal http_listener_find_several(const struct http_listener *http, const char *names,
					     struct http_several *ret)
{
	enum http_refusal refusal = HTTP_REFUSAL_COUNT;
	char name[STREAM_FEED_BYTES + 1];
	bool is_last;

	*ret = (struct http_several){.count = 0};
	do {
		size_t bytes = strcspn(names, "+");

		(void)snprintf(name, sizeof(name), "%.*s", (int)bytes, names);
		refusal = add_feed(http, name, ret);
		is_last = !names[bytes];
		names += bytes + 1;
	} while (refusal == HTTP_REFUSAL_COUNT && !is_last);
	if (refusal == HTTP_REFUSAL_COUNT && http->admission->delay_ms) {
		errmsg_set(&ret->wrong, "with a delay, each feed comes on a connection of its own");
		refusal = HTTP_REFUSED_BAD_REQUEST;
	}
	if (refusal == HTTP_REFUSAL_COUNT)
		(void)join_paths(http, ret->feeds, ret->count, &ret->path); /* they are served */
	else
		ret->count = 0;
	return refusal;
}

bool http_several_can_have(enum format format)
{
	const struct format_row *row = format_row(format);

	return format_is_events(format) ||
	       (row->carrier == FORMAT_CARRIER_WEBSOCKET && row->tells_gaps && !row->is_framed);
}

bool http_listener_offers_several(const struct http_listener *http,
				  struct served_feed *const feeds[], size_t count,
				  enum format format)
{
	struct http_path path;

	return http_several_can_have(format) && join_paths(http, feeds, count, &path) &&
	       is_offered(http, &path, format);
}

/* ---- who may ask ---- */

static int check_tokens(const struct config_listener *from, const char *key, const char *path,
			struct errmsg *err)
{
	struct token_list tokens = {0};
	struct errmsg why;
	int r = *path ? token_list_load(&tokens, path, &why) : 0;

	if (r < 0)
		errmsg_set(err, "listener %s: %s: %s", from->section.name, key, why.text);
	token_list_free(&tokens);
	return r;
}

int http_listener_check(const struct config_listener *from, struct errmsg *err)
{
	int r;

	if (from->format != FORMAT_HTTP)
		return 0;
	r = check_tokens(from, "token_file", from->token_file, err);
	return r < 0 ? r : check_tokens(from, "publish_token_file", from->publish_token_file, err);
}

/* The file has been read a moment ago; should it have gone since, nobody gets in. */
static void change_tokens(struct http_listener *http, const struct config_listener *from)
{
	struct errmsg err;

	token_list_free(&http->tokens);
	http->asks_token = *from->token_file;
	if (http->asks_token && token_list_load(&http->tokens, from->token_file, &err) < 0)
		log_error("%s listener=%s, nobody can subscribe", err.text,
			  http->admission->listener);
	token_list_free(&http->publishers);
	http->publishes = from->publish == CONFIG_YES;
	if (http->publishes &&
	    token_list_load(&http->publishers, from->publish_token_file, &err) < 0)
		log_error("%s listener=%s, nobody can publish", err.text,
			  http->admission->listener);
}

static bool is_loopback(const char *address)
{
	return strncmp(address, "tcp:127.", 8) == 0 || strncmp(address, "tcp:[::1]", 9) == 0;
}

/* Where it listens is known only when it does. */
bool http_listener_knows_host(const struct http_listener *http, struct http_text host)
{
	bool is_auto = strcmp(http->hosts, "auto") == 0;

	if (is_auto && !is_loopback(listener_address(http->listener)))
		return true;
	return strcmp(http->hosts, "*") == 0 ||
	       http_host_is_known(host, is_auto ? "" : http->hosts);
}

const char *http_listener_find_peer(const struct http_listener *http,
				    struct http_connection *connection,
				    const struct http_request *request)
{
	struct endpoint_address peer = *http_connection_peer(connection);
	const char *wrong;

	if (!http->reads_forwarded || !forwarded_is_trusted(&http->proxies, &peer))
		return NULL;
	wrong = forwarded_find_peer(&request->fields, &http->proxies, &peer);
	http_connection_set_peer(connection, &peer);
	return wrong;
}

static int change_admission(struct http_listener *http, const struct config_listener *from)
{
	char *origins = strdup(from->origins);
	char *hosts = strdup(from->hosts);
	struct access proxies;
	struct errmsg err;

	if (!origins || !hosts || access_init(&proxies, from->trusted_proxies, "", &err) < 0) {
		free(origins);
		free(hosts);
		return -ENOMEM;
	}
	free(http->origins);
	http->origins = origins;
	free(http->hosts);
	http->hosts = hosts;
	access_fini(&http->proxies);
	http->proxies = proxies;
	http->reads_forwarded = from->proxy_header == CONFIG_PROXY_HEADER_FORWARDED;
	change_tokens(http, from);
	return 0;
}

/* ---- what is kept ---- */

static const char *refusal_at(size_t index)
{
	return http_refusal_name((enum http_refusal)index);
}

const struct kept_names kept_http_counters = {
	http_counter_name, sizeof(struct http_server_counters) / sizeof(uint64_t)};
const struct kept_names kept_http_refusals = {refusal_at, HTTP_REFUSAL_COUNT};

#define KEPT_TABLE http_kept_table
#define KEPT_OF    struct handed_http
#define KEPT_DEF   "serve/http_kept.def"
#include "continuity/kept_table.def"

void http_listener_capture(const struct http_listener *http, struct handed_http *ret)
{
	*ret = (struct handed_http){0};
	(void)snprintf(ret->listener, sizeof(ret->listener), "%s", http->admission->listener);
	http_listener_note(http, ret);
}

void http_listener_note(const struct http_listener *http, struct handed_http *ret)
{
	ret->counters = http->server.counters;
	memcpy(ret->refused, http->refused, sizeof(ret->refused));
}

void handed_http_transfer(struct state_stream *stream, struct handed_http *handed)
{
	kept_transfer(stream, &http_kept_table, handed);
	kept_transfer_counts(stream, (uint64_t *)&handed->counters, &kept_http_counters);
	kept_transfer_counts(stream, handed->refused, &kept_http_refusals);
}

void http_listener_restore(struct http_listener *http, const struct handed_http *handed)
{
	http->server.counters = handed->counters;
	memcpy(http->refused, handed->refused, sizeof(http->refused));
}

/* ---- life ---- */

struct http_listener *http_listener_new(struct admission *admission,
					const struct listener *listener,
					const struct http_server_params *answers,
					const struct config_listener *from)
{
	struct http_listener *http = calloc(1, sizeof(*http));
	struct http_server_params params = *answers;

	if (!http)
		return NULL;
	http->admission = admission;
	http->listener = listener;
	list_init(&http->paths);
	http->methods = params.methods;
	params.deadline_ms = from->head_timeout;
	params.max_connections = from->max_heads;
	params.owner = http;
	http_server_init(&http->server, admission->service->loop, &params);
	return http;
}

int http_listener_change(struct http_listener *http, const struct config *config,
			 const struct config_listener *from)
{
	int r;

	(void)snprintf(http->feed, sizeof(http->feed), "%s", from->feed);
	http->gaps = from->gaps == CONFIG_YES;
	http->per_message = from->messages == CONFIG_MESSAGES_MESSAGE;
	http->compresses = from->compress == CONFIG_YES;
	http->max_combinations = from->max_combinations;
	r = change_admission(http, from);
	if (r < 0)
		return r;
	http_server_change(
		&http->server, from->head_timeout, from->max_heads,
		access_is_open(&http->proxies) || http->reads_forwarded ? NULL : &http->proxies);
	http_server_change_methods(&http->server,
				   http->methods | (http->publishes ? HTTP_HAVE_BODY : 0),
				   http->publishes ? HTTP_BODY_LEFT : 0);
	return change_paths(http, config, from);
}

void http_listener_free(struct http_listener **http_ptr)
{
	struct http_listener *http = *http_ptr;
	struct list_node *node;

	*http_ptr = NULL;
	if (!http)
		return;
	http_server_fini(&http->server);
	while ((node = list_first(&http->paths)))
		free_path(path_of(node));
	token_list_free(&http->tokens);
	token_list_free(&http->publishers);
	access_fini(&http->proxies);
	free(http->origins);
	free(http->hosts);
	free(http);
}
