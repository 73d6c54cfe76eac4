// SPDX-License-Identifier: MIT
/* Listeners with format = http: made, changed and taken down. */
#include "serve/http_listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "http/http_host.h"
#include "serve/params.h"
#include "serve/service.h"
#include "web/forwarded.h"
#include "web/icy.h"

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

/* Can it be had here, of this feed? */
static bool is_offered(const struct http_listener *http, const struct http_path *path,
		       enum format format)
{
	const struct format_row *row = format_row(format);

	if (row->carrier == FORMAT_CARRIER_WEBSOCKET && !row->is_framed &&
	    row->tells_gaps != http->gaps)
		return false;
	if (row->coding != FORMAT_CODING_IDENTITY && !http->compresses)
		return false;
	if (row->carrier == FORMAT_CARRIER_ICY && !icy_is_for(path->fields.content_type))
		return false;
	return (!row->is_text || http_path_is_text(path)) &&
	       (!row->per_message || http_path_has_messages(path));
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
						: http->per_message && http_path_has_messages(path);
	enum format format = wanted->format;

	if (dialect == STREAM_NTRIP_1)
		return FORMAT_RAW;
	if (wanted->wants_icy && path->offers[FORMAT_ICY].format)
		return FORMAT_ICY;
	if (!wanted->wants_framed && format_row(format)->carrier == FORMAT_CARRIER_WEBSOCKET)
		format = http_websocket_format(wanted->wants_text, per_message, http->gaps);
	if (!http->compresses || dialect != STREAM_HTTP)
		return format;
	return format_coded(format, coding_of(format, wanted));
}

/* Is it what most ask for?  Of lines also events: their bytes are looked at one by one anyway. */
static bool is_usual(const struct http_listener *http, const struct http_path *path,
		     enum format format)
{
	bool per_message = http->per_message && http_path_has_messages(path);

	return format == FORMAT_HTTP || (format == FORMAT_EVENTS && http_path_is_text(path)) ||
	       format == http_websocket_format(false, per_message, http->gaps);
}

static enum offered_past past_of(const struct http_listener *http, const struct http_path *path,
				 enum format format)
{
	bool has_burst = subscriber_params_have_burst(&path->params);

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
	path->is_nats = config_is_nats(config);
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
