// SPDX-License-Identifier: MIT
/*
 * What a listener with format = http leaves to the next process beside its socket and its
 * subscribers: what it has counted.  A client that is still at its request is closed, and asks again.
 */
#pragma once

#include "continuity/kept_struct.h"
#include "feed/feed_state.h"
#include "serve/http_listener.h"

struct served_listener;
struct service;

struct handed_http {
#define KEPT_DEF "serve/http_kept.def"
#include "continuity/kept_members.def"
	struct http_server_counters counters;
	uint64_t refused[HTTP_REFUSAL_COUNT];
};

extern const struct kept_table http_kept_table;

/* Describes the listener. */
void handover_http_take(const struct served_listener *served, struct handed_http *ret);

/* Written to, or read from. */
void handover_http_transfer(struct state_stream *stream, struct handed_http *handed);

/* It counts on, if there is such a listener. */
void handover_http_resume(const struct service *service, const struct handed_http *handed);
