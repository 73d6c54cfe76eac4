// SPDX-License-Identifier: MIT
/* Heads are short and made on the stack; head and body are put together once, to be sent. */
#include "admin/admin_answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http_response.h"

enum {
	HEAD_BYTES = 1024,
	NAME_BYTES = 64,
};

static void send_answer(const struct admin_request *request, int status, const char *content_type,
			const char *policy, const char *body, size_t body_bytes)
{
	bool is_head = request->http && request->http->method == HTTP_HEAD;
	size_t sent_bytes = is_head ? 0 : body_bytes;
	char *bytes = malloc(HEAD_BYTES + sent_bytes);
	struct http_response response;
	ssize_t head_bytes = -1;

	if (bytes) {
		http_response_begin(&response, bytes, HEAD_BYTES, status);
		http_response_field(&response, "Content-Type", content_type);
		http_response_field_number(&response, "Content-Length", body_bytes);
		http_response_field(&response, "Cache-Control", "no-store");
		http_response_field(&response, "X-Content-Type-Options", "nosniff");
		http_response_field(&response, "Content-Security-Policy", policy);
		http_response_field(&response, "Referrer-Policy", "no-referrer");
		http_response_field(&response, "Cross-Origin-Resource-Policy", "same-origin");
		if (status == 405)
			http_response_field(&response, "Allow",
					    request->door == ADMIN_UNIX ? "GET, HEAD, POST"
									: "GET, HEAD");
		http_response_field(&response, "Connection", "close");
		head_bytes = http_response_end(&response);
	}
	if (head_bytes < 0) {
		http_connection_drop(request->connection);
	} else {
		memcpy(bytes + head_bytes, body, sent_bytes);
		http_connection_answer(request->connection, (const uint8_t *)bytes,
				       (size_t)head_bytes + sent_bytes);
	}
	free(bytes);
}

void admin_answer(const struct admin_request *request, int status, const char *content_type,
		  const char *body, size_t body_bytes)
{
	send_answer(request, status, content_type, "default-src 'none'; frame-ancestors 'none'",
		    body, body_bytes);
}

void admin_answer_page(const struct admin_request *request, const char *policy, const char *body,
		       size_t body_bytes)
{
	send_answer(request, 200, "text/html; charset=utf-8", policy, body, body_bytes);
}

void admin_answer_written(const struct admin_request *request, const char *content_type,
			  void (*write)(FILE *to, const struct admin_request *request))
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	if (to) {
		write(to, request);
		if (fclose(to) != 0)
			bytes = 0;
	}
	if (bytes)
		admin_answer(request, 200, content_type, text, bytes);
	else
		admin_answer_error(request, 500, "out of memory");
	free(text);
}

void admin_answer_line(const struct admin_request *request, int status, const char *line)
{
	char body[256];

	snprintf(body, sizeof(body), "%s\n", line);
	admin_answer(request, status, "text/plain; charset=utf-8", body, strlen(body));
}

void admin_answer_json(const struct admin_request *request, int status, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (text)
		admin_answer(request, status, "application/json", text, strlen(text));
	else
		admin_answer_line(request, 500, "out of memory");
	free(text);
}

void admin_answer_error(const struct admin_request *request, int status, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	admin_answer_json(request, status, json_pack("{s:s}", "error", text));
}

const char *admin_parameter(const struct admin_request *request, const char *name, char *buf,
			    size_t size)
{
	struct http_text rest = request->http->target.query;
	char found[NAME_BYTES];
	int r;

	while ((r = http_target_parameter(&rest, found, sizeof(found), buf, size))) {
		if (r > 0 && strcmp(found, name) == 0)
			return buf;
	}
	return NULL;
}
