// SPDX-License-Identifier: MIT
/* Listeners with format = http: made, changed and taken down. */
#include "serve/http_listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/origin.h"
#include "serve/params.h"
#include "serve/service.h"

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

static const struct served_format *find_open(const struct http_path *path,
					     const struct encoder *encoder)
{
	for (size_t i = 0; i < HTTP_PATH_FORMATS; i++) {
		if (path->formats[i].feed && path->formats[i].encoder == encoder)
			return &path->formats[i];
	}
	return NULL;
}

const struct served_format *http_path_format(struct http_path *path, const struct encoder *encoder)
{
	const struct served_format *open = find_open(path, encoder);
	struct served_format *unused = NULL;

	if (open)
		return open;
	for (size_t i = 0; i < HTTP_PATH_FORMATS && !unused; i++) {
		if (!path->formats[i].feed)
			unused = &path->formats[i];
	}
	if (!unused || served_format_open(unused, path->feed, encoder) < 0)
		return NULL;
	return unused;
}

const struct served_format *http_listener_format(struct http_listener *http, struct http_path *path,
						 const struct encoder *encoder)
{
	struct service *service = http->admission->service;
	const struct served_format *format = find_open(path, encoder);

	if (format)
		return format;
	format = http_path_format(path, encoder);
	if (format)
		service->events->on_format_opened(service->owner);
	return format;
}

static void free_path(struct http_path *path)
{
	for (size_t i = 0; i < HTTP_PATH_FORMATS; i++)
		served_format_close(&path->formats[i]);
	list_remove(&path->node);
	free(path);
}

/* WebSockets that tell of gaps in another way than is wanted now. */
static void close_other_gaps(struct http_path *path, bool gaps)
{
	for (unsigned i = 0; i < 4; i++) {
		const struct encoder *other = encoder_websocket(i & 1, i & 2, !gaps);

		for (size_t k = 0; k < HTTP_PATH_FORMATS; k++) {
			if (path->formats[k].feed && path->formats[k].encoder == other)
				served_format_close(&path->formats[k]);
		}
	}
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
	path->framing = params_framing_kind(config);
	path->is_auto = config_on_slow_of(from, config) == CONFIG_ON_SLOW_AUTO;
	close_other_gaps(path, http->gaps);
	if (!http_path_format(path, &encoder_chunked) ||
	    !http_path_format(path,
			      encoder_websocket(false,
						http->per_message && http_path_has_messages(path),
						http->gaps)))
		return -ENOMEM;
	/* Its bytes are looked at one by one anyway. */
	if (http_path_is_text(path) && !http_path_format(path, &encoder_events))
		return -ENOMEM;
	return 0;
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

bool http_listener_serves(const struct http_listener *http, const struct served_feed *feed)
{
	return find_path(http, feed) != NULL;
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

/* NULL: not offered, or not any more. */
static const struct encoder *find_offered(const struct http_listener *http,
					  const struct http_path *path, const char *format)
{
	const struct encoder *offered[HTTP_PATH_FORMATS] = {&encoder_raw, &encoder_chunked};
	size_t count = 2;

	if (http_path_has_messages(path)) {
		offered[count++] = &encoder_events;
		offered[count++] = &encoder_events_plain;
	}
	for (unsigned i = 0; i < 4; i++) {
		bool text = i & 1, per_message = i & 2;

		if ((!text || http_path_is_text(path)) &&
		    (!per_message || http_path_has_messages(path)))
			offered[count++] = encoder_websocket(text, per_message, http->gaps);
	}
	for (size_t i = 0; i < count; i++) {
		if (strcmp(offered[i]->name, format) == 0)
			return offered[i];
	}
	return NULL;
}

int http_listener_reopen(struct http_listener *http, const char *feed, const char *format)
{
	struct http_path *path = http_listener_find(http, feed);
	const struct encoder *encoder = path ? find_offered(http, path, format) : NULL;

	return !encoder || http_path_format(path, encoder) ? 0 : -ENOMEM;
}

/* ---- who may ask ---- */

int http_listener_check(const struct config_listener *from, struct errmsg *err)
{
	struct token_list tokens = {0};
	struct errmsg why;
	int r;

	if (from->format != CONFIG_FORMAT_HTTP || !*from->token_file)
		return 0;
	r = token_list_load(&tokens, from->token_file, &why);
	if (r < 0)
		errmsg_set(err, "listener %s: token_file: %s", from->section.name, why.text);
	token_list_free(&tokens);
	return r;
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
}

static int change_admission(struct http_listener *http, const struct config_listener *from)
{
	char *origins = strdup(from->origins);
	struct access proxies;
	struct errmsg err;

	if (!origins || access_init(&proxies, from->trusted_proxies, "", &err) < 0) {
		free(origins);
		return -ENOMEM;
	}
	free(http->origins);
	http->origins = origins;
	access_fini(&http->proxies);
	http->proxies = proxies;
	change_tokens(http, from);
	return 0;
}

/* ---- life ---- */

struct http_listener *http_listener_new(struct admission *admission,
					const struct http_server_params *answers,
					const struct config_listener *from)
{
	struct http_listener *http = calloc(1, sizeof(*http));
	struct http_server_params params = *answers;

	if (!http)
		return NULL;
	http->admission = admission;
	list_init(&http->paths);
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
	r = change_admission(http, from);
	if (r < 0)
		return r;
	http_server_change(&http->server, from->head_timeout, from->max_heads,
			   access_is_open(&http->proxies) ? NULL : &http->proxies);
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
	access_fini(&http->proxies);
	free(http->origins);
	free(http);
}
