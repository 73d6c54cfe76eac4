// SPDX-License-Identifier: MIT
/*
 * The token that a request brings, wherever its client can put one.
 *
 *	Authorization: Bearer TOKEN           programs (RFC 6750, 2.1)
 *	Authorization: Basic USER:TOKEN       players, encoders, receivers (RFC 7617); any user
 *	SOURCE TOKEN /MOUNT                   bases that speak NTRIP 1
 *	Sec-WebSocket-Protocol: relay.bearer.TOKEN    WebSockets of browsers
 *	?access_token=TOKEN                   EventSource, <audio> (RFC 6750, 2.3)
 *	Cookie: access_token=TOKEN            the same, of relay's own site
 *
 * The first place that has one counts, even when it is no good there.  A browser sends a cookie for
 * pages of any site, so a cookie is not enough to publish.
 *
 * Pure.  No part of a token may be logged or told.
 */
#pragma once

#include "http/http_request.h"
#include "http/token_list.h"

struct request_token {
	bool is_there; /* ro: one was brought, right or wrong */
	bool is_cookie;
	/* Terminated; empty for one that no list can have: too long, or badly written. */
	char text[TOKEN_BYTES_MAX + 1];
};

/* Wipe *ret with request_token_forget() when it is no longer needed. */
void request_token_find(const struct http_request *request, struct request_token *ret);
void request_token_forget(struct request_token *token);

/* Is it one of the list?  As token_list_has(). */
int request_token_is_in(const struct request_token *token, const struct token_list *list);
