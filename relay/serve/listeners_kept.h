// SPDX-License-Identifier: MIT
/*
 * What a listener with format = http leaves to the next process beside its socket and its
 * subscribers: the formats that are open, clients that are at their requests, and counters.
 *
 * A format that was opened on demand keeps its past, whether somebody reads it just now or not.  A
 * client that has sent half a request sends the other half to the next process.
 */
#pragma once

#include "base/state_stream.h"
#include "feed/feed_state.h"
#include "serve/http_listener.h"

struct served_listener;
struct service;

struct handed_format {
	char feed[STATE_NAME_BYTES];
	char format[STATE_NAME_BYTES];
};

struct handed_http {
	char listener[STATE_NAME_BYTES];
	struct http_server_counters counters;
	uint64_t refused[HTTP_REFUSAL_COUNT];
	struct handed_format *formats; /* owned */
	size_t format_count;
	struct http_connection_state *clients; /* owned; the descriptors the listener's, or read */
	size_t client_count;
};

/* Describes the listener, which must not go on until the state is freed.  0 or -ENOMEM. */
must_check int handover_http_take(const struct served_listener *served, struct handed_http *ret);

/* Only its name and the formats that it has open; it may go on. */
must_check int handover_http_take_formats(const struct served_listener *served,
					  struct handed_http *ret);

/* Written to, or read from: these two alone, or all. */
void handover_http_transfer_formats(struct state_stream *stream, struct handed_http *handed);
void handover_http_transfer(struct state_stream *stream, struct handed_http *handed);

/* Opens the formats again that the configuration still offers: before the feeds are resumed. */
void handover_http_reopen(const struct service *service, const struct handed_http *handed);

/* Its clients and counters go on, when all who have subscribed have their quotas.  Clients of a
 * listener that is gone are left for handover_http_close(). */
void handover_http_resume(const struct service *service, struct handed_http *handed);

/* Closes the clients that nobody has taken, after reading.  Idempotent. */
void handover_http_close(struct handed_http *handed);

void handover_http_free(struct handed_http *handed);
