// SPDX-License-Identifier: MIT
/*
 * What a client wants of an http listener: which feed, in which format, from where on.  Read this
 * header first in http/.
 *
 *	GET /FEED                                    a stream of chunks; to HTTP/1.0 until it closes
 *	GET /FEED with Accept: text/event-stream     events; for other types see format.def
 *	GET /FEED with Upgrade: websocket            WebSocket
 *	GET /FEED+FEED...                            events or WebSocket, of several feeds
 *	GET /FEED?format=framed                      the framed format; on a WebSocket a message
 *	                                             is a packet of it
 *
 *	?burst=64k or 5s     begin so much in the past
 *	?burst=keyframe      begin at the newest key frame; of a feed with framing = ts only
 *	?from=SEQ            begin with this message; 0: with the oldest there is
 *	?from=SESSION-SEQ    the same, if the session still is that one
 *	?since=2026-11-28T09:30:00Z or -15m    begin with what came at that time (UTC) or later
 *	?until=...           end with what came at that time at the latest
 *	Last-Event-ID: SESSION-SEQ    begin with the one after it; ?lastEventId= the same, for
 *	                     clients that cannot send the field
 *	Icy-MetaData: 1      titles in a stream of audio, as players know them
 *	Accept-Encoding: gzip                                compressed, if the listener does that
 *	Sec-WebSocket-Extensions: permessage-deflate         the same of a WebSocket
 *	?text=1              WebSocket: text messages instead of binary ones
 *	?messages=packet|message    WebSocket: what one message of it is
 *	?publish=1           WebSocket: its messages are published
 *
 * Below it are the parts of HTTP, which know nothing of feeds:
 *
 *   http_connection.h, http_server.c         one request on each socket, within a time limit
 *   http_request.h, http_target.h,
 *   http_fields.h, http_text.h               the head of a request, taken apart
 *   http_response.h                          the head of an answer
 *   websocket_handshake.h, ..._codec.h       WebSocket
 *   token_list.h                             tokens that are known
 *
 * and above it stream_answer.h, which answers, and websocket_input.h, which reads what a WebSocket
 * client sends.
 *
 * Pure: reads the request at a time that it is given, and decides nothing.  Whether there is such a
 * feed, and whether it can be had in that format, is left to others.
 */
#pragma once

#include "http/http_request.h"
#include "table/format.h"

#define STREAM_FEED_BYTES 255 /* of the names of several feeds, with plus signs between them */

/* A WebSocket cannot have an Authorization field in a browser; so it may offer this and the token
 * as subprotocol, beside the one that is agreed to. */
#define STREAM_TOKEN_PROTOCOL "relay.bearer."
#define STREAM_PROTOCOL       "relay"

struct stream_request {
	char feed[STREAM_FEED_BYTES + 1]; /* or several; "" for "/" */
	bool is_long;                     /* the path is longer than that */
	enum format format; /* of a WebSocket the plainest one; the next two say which of them */
	bool wants_framed;  /* its query says so; `format` is right then, of a WebSocket too */
	bool wants_icy;     /* titles in it; `format` is that without them */
	bool takes_gzip;
	const char *deflate; /* what to answer to a WebSocket that takes it; NULL: it does not */
	bool wants_text;
	bool has_messages, per_message; /* whether it says so, and what */
	bool has_burst;
	uint64_t burst_bytes, burst_ms;
	bool burst_key_frame;
	bool has_from;
	bool may_miss;         /* an event stream that comes back: what is gone is told as a gap */
	uint32_t from_session; /* 0: not said */
	uint64_t from_seq;     /* with may_miss, 0: not known */
	uint64_t since_ns, until_ns; /* wall clock; 0: not said */
	uint64_t now_ns;             /* wall clock: when it was read */
	bool publishes;              /* by a WebSocket; other methods than GET do so anyway */
	struct http_text origin;     /* in the head; NULL without one */
};

/* Reads a whole request; now_ns: wall clock.  Returns NULL, or what is wrong with it, as a static
 * text. */
const char *stream_request_read(const struct http_request *request, uint64_t now_ns,
				struct stream_request *ret) must_check;
