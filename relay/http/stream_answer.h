// SPDX-License-Identifier: MIT
/*
 * The heads of the answers to requests for streams.
 *
 *	status   fields                           they say
 *	200      Relay-Session, Relay-Sequence    which message comes first; not with a burst
 *	416      Relay-Session, Relay-Oldest,     which messages can be had instead; the oldest as
 *	         Relay-Next                       SESSION-SEQUENCE where it is another session's
 *	200      Content-Length                   come back later: of server-sent events
 *	204                                       there is no more: of server-sent events
 *
 * Only the ring knows whether a message can still be had, and the ring is in a worker.  So a struct
 * stream_answer travels there, and holds no pointer into the request.
 *
 * Pure: writes into a buffer of the caller's.
 */
#pragma once

#include "http/http_response.h"
#include "http/stream_request.h"
#include "http/websocket_handshake.h"

#define STREAM_NTRIP_1_OK   "ICY 200 OK\r\n\r\n"

#define STREAM_ORIGIN_BYTES 256
#define STREAM_TYPE_BYTES   127
#define STREAM_FIELDS_BYTES 1023
#define STREAM_ICY_BYTES    702
#define STREAM_ANSWER_BYTES 7168

/* What the operator says of the streams of a feed. */
struct stream_fields {
	char content_type[STREAM_TYPE_BYTES + 1]; /* where the format has none of its own */
	/* Name, value, name, value, each with its zero byte; an empty name behind the last. */
	char fields[STREAM_FIELDS_BYTES + 2];
};

/* What the client speaks; NTRIP is web/ntrip.h. */
enum stream_dialect {
	STREAM_HTTP,
	STREAM_NTRIP_1,
	STREAM_NTRIP_2,
};

struct stream_answer {
	enum format format;
	enum stream_dialect dialect;
	bool is_head;                          /* without a body */
	char origin[STREAM_ORIGIN_BYTES + 1];  /* whose pages may read it: one, "*", or "" */
	bool allows_credentials;               /* they may bring cookies; not with "*" */
	bool allows_publishers;                /* the listener takes POST and PUT */
	bool may_compress;                     /* the listener does, for clients that take it */
	struct websocket_handshake handshake;  /* checked, with a WebSocket */
	struct stream_fields of_feed;          /* not with a WebSocket */
	char icy_fields[STREAM_ICY_BYTES + 2]; /* of audio: for players, as in of_feed */
};

/* Where a stream begins. */
struct stream_start {
	bool is_known;
	uint32_t session;
	uint64_t sequence;
};

/* Which messages of a stream can be had. */
struct stream_range {
	uint32_t session, oldest_session;
	uint64_t oldest, next;
	uint64_t oldest_ns; /* wall clock, when that one came; 0: there is none */
};

/* Begins an answer: the status line, and the fields that let the origin's pages read it. */
void stream_answer_begin(const struct stream_answer *answer, struct http_response *response,
			 char *buf, size_t size, int status);

/* The head of the stream itself, 200 or 101.  Returns its length, or -errno as http_response_end()
 * does. */
ssize_t stream_answer_head(const struct stream_answer *answer, const struct stream_start *start,
			   char *buf, size_t size) must_check;

/* 416, with the messages that can be had.  Returns as above. */
ssize_t stream_answer_out_of_range(const struct stream_answer *answer,
				   const struct stream_range *range, char *buf,
				   size_t size) must_check;

/* 200, to who asked for server-sent events and is refused for now: an event `refused` with the
 * reason, and when to come back.  An EventSource comes back behind the end of a stream, but never
 * behind any status but 200 (https://html.spec.whatwg.org/#sse-processing-model).  When is chosen
 * at random, so that not all come back at once.  reason: a name of http_refusal.def; text: without
 * quotes.  Returns as above. */
ssize_t stream_answer_come_back(const struct stream_answer *answer, const char *reason,
				const char *text, char *buf, size_t size) must_check;

/* The same, or 503 with Retry-After to who asked for another format. */
ssize_t stream_answer_for_now(const struct stream_answer *answer, const char *reason,
			      const char *text, char *buf, size_t size) must_check;

/* 204, to an EventSource that comes back and has got all that it asked for: behind that status it
 * does not come back (https://html.spec.whatwg.org/#sse-processing-model).  Returns as above. */
ssize_t stream_answer_no_more(const struct stream_answer *answer, char *buf,
			      size_t size) must_check;

/* 204, to OPTIONS: a preflight (https://fetch.spec.whatwg.org/#cors-protocol) or a plain question.
 * Pages of an allowed origin may send any field that they ask for: relay reads only few, and passes
 * the others over.  They may also come from a public network into a private one
 * (https://wicg.github.io/private-network-access/).  Returns as above. */
ssize_t stream_answer_options(const struct stream_answer *answer,
			      const struct http_request *request, char *buf,
			      size_t size) must_check;
