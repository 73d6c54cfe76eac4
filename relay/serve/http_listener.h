// SPDX-License-Identifier: MIT
/*
 * What a listener with format = http has beside others: the clients that are at their requests, a
 * path for each feed, and who may ask.
 *
 * All of it is the control thread's.  A path offers each format that the feed can have.  With a
 * burst, what most ask for has a past from the start: chunks, binary WebSocket messages, and events
 * of lines.
 */
#pragma once

#include "base/errmsg.h"
#include "continuity/kept_struct.h"
#include "fanout/subscriber.h"
#include "feed/crossing_member.h"
#include "http/http_connection.h"
#include "http/stream_answer.h"
#include "http/stream_request.h"
#include "http/token_list.h"
#include "net/listener.h"
#include "serve/admission.h"
#include "serve/served_feed.h"

enum http_refusal {
#define REFUSAL(id, ...) HTTP_REFUSED_##id,
#include "table/http_refusal.def"
	HTTP_REFUSAL_COUNT
};

/* The stable word, as in counters and log lines. */
const char *http_refusal_name(enum http_refusal refusal);

/* A feed as it is served under its name. */
struct http_path {
	struct list_node node;
	struct served_feed *feed;
	struct subscriber_params params;
	struct stream_fields fields;
	enum framing_kind framing;
	bool has_messages; /* it is known where they end */
	bool is_auto;      /* on_slow: skip where a gap can be told, else disconnect */
	bool is_several;   /* several feeds on one connection: see struct http_several */
	struct format_offer offers[FORMAT_COUNT];
};

/* Several feeds on one connection. */
struct http_several {
	struct http_path path; /* what they are together; its feed is that of the combination */
	struct served_feed *feeds[MEMBERS_MAX]; /* in the order of their names */
	size_t count;                           /* 0: it is one feed only */
	struct errmsg wrong;                    /* why they cannot be had */
};

struct http_listener {
	struct admission *admission; /* the listener's */
	const struct listener *listener;
	struct http_server server;
	char feed[CONFIG_NAME_BYTES + 1]; /* that it serves, or "all" */
	struct list paths;                /* struct http_path */
	bool asks_token; /* also when the tokens could not be read: then nobody has one */
	struct token_list tokens;
	unsigned methods;             /* that it always serves */
	bool publishes;               /* feeds with ingest = http are published to here */
	struct token_list publishers; /* tokens of those who may */
	struct access proxies;
	bool reads_forwarded; /* they tell the address in fields of the request */
	char *origins;        /* owned */
	char *hosts;          /* owned; as the option has it */
	bool gaps, per_message;
	bool compresses;                      /* for clients that take it */
	uint64_t max_combinations;            /* that are made for it, at once */
	uint64_t refused[HTTP_REFUSAL_COUNT]; /* but HEADS; see http_listener_refused() */
};

/* What it leaves to the next process beside its socket and its subscribers: what it has counted.  A
 * client that is still at its request is closed, and asks again. */
struct handed_http {
#define KEPT_DEF "serve/http_kept.def"
#include "continuity/kept_members.def"
	struct http_server_counters counters;
	uint64_t refused[HTTP_REFUSAL_COUNT];
};

extern const struct kept_table http_kept_table;
extern const struct kept_names kept_http_counters, kept_http_refusals;

void http_listener_capture(const struct http_listener *http, struct handed_http *ret);

/* The same, but for the name. */
void http_listener_note(const struct http_listener *http, struct handed_http *ret);

/* Written to, or read from. */
void handed_http_transfer(struct state_stream *stream, struct handed_http *handed);

/* It counts on. */
void http_listener_restore(struct http_listener *http, const struct handed_http *handed);

/* How often it has refused for this. */
uint64_t http_listener_refused(const struct http_listener *http, enum http_refusal refusal);

/* Can what it needs be had?  To be asked before a configuration is applied.  0 or -errno with a
 * message. */
int http_listener_check(const struct config_listener *from, struct errmsg *err);

/* `answers`: the methods and the functions of its server.  `admission` and `listener` must outlive
 * it. NULL: no memory. */
struct http_listener *http_listener_new(struct admission *admission,
					const struct listener *listener,
					const struct http_server_params *answers,
					const struct config_listener *from);

/* Serves what `from` says, of the feeds that the service has now.  -ENOMEM: it is of no use any
 * more. */
int http_listener_change(struct http_listener *http, const struct config *config,
			 const struct config_listener *from);

/* May it be asked by this name (the Host field)? */
bool http_listener_knows_host(const struct http_listener *http, struct http_text host);

/* Finds out who asks, where a trusted proxy says it in the request.  NULL, or what is wrong with
 * that, as a static text. */
const char *http_listener_find_peer(const struct http_listener *http,
				    struct http_connection *connection,
				    const struct http_request *request);

/* Gives up the feed's formats, before it goes. */
void http_listener_detach(struct http_listener *http, const struct served_feed *feed);

/* Are they all text? */
static inline bool http_path_is_text(const struct http_path *path)
{
	return framing_row(path->framing)->is_text;
}

/* Does it have corrections for GNSS receivers? */
static inline bool http_path_is_rtcm3(const struct http_path *path)
{
	return path->framing == FRAMING_RTCM3;
}

/* NULL: there is no such feed here. */
struct http_path *http_listener_find(const struct http_listener *http, const char *name);

/* The feeds of a path such as a+b, in whichever order.  HTTP_REFUSAL_COUNT; or why they cannot be
 * had, with a line in ret->wrong.  Then ret->count is 0. */
enum http_refusal http_listener_find_several(const struct http_listener *http, const char *names,
					     struct http_several *ret);

/* Can several feeds be had in this format?  Each message has to say of which feed it is, and gaps
 * must be told. */
bool http_several_can_have(enum format format);

/* Can these feeds be had here on one connection, in this format? */
bool http_listener_offers_several(const struct http_listener *http,
				  struct served_feed *const feeds[], size_t count,
				  enum format format);

/* The format of the path that a request gets; of a WebSocket also by the parameters of the request.
 */
enum format http_path_format(const struct http_listener *http, const struct http_path *path,
			     const struct stream_request *wanted, enum stream_dialect dialect);

/* Of the formats of WebSocket that are not framed or compressed the one with these properties;
 * FORMAT_COUNT: there is none. */
enum format http_websocket_format(bool is_text, bool per_message, bool tells_gaps);

/* Closes clients that are at their requests; subscribers go with their formats.  Clears the
 * pointer. */
void http_listener_free(struct http_listener **http);
