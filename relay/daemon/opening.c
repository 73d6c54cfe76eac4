// SPDX-License-Identifier: MIT
/* Opening.  Each error has the line of the configuration that asks for it, and the way out. */
#include "daemon/opening.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/listen_way_out.h"
#include "serve/handover.h"
#include "serve/http_listener.h"
#include "serve/params.h"
#include "serve/service.h"
#include "source/ingest_try.h"
#include "source/send_file.h"

/* ---- what differs ---- */

static bool must_remake_feed(const struct config_feed *old, const struct config_feed *new)
{
	const struct config_option *differing[CONFIG_SECTION_OPTIONS];
	size_t count = config_differs_feed(old, new, differing);

	for (size_t i = 0; i < count; i++) {
		if (!config_is_live_change(differing[i], &old->section, &new->section))
			return true;
	}
	return false;
}

static bool listens(const struct config_feed *from)
{
	return from->ingest.kind == CONFIG_INGEST_LISTEN;
}

/* Both listen, wherever; or both have the same source. */
static bool is_same_ingest(const struct config_feed *old, const struct config_feed *new)
{
	return old &&
	       ((listens(old) && listens(new)) || strcmp(old->ingest.text, new->ingest.text) == 0);
}

static const struct config_feed *old_feed(const struct relay *relay, const char *name)
{
	return relay->config ? config_find_feed(relay->config, name) : NULL;
}

struct served_feed *opening_staying_feed(const struct opening *opening,
					 const struct config_feed *from)
{
	const struct config_feed *old = old_feed(opening->relay, from->section.name);

	if (!old || must_remake_feed(old, from))
		return NULL;
	return served_feed_find(&opening->relay->service.feeds, from->section.name);
}

/* ---- where something failed ---- */

/* Says where in the configuration, and what can be done. */
static void set_where(struct opening *opening, const struct config_section *section, size_t option,
		      const char *way_out)
{
	char place[CONFIG_LINE_BYTES];

	(void)config_print_place(place, sizeof(place), opening->config, section, option);
	errmsg_set(opening->where, "%s: %s", place, *way_out ? way_out : "this line asks for it");
}

/* Of a feed or a listener that cannot listen.  Returns r. */
static int fail(struct opening *opening, const struct config_section *section, size_t option,
		const struct new_sockets *new, int r, const struct errmsg *why)
{
	char way_out[512];

	errmsg_set(opening->err, "%s %s: %s", section->kind == CONFIG_FEED ? "feed" : "listener",
		   section->name, why->text);
	set_where(opening, section, option,
		  listen_way_out(&new->endpoint, r, way_out, sizeof(way_out)));
	return r;
}

/* ---- sockets ---- */

static void add_own(struct own_sockets *own, const struct listener *listener)
{
	for (size_t i = 0; i < listener->sockets.count; i++)
		own->list[own->count++] = listener->sockets.list[i];
}

/* 0 or -ENOMEM. */
static int find_own_sockets(const struct relay *relay, struct own_sockets *ret)
{
	const struct handover *resumed = relay->resumed;
	size_t owners = list_length(&relay->service.feeds) +
			list_length(&relay->service.listeners) + ADMIN_DOORS;
	size_t handed = resumed ? resumed->socket_count : 0;
	struct list_node *node;

	ret->list = calloc(owners * LISTEN_SOCKETS_MAX + handed, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	list_for_each (&relay->service.feeds, node)
		add_own(ret, &served_feed_at(node)->ingest.listener);
	list_for_each (&relay->service.listeners, node)
		add_own(ret, &served_listener_at(node)->listener);
	for (int kind = 0; kind < ADMIN_DOORS; kind++) {
		if (relay->admin.doors[kind])
			add_own(ret, &relay->admin.doors[kind]->listener);
	}
	for (size_t i = 0; i < handed; i++) {
		if (resumed->sockets[i].kind != HANDED_PASSED && resumed->sockets[i].fd >= 0)
			ret->list[ret->count++] =
				(struct listen_socket){.fd = resumed->sockets[i].fd};
	}
	return own_sockets_look(ret);
}

/* A free port was chosen by the process before, and stays the same. */
static void keep_free_port(const struct opening *opening, enum handed_kind kind, const char *name,
			   const char *address, struct endpoint *endpoint)
{
	if (endpoint->kind == ENDPOINT_TCP && strcmp(endpoint->port, "0") == 0)
		endpoint->passed_fd = handover_socket(opening->relay->resumed, kind, name, address);
}

static int open_sockets(struct opening *opening, struct new_sockets *new,
			const struct config_section *section, size_t option)
{
	struct errmsg why;
	int r = listen_sockets_open(&new->endpoint, SOMAXCONN, &opening->own, &new->sockets, &why);

	return r < 0 ? fail(opening, section, option, new, r, &why) : 0;
}

static int open_feed_sockets(struct opening *opening, size_t i)
{
	const struct config_feed *from = &opening->config->feeds[i];
	const struct served_feed *served = opening_staying_feed(opening, from);
	struct new_sockets *new = &opening->of_feeds[i];
	struct errmsg why;
	int r;

	if (!listens(from))
		return 0;
	r = params_of_feed_address(opening->config, from, &opening->relay->service.passed,
				   &new->endpoint, &why);
	if (r < 0)
		return fail(opening, &from->section, CONFIG_FEED_ingest, new, r, &why);
	if (served && listener_is_at(&served->ingest.listener, &new->endpoint))
		return 0;
	keep_free_port(opening, HANDED_FEED, from->section.name, from->ingest.text, &new->endpoint);
	return open_sockets(opening, new, &from->section, CONFIG_FEED_ingest);
}

static int open_listener_sockets(struct opening *opening, size_t i)
{
	const struct config_listener *from = &opening->config->listeners[i];
	struct service *service = &opening->relay->service;
	const struct served_listener *served =
		served_listener_find(&service->listeners, from->section.name);
	struct new_sockets *new = &opening->of_listeners[i];
	struct errmsg why;
	int r = params_of_listener_address(opening->config, from, &service->passed, &new->endpoint,
					   &why);

	if (r < 0)
		return fail(opening, &from->section, CONFIG_LISTENER_listen, new, r, &why);
	if (served && listener_is_at(&served->listener, &new->endpoint))
		return 0;
	keep_free_port(opening, HANDED_LISTENER, from->section.name, from->listen, &new->endpoint);
	return open_sockets(opening, new, &from->section, CONFIG_LISTENER_listen);
}

/* What the process before listened on is listened on, whatever its address means by now.  0. */
static int keep_sockets(struct opening *opening, enum handed_kind kind, const char *name,
			const char *address, struct new_sockets *new)
{
	handover_duplicate(opening->relay->resumed, kind, name, address, &new->sockets);
	log_error("%s; going on %s", opening->err->text,
		  new->sockets.count ? "with the socket of before" : "without it");
	return 0;
}

static int open_all_sockets(struct opening *opening)
{
	const struct config *config = opening->config;
	int r = find_own_sockets(opening->relay, &opening->own);

	opening->of_feeds = calloc(config->feed_count + 1, sizeof(*opening->of_feeds));
	opening->of_listeners = calloc(config->listener_count + 1, sizeof(*opening->of_listeners));
	if (r < 0 || !opening->of_feeds || !opening->of_listeners) {
		errmsg_set(opening->err, "out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; r == 0 && i < config->feed_count; i++) {
		const struct config_feed *from = &config->feeds[i];

		r = open_feed_sockets(opening, i);
		if (r < 0 && opening->is_kept)
			r = keep_sockets(opening, HANDED_FEED, from->section.name,
					 from->ingest.text, &opening->of_feeds[i]);
	}
	for (size_t i = 0; r == 0 && i < config->listener_count; i++) {
		const struct config_listener *from = &config->listeners[i];

		r = open_listener_sockets(opening, i);
		if (r < 0 && opening->is_kept)
			r = keep_sockets(opening, HANDED_LISTENER, from->section.name, from->listen,
					 &opening->of_listeners[i]);
	}
	return r;
}

static void close_new(struct new_sockets *list, size_t count)
{
	for (size_t i = 0; list && i < count; i++) {
		bool has_made_file = list[i].sockets.has_made_file;

		listen_sockets_close(&list[i].sockets);
		if (has_made_file)
			endpoint_unlink(&list[i].endpoint);
	}
}

/* ---- feeds and listeners that are new ---- */

/* Can its ingest be opened? */
static int try_source(struct opening *opening, const struct config_feed *from,
		      const struct ingest_params *params)
{
	char way_out[512];
	struct errmsg why;
	int r = ingest_try(params, &why);

	if (r >= 0)
		return 0;
	errmsg_set(opening->err, "feed %s: %s", from->section.name, why.text);
	set_where(opening, &from->section, CONFIG_FEED_ingest,
		  ingest_way_out(params, r, way_out, sizeof(way_out)));
	return r;
}

/* A fifo is opened again after each publisher, and every source when its feed is made anew.  Can it
 * be?  The socket of datagrams can, since relay has it. */
static int try_again(struct opening *opening, const struct config_feed *from,
		     const struct served_feed *served)
{
	const struct ingest_params *params = &served->ingest.params;

	if (params->kind == INGEST_FIFO ||
	    (params->kind != INGEST_UDP && !opening_staying_feed(opening, from)))
		return try_source(opening, from, params);
	return 0;
}

static int open_feed(struct opening *opening, const struct config_feed *from)
{
	struct relay *relay = opening->relay;
	struct handed_feed *kept = handover_feed(relay->resumed, from->section.name);
	struct served_feed *served;
	char way_out[512];
	int r = served_feed_new(&relay->service, opening->config, from, kept, &served,
				opening->err);

	if (r < 0)
		return r;
	list_append(&opening->feeds, &served->node);
	/* A start waits for a device whatever is wrong: it may get its rights later. */
	if (relay->config && ingest_may_come_later(&served->ingest.params))
		r = try_source(opening, from, &served->ingest.params);
	if (r < 0)
		return r;
	r = served_feed_open(served, kept, opening->err);
	if (r < 0 && opening->is_kept) {
		log_error("%s; no publisher until the next reload", opening->err->text);
		return 0;
	}
	if (r < 0)
		set_where(opening, &from->section, CONFIG_FEED_ingest,
			  ingest_way_out(&served->ingest.params, r, way_out, sizeof(way_out)));
	return r;
}

/* Opens the feeds that are new, or whose ingest is another one now. */
static int open_new_feeds(struct opening *opening)
{
	const struct relay *relay = opening->relay;
	int r = 0;

	for (size_t i = 0; r == 0 && i < opening->config->feed_count; i++) {
		const struct config_feed *from = &opening->config->feeds[i];
		const struct served_feed *served =
			served_feed_find(&relay->service.feeds, from->section.name);

		if (served && is_same_ingest(old_feed(relay, from->section.name), from))
			r = try_again(opening, from, served);
		else
			r = open_feed(opening, from);
	}
	return r;
}

/* The files that feeds and listeners name, whether they are new or not. */
static int check_files(struct opening *opening)
{
	for (size_t i = 0; i < opening->config->feed_count; i++) {
		const struct config_feed *from = &opening->config->feeds[i];
		struct errmsg why;
		int r = send_file_check(from->send_file, &why);

		if (r < 0) {
			errmsg_set(opening->err, "feed %s: send_file: %s", from->section.name,
				   why.text);
			set_where(opening, &from->section, CONFIG_FEED_send_file, "");
			return r;
		}
	}
	for (size_t i = 0; i < opening->config->listener_count; i++) {
		const struct config_listener *from = &opening->config->listeners[i];
		int r = http_listener_check(from, opening->err);

		if (r < 0) {
			set_where(opening, &from->section, CONFIG_LISTENER_token_file, "");
			return r;
		}
	}
	return 0;
}

static int make_new_listeners(struct opening *opening)
{
	struct relay *relay = opening->relay;

	for (size_t i = 0; i < opening->config->listener_count; i++) {
		const struct config_listener *from = &opening->config->listeners[i];
		struct served_listener *served;
		int r;

		if (served_listener_find(&relay->service.listeners, from->section.name))
			continue;
		r = served_listener_new(&relay->service, from,
					handover_counters(relay->resumed, from->section.name),
					&served, opening->err);
		if (r < 0)
			return r;
		list_append(&opening->listeners, &served->node);
	}
	return 0;
}

static int open_doors(struct opening *opening)
{
	static const size_t options[ADMIN_DOORS] = {
		[ADMIN_TCP] = CONFIG_ADMIN_listen,
		[ADMIN_UNIX] = CONFIG_ADMIN_socket,
		[ADMIN_AGENT] = CONFIG_ADMIN_agent,
	};
	const struct config_section *section = &opening->config->admin.section;
	struct admin_change *change = &opening->admin;
	char way_out[512];
	int r = admin_open_new(&opening->relay->admin, opening->config, &opening->own, change,
			       opening->err);

	if (r < 0 && opening->is_kept) {
		log_error("%s; operators do not come in there", opening->err->text);
		return 0;
	}
	if (r < 0)
		set_where(opening, section, options[change->failed],
			  listen_way_out(&change->endpoint, r, way_out, sizeof(way_out)));
	return r;
}

/* ---- the whole ---- */

int opening_run(struct opening *opening)
{
	/* Where tokens are gone that were there, who is a subscriber stays, and nobody gets in. */
	int r = opening->is_kept ? 0 : check_files(opening);

	if (r == 0)
		r = open_all_sockets(opening);
	if (r == 0)
		r = open_new_feeds(opening);
	if (r == 0)
		r = make_new_listeners(opening);
	if (r == 0)
		r = open_doors(opening);
	return r;
}

/* The files of sockets that stay may have got new rights. */
static void restore_files(struct relay *relay)
{
	struct list_node *node;

	list_for_each (&relay->service.feeds, node) {
		struct ingest *ingest = &served_feed_at(node)->ingest;

		if (ingest->listener.sockets.count > 0)
			listen_restore_file(&ingest->listener.endpoint);
	}
	list_for_each (&relay->service.listeners, node)
		listen_restore_file(&served_listener_at(node)->listener.endpoint);
	for (int kind = 0; kind < ADMIN_DOORS; kind++) {
		if (relay->admin.doors[kind])
			listen_restore_file(&relay->admin.doors[kind]->listener.endpoint);
	}
}

void opening_undo(struct opening *opening)
{
	admin_undo(&opening->admin);
	service_free_all(&opening->feeds, &opening->listeners, CLOSE_REMOVED);
	restore_files(opening->relay);
}

void opening_fini(struct opening *opening)
{
	close_new(opening->of_feeds, opening->config->feed_count);
	close_new(opening->of_listeners, opening->config->listener_count);
	free(opening->own.list);
	free(opening->own.addresses);
	free(opening->of_feeds);
	free(opening->of_listeners);
}
