// SPDX-License-Identifier: MIT
/*
 * What a listener with format = http leaves to the next process beside its socket and its
 * subscribers: clients that are at their requests, and counters.
 *
 * A client that has sent half a request sends the other half to the next process.
 */
#pragma once

#include "base/state_stream.h"
#include "feed/feed_state.h"
#include "serve/http_listener.h"

struct served_listener;
struct service;

struct handed_http {
	char listener[STATE_NAME_BYTES];
	struct http_server_counters counters;
	uint64_t refused[HTTP_REFUSAL_COUNT];
	struct http_connection_state *clients; /* owned; the descriptors the listener's, or read */
	size_t client_count;
};

/* Describes the listener, which must not go on until the state is freed.  0 or -ENOMEM. */
must_check int handover_http_take(const struct served_listener *served, struct handed_http *ret);

/* Written to, or read from. */
void handover_http_transfer(struct state_stream *stream, struct handed_http *handed);

/* Its clients and counters go on, when all who have subscribed have their quotas.  Clients of a
 * listener that is gone are left for handover_http_close(). */
void handover_http_resume(const struct service *service, struct handed_http *handed);

/* Closes the clients that nobody has taken, after reading.  Idempotent. */
void handover_http_close(struct handed_http *handed);

void handover_http_free(struct handed_http *handed);
