// SPDX-License-Identifier: MIT
/*
 * Who becomes a subscriber by HTTP: each request is answered, or its socket goes to a worker.
 *
 * Refusals have a status, a line for the client, a named reason (http_refusal.def) and a counter,
 * and are logged at most once a second for each listener.
 */
#pragma once

#include "http/http_connection.h"

/* For http_server_params, with a struct http_listener. */
void http_admit(void *listener, struct http_connection *connection,
		const struct http_request *request, const uint8_t *body, size_t body_bytes);
void http_admit_error(void *listener, struct http_connection *connection, int status,
		      const char *reason);
void http_admit_turned_away(void *listener, const struct endpoint_address *peer);
