// SPDX-License-Identifier: MIT
/*
 * Answers of the admin server: one request, and the ways to answer it, with the fields that keep
 * browsers from making anything of an answer but what it is.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "admin/admin.h"
#include "base/compiler.h"
#include "http/http_connection.h"

/* One request at one door. */
struct admin_request {
	struct admin *admin;
	struct http_connection *connection;
	const struct http_request *http; /* NULL: it could not be read */
	enum admin_door_kind door;
};

/* Each answers, once.  The body is copied. */
void admin_answer(const struct admin_request *request, int status, const char *content_type,
		  const char *body, size_t body_bytes);

/* With a policy of its own instead of "nothing is loaded from anywhere". */
void admin_answer_page(const struct admin_request *request, const char *policy, const char *body,
		       size_t body_bytes);

/* With what `write` writes. */
void admin_answer_written(const struct admin_request *request, const char *content_type,
			  void (*write)(FILE *to, const struct admin_request *request));

/* One line of text. */
void admin_answer_line(const struct admin_request *request, int status, const char *line);

/* Takes `json` over; NULL says that there was no memory for it. */
void admin_answer_json(const struct admin_request *request, int status, json_t *json);

/* {"error": "..."} */
void admin_answer_error(const struct admin_request *request, int status, const char *fmt, ...)
	printf_like(3, 4);

/* The parameter of the query with this name; `buf` when it is there, else NULL.  What does not fit
 * is as if it were not there. */
const char *admin_parameter(const struct admin_request *request, const char *name, char *buf,
			    size_t size);
