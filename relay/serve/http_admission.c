// SPDX-License-Identifier: MIT
/*
 * Admission by HTTP, in the control thread.
 *
 * The order of the questions: who may ask at all (address, origin, token), then what is asked for,
 * then whether there is room.  Whoever may not ask does not learn what there is.  Publishers have
 * tokens of their own.
 */
#include "serve/http_admission.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "config/origin.h"
#include "http/http_host.h"
#include "http/websocket_input.h"
#include "net/peer_socket.h"
#include "serve/admission.h"
#include "serve/arrival.h"
#include "serve/combination.h"
#include "serve/http_asking.h"
#include "serve/http_listener.h"
#include "serve/service.h"
#include "web/icy.h"
#include "web/ntrip.h"
#include "web/publisher_arrival.h"
#include "web/request_token.h"
#include "web/safe_text.h"

/* ---- who may ask ---- */

static bool is_address_allowed(struct asking *asking)
{
	const struct admission *admission = asking->http->admission;
	int r = endpoint_address_ip(http_connection_peer(asking->connection), &asking->address);

	asking->has_address = r == 0;
	if (r == 0)
		return access_is_allowed(&admission->access, &asking->address);
	return r == -EAFNOSUPPORT || access_is_open(&admission->access);
}

static bool is_host_known(const struct asking *asking)
{
	return http_connection_is_proxied(asking->connection) ||
	       http_listener_knows_host(asking->http, asking->request->host);
}

static void refuse_host(struct asking *asking)
{
	struct http_text name = http_host_name(asking->request->host);
	char told[SAFE_TEXT_BYTES], line[2 * SAFE_TEXT_BYTES];

	(void)snprintf(line, sizeof(line),
		       "this name is not known here; hosts = %s in [listener %s] would let it in",
		       safe_text_print(told, name), asking->http->admission->listener);
	asking_refuse_with(asking, HTTP_REFUSED_HOST, 403, line);
}

/* Programs send no Origin; pages of the server's own address need no leave.  To publish, a page's
 * origin must be named.  What the answer says of origins is found out on the way. */
static bool is_origin_allowed(struct asking *asking)
{
	const struct http_listener *http = asking->http;
	const struct http_text text = asking->wanted.origin;
	const struct http_text host = asking->request->host;
	struct origin origin;
	bool is_any = origins_is_any(http->origins);

	if (!text.at)
		return true;
	if (is_any && !asking->publishes) {
		memcpy(asking->answer.origin, "*", 2);
		return true;
	}
	if (text.length > STREAM_ORIGIN_BYTES || !origin_parse(text.at, text.length, &origin))
		return false;
	if (!is_any && origins_have(http->origins, &origin)) {
		memcpy(asking->answer.origin, text.at, text.length);
		asking->answer.allows_credentials = !origin_is_null(&origin);
		return true;
	}
	return origin_is_of_host(&origin, host.at, host.length);
}

/* A page of any site can have <audio> or <img> ask this machine for a stream, which takes a place
 * and tells that relay is there.  No Origin comes with that.  Behind a public name, players in
 * pages of other sites are usual. */
static bool is_from_page_of_other_site(const struct asking *asking)
{
	return !asking->wanted.origin.at && !origins_is_any(asking->http->origins) &&
	       !http_connection_is_proxied(asking->connection) &&
	       http_host_is_loopback(asking->request->host) &&
	       http_host_is_cross_site(&asking->request->fields);
}

static void refuse_page_of_other_site(struct asking *asking)
{
	char line[192];

	(void)snprintf(line, sizeof(line),
		       "a page of another site asks; origins = * in [listener %s] would let it in",
		       asking->http->admission->listener);
	asking_refuse_with(asking, HTTP_REFUSED_ORIGIN, 403, line);
}

/* HTTP_REFUSAL_COUNT: it has what it needs.  A page of any site can have a cookie sent. */
static enum http_refusal refusal_of_token(const struct asking *asking)
{
	const struct http_listener *http = asking->http;
	int r;

	if (!asking->publishes && !http->asks_token)
		return HTTP_REFUSAL_COUNT;
	if (asking->publishes && asking->token.is_cookie)
		return HTTP_REFUSED_TOKEN;
	r = request_token_is_in(&asking->token,
				asking->publishes ? &http->publishers : &http->tokens);
	return r < 0 ? HTTP_REFUSED_NO_MEMORY : r == 0 ? HTTP_REFUSED_TOKEN : HTTP_REFUSAL_COUNT;
}

/* ---- what is asked for ---- */

/* HTTP_REFUSAL_COUNT: the feed can be had in this format, from where it is wanted. */
static enum http_refusal refusal_of_wish(const struct asking *asking, enum format format)
{
	const struct stream_request *wanted = &asking->wanted;
	const struct http_path *path = asking->path;
	const struct format_row *row = format_row(format);

	if (asking->http->admission->delay_ms && (wanted->burst_bytes || wanted->burst_key_frame))
		return HTTP_REFUSED_BURST;
	if (wanted->burst_key_frame && path->framing != FRAMING_TS)
		return HTTP_REFUSED_NO_KEY_FRAMES;
	if (row->is_text && !http_path_is_text(path))
		return HTTP_REFUSED_NO_TEXT;
	if (!row->per_message || path->has_messages)
		return HTTP_REFUSAL_COUNT;
	return format_is_events(format) ? HTTP_REFUSED_NOT_ACCEPTABLE : HTTP_REFUSED_NO_MESSAGES;
}

/* A client that offers subprotocols goes away unless one of them is agreed to. */
static bool agrees_on_websocket(struct asking *asking)
{
	static const char *const protocols[] = {STREAM_PROTOCOL};
	struct websocket_handshake *handshake = &asking->answer.handshake;

	if (format_row(asking->answer.format)->carrier != FORMAT_CARRIER_WEBSOCKET)
		return true;
	websocket_handshake_check(asking->request, handshake);
	handshake->protocol =
		websocket_select_protocol(asking->request, protocols, ARRAY_LEN(protocols));
	if (format_row(asking->answer.format)->coding == FORMAT_CODING_DEFLATE)
		handshake->extension = asking->wanted.deflate;
	return handshake->status == 101;
}

static void refuse_handshake(struct asking *asking)
{
	const struct websocket_handshake *handshake = &asking->answer.handshake;
	char buf[WEBSOCKET_ANSWER_BYTES];

	http_refusal_note(asking->http, http_connection_peer(asking->connection), asking->request,
			  HTTP_REFUSED_HANDSHAKE, handshake->status, handshake->reason);
	asking_send(asking, buf, websocket_handshake_answer(handshake, buf, sizeof(buf)));
}

/* ---- becoming a subscriber ---- */

static void set_params(const struct asking *asking, struct subscriber_params *params)
{
	const struct stream_request *wanted = &asking->wanted;
	bool tells_gaps = format_row(asking->answer.format)->tells_gaps;

	*params = asking->path->params;
	if (asking->path->is_auto)
		params->on_slow = tells_gaps ? ON_SLOW_SKIP : ON_SLOW_DISCONNECT;
	/* The live edge is in the middle of an interval. */
	if (asking->answer.format == FORMAT_ICY && params->on_slow == ON_SLOW_SKIP)
		params->on_slow = ON_SLOW_DISCONNECT;
	if (wanted->has_burst || wanted->has_from || wanted->since_ns) {
		params->burst_bytes = wanted->burst_bytes;
		params->burst_ms = wanted->burst_ms;
		params->burst_key_frame = wanted->burst_key_frame;
	}
	/* A browser that closes a page sends no more than that, and a feed may be silent for long.
	 */
	params->ends_with_fin = true;
	params->has_from = wanted->has_from;
	params->may_miss = wanted->may_miss;
	params->from_session = wanted->from_session;
	params->from_seq = wanted->from_seq;
	params->since_ns = wanted->since_ns ? clock_mono_of_wall(wanted->since_ns) : 0;
	params->until_ns = wanted->until_ns ? clock_mono_of_wall(wanted->until_ns) : 0;
}

/* Can what it wants be in the history?  Not if nobody knows which message comes next. */
static bool may_replay(const struct asking *asking)
{
	const struct stream_request *wanted = &asking->wanted;

	if (!asking->path->feed->recorder || (wanted->may_miss && !wanted->from_seq))
		return false;
	return wanted->has_from || wanted->since_ns || wanted->burst_ms;
}

static void set_range(const struct asking *asking, struct arrival *arrival)
{
	const struct stream_request *wanted = &asking->wanted;
	struct replay_range *range = &arrival->range;

	arrival_set_limits(arrival, asking->http->admission, wanted->now_ns);
	range->until_ns = wanted->until_ns;
	if (!wanted->has_burst && !wanted->has_from && !wanted->since_ns) {
		arrival_set_burst(arrival, asking->path->feed);
		return;
	}
	arrival->may_replay = may_replay(asking);
	range->has_from = wanted->has_from;
	range->session = wanted->from_session;
	range->sequence = wanted->from_seq;
	range->since_ns = wanted->since_ns;
	if (wanted->has_burst)
		range->since_ns = wanted->now_ns - range->delay_ns - wanted->burst_ms * NS_PER_MS;
	range->may_miss = wanted->has_burst;
}

static enum http_refusal take_quota(const struct asking *asking, struct served_format *format,
				    struct quota **ret)
{
	const struct quota_request request = {
		.format = format,
		.address = asking->has_address ? &asking->address : NULL,
		.wants_past = asking->wanted.has_from || asking->wanted.since_ns ||
			      asking->wanted.has_burst,
	};
	const char *whose;
	enum close_reason reason =
		admission_take_quota(asking->http->admission, request, ret, &whose);

	if (reason == CLOSE_REASON_COUNT)
		return HTTP_REFUSAL_COUNT;
	for (int i = 0; i < HTTP_REFUSAL_COUNT; i++) {
		if (refusal_words_of((enum http_refusal)i)->feed == reason)
			return (enum http_refusal)i;
	}
	return HTTP_REFUSED_NO_MEMORY;
}

/* The socket; -1: the peer said more behind its head than it may.  A WebSocket client says nothing
 * before it has the answer (RFC 6455, 4.1). */
static int take_socket(struct asking *asking, struct subscriber_params *params)
{
	uint8_t rest[HTTP_REST_BYTES];
	size_t rest_bytes;
	int fd = http_connection_take_fd(asking->connection, rest, &rest_bytes);

	if (rest_bytes > (params->input ? 0 : params->max_input_bytes)) {
		sockopt_set_reset_on_close(fd);
		peer_socket_close(&fd);
		return -1;
	}
	params->input_bytes = (uint32_t)rest_bytes;
	return fd;
}

/* Without its socket.  NULL: no memory. */
static struct arrival *new_arrival(const struct asking *asking)
{
	struct arrival *arrival = calloc(1, sizeof(*arrival));
	struct subscriber_params *params;

	if (!arrival)
		return NULL;
	params = &arrival->params;
	set_params(asking, params);
	endpoint_pack_peer(http_connection_peer(asking->connection), &params->peer);
	set_range(asking, arrival);
	arrival->fd = -1;
	arrival->has_request = true;
	arrival->answer = asking->answer;
	if (format_row(asking->answer.format)->carrier != FORMAT_CARRIER_WEBSOCKET)
		return arrival;
	params->input_owner = websocket_input_new(params->max_input_bytes,
						  asking->answer.handshake.extension != NULL);
	if (!params->input_owner) {
		arrival_free(arrival);
		return NULL;
	}
	params->input = &websocket_input;
	params->max_input_bytes += WEBSOCKET_INPUT_SLACK;
	return arrival;
}

/* Finds or makes the feed that several feeds are together.  HTTP_REFUSAL_COUNT: it is there. */
static enum http_refusal combine(struct asking *asking)
{
	const struct http_listener *http = asking->http;
	struct http_several *several = &asking->several;
	struct combination *combination;
	int r = combination_get(http->admission->service, http->admission->listener,
				http->max_combinations, several->feeds, several->count,
				&combination);

	if (r < 0)
		return r == -EUSERS ? HTTP_REFUSED_COMBINATIONS : HTTP_REFUSED_NO_MEMORY;
	several->path.feed = combination->feed;
	return HTTP_REFUSAL_COUNT;
}

static void subscribe(struct asking *asking)
{
	struct arrival *arrival = new_arrival(asking);
	struct served_format *format = &asking->path->feed->formats[asking->answer.format];
	enum http_refusal refusal = HTTP_REFUSED_NO_MEMORY;

	if (arrival)
		refusal = take_quota(asking, format, &arrival->quota);
	if (refusal == HTTP_REFUSAL_COUNT && served_format_open(format) < 0) {
		quota_refuse(arrival->quota, CLOSE_REASON_COUNT); /* asking_refuse() counts it */
		refusal = HTTP_REFUSED_NO_MEMORY;
	}
	if (refusal != HTTP_REFUSAL_COUNT) {
		if (arrival)
			arrival_free(arrival);
		asking_refuse(asking, refusal);
		return;
	}
	arrival->format = format;
	arrival->fd = take_socket(asking, &arrival->params);
	if (arrival->fd < 0) {
		quota_refuse(arrival->quota, CLOSE_INPUT);
		arrival_free(arrival);
		return;
	}
	admission_prepare(asking->http->admission, arrival->fd, arrival->quota);
	arrival_post(arrival);
}

/* ---- becoming a publisher ---- */

/* Else it is to be a WebSocket. */
static bool brings_body(const struct asking *asking)
{
	return asking->request->method & HTTP_HAVE_BODY;
}

/* HTTP_REFUSAL_COUNT: it may publish. */
static enum http_refusal refusal_of_publisher(const struct asking *asking)
{
	struct served_feed *feed = asking->path->feed;
	enum close_reason reason;

	if (feed->ingest.params.kind != INGEST_HTTP)
		return HTTP_REFUSED_NOT_PUBLISHED;
	if (brings_body(asking) && asking->request->body == HTTP_BODY_NONE)
		return HTTP_REFUSED_NO_LENGTH;
	reason = served_feed_check_publisher(feed, http_connection_peer(asking->connection));
	if (reason == CLOSE_REASON_COUNT)
		return HTTP_REFUSAL_COUNT;
	return reason == CLOSE_DENIED ? HTTP_REFUSED_NO_PUBLISHER : HTTP_REFUSED_PUBLISHED;
}

static void publish(struct asking *asking)
{
	struct served_feed *feed = asking->path->feed;
	const struct publisher_request from = {
		.connection = asking->connection,
		.request = asking->request,
		.answer = &asking->answer,
		.is_websocket = !brings_body(asking),
		.ends_lines = http_path_is_text(asking->path),
	};

	icy_read_fields(&asking->request->fields, feed->icy_fields);
	if (publisher_arrive(&from, &feed->ingest, &feed->home->inbox) < 0)
		asking_refuse(asking, HTTP_REFUSED_NO_MEMORY);
}

static void set_title(struct asking *asking, const char *title)
{
	struct served_feed *feed = asking->path->feed;
	char buf[STREAM_ANSWER_BYTES];

	workers_set_title(feed->workers, feed->worker_feeds, title);
	asking_send(asking, buf, icy_print_done(buf, sizeof(buf)));
}

static void answer_title(struct asking *asking)
{
	char feed[STREAM_FEED_BYTES + 1], title[ICY_TITLE_BYTES + 1];
	const char *wrong = icy_read_update(asking->request, feed, title);

	asking->path = wrong ? NULL : http_listener_find(asking->http, feed);
	if (wrong)
		asking_refuse_with(asking, HTTP_REFUSED_BAD_REQUEST, 400, wrong);
	else if (!asking->path)
		asking_refuse(asking, HTTP_REFUSED_UNKNOWN_FEED);
	else
		set_title(asking, title);
}

static void answer_publisher(struct asking *asking)
{
	enum http_refusal refusal = refusal_of_publisher(asking);

	asking->answer.format = FORMAT_WEBSOCKET;
	if (refusal != HTTP_REFUSAL_COUNT)
		asking_refuse(asking, refusal);
	else if (!brings_body(asking) && !agrees_on_websocket(asking))
		refuse_handshake(asking);
	else
		publish(asking);
}

/* ---- requests ---- */

static void answer_head(struct asking *asking)
{
	const struct stream_start start = {.is_known = false};
	char buf[STREAM_ANSWER_BYTES];

	asking_send(asking, buf, stream_answer_head(&asking->answer, &start, buf, sizeof(buf)));
}

static void answer_stream(struct asking *asking)
{
	enum http_refusal refusal;

	asking->answer.format = http_path_format(asking->http, asking->path, &asking->wanted,
						 asking->answer.dialect);
	refusal = refusal_of_wish(asking, asking->answer.format);
	asking->answer.of_feed = asking->path->fields;
	if (asking->path->offers[FORMAT_ICY].format && !format_row(asking->answer.format)->media)
		icy_fields_of(asking->path->feed->icy_fields, asking->path->feed->name,
			      asking->answer.icy_fields);
	if (asking->several.count && !http_several_can_have(asking->answer.format))
		asking_refuse_with(asking, HTTP_REFUSED_NOT_ACCEPTABLE, 406,
				   "several feeds come as text/event-stream or by WebSocket");
	else if (refusal != HTTP_REFUSAL_COUNT)
		asking_refuse(asking, refusal);
	else if (!agrees_on_websocket(asking))
		refuse_handshake(asking);
	else if (asking->answer.is_head)
		answer_head(asking);
	else if (asking->several.count && (refusal = combine(asking)) != HTTP_REFUSAL_COUNT)
		asking_refuse(asking, refusal);
	else
		subscribe(asking);
}

/* An old rover finds out in this way that there is no such mount. */
static bool wants_list(const struct asking *asking)
{
	return (!asking->wanted.is_long && !asking->wanted.feed[0]) ||
	       (asking->answer.dialect == STREAM_NTRIP_1 && !asking->publishes);
}

/* Receivers ask for the table without a token, and learn from it which mount needs one.  So what is
 * made for them is told to all. */
static bool is_table_for_all(const struct asking *asking)
{
	struct list_node *node;

	if (asking->answer.dialect == STREAM_HTTP || asking->publishes || asking->wanted.is_long ||
	    asking->wanted.feed[0])
		return false;
	list_for_each (&asking->http->paths, node) {
		if (http_path_is_rtcm3(list_entry(node, struct http_path, node)))
			return true;
	}
	return false;
}

static void answer_request(struct asking *asking, const char *wrong)
{
	const char *wrong_peer =
		http_listener_find_peer(asking->http, asking->connection, asking->request);
	enum http_refusal of_token = HTTP_REFUSAL_COUNT;
	char buf[STREAM_ANSWER_BYTES];

	if (wrong_peer)
		asking_refuse_with(asking, HTTP_REFUSED_BAD_REQUEST, 400, wrong_peer);
	else if (!is_address_allowed(asking))
		asking_refuse(asking, HTTP_REFUSED_DENIED);
	else if (!is_host_known(asking))
		refuse_host(asking);
	else if (!is_origin_allowed(asking))
		asking_refuse(asking, HTTP_REFUSED_ORIGIN);
	else if (is_from_page_of_other_site(asking))
		refuse_page_of_other_site(asking);
	else if (asking->request->method == HTTP_OPTIONS) /* has no token to bring */
		asking_send(
			asking, buf,
			stream_answer_options(&asking->answer, asking->request, buf, sizeof(buf)));
	else if ((of_token = refusal_of_token(asking)) != HTTP_REFUSAL_COUNT &&
		 !is_table_for_all(asking))
		asking_refuse(asking, of_token);
	else if (asking->http->admission->service->is_draining)
		asking_refuse(asking, HTTP_REFUSED_DRAINING);
	else if (wrong)
		asking_refuse_with(asking, HTTP_REFUSED_BAD_REQUEST, 400, wrong);
	else if (asking->sets_title)
		answer_title(asking);
	else if (asking->path && asking->publishes)
		answer_publisher(asking);
	else if (asking->path)
		answer_stream(asking);
	else if (wants_list(asking) && asking->answer.dialect == STREAM_HTTP)
		asking_send_list(asking);
	else if (wants_list(asking))
		asking_send_source_table(asking, of_token == HTTP_REFUSAL_COUNT);
	else if (asking->several.wrong.text[0])
		asking_refuse_with(asking, asking->several_refusal,
				   refusal_words_of(asking->several_refusal)->status,
				   asking->several.wrong.text);
	else
		asking_refuse(asking, HTTP_REFUSED_UNKNOWN_FEED);
}

static void find_path(struct asking *asking)
{
	const char *names = asking->wanted.feed;

	if (asking->wanted.is_long)
		return;
	asking->path = http_listener_find(asking->http, names);
	if (!strchr(names, '+') || asking->publishes || asking->answer.dialect != STREAM_HTTP)
		return;
	asking->several_refusal = http_listener_find_several(asking->http, names, &asking->several);
	if (asking->several_refusal == HTTP_REFUSAL_COUNT)
		asking->path = &asking->several.path;
}

static void answer(void *owner, struct http_connection *connection,
		   const struct http_request *request, const uint8_t *body, size_t body_bytes)
{
	struct asking asking = {.http = owner, .connection = connection, .request = request};
	const char *wrong = stream_request_read(request, clock_wall_ns(), &asking.wanted);

	(void)body;
	(void)body_bytes;
	asking.answer.is_head = request->method == HTTP_HEAD;
	asking.answer.dialect = ntrip_dialect_of(request);
	asking.answer.allows_publishers = asking.http->publishes;
	asking.answer.may_compress = asking.http->compresses;
	asking.sets_title = asking.http->publishes && icy_is_update(request);
	asking.publishes = asking.http->publishes && (request->method & HTTP_HAVE_BODY ||
						      asking.wanted.publishes || asking.sets_title);
	request_token_find(request, &asking.token);
	find_path(&asking);
	answer_request(&asking, wrong);
	request_token_forget(&asking.token);
}

static void answer_error(void *owner, struct http_connection *connection, int status,
			 const char *reason)
{
	http_refusal_note(owner, http_connection_peer(connection), NULL,
			  status == 408 ? HTTP_REFUSED_LATE : HTTP_REFUSED_BAD_REQUEST, status,
			  reason);
	http_connection_answer_line(connection, status, reason);
}

static void note_turned_away(void *owner, const struct endpoint_address *peer)
{
	const struct refusal_words *about = refusal_words_of(HTTP_REFUSED_HEADS);

	http_refusal_note(owner, peer, NULL, HTTP_REFUSED_HEADS, about->status, about->text);
}

const struct http_server_params http_admission = {
	.methods = HTTP_GET | HTTP_HEAD | HTTP_OPTIONS,
	.on_request = answer,
	.on_error = answer_error,
	.on_turned_away = note_turned_away,
};
