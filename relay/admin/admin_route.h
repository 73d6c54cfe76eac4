// SPDX-License-Identifier: MIT
/* Which request of the admin server is answered by what; see the table in admin_route.c. */
#pragma once

#include "http/http_connection.h"

/* For http_server_params; `owner` is the struct admin. */
void admin_route_tcp(void *owner, struct http_connection *connection,
		     const struct http_request *request, const uint8_t *body, size_t body_bytes);
void admin_route_unix(void *owner, struct http_connection *connection,
		      const struct http_request *request, const uint8_t *body, size_t body_bytes);
void admin_route_error(void *owner, struct http_connection *connection, int status,
		       const char *reason);
