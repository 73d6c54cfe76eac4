// SPDX-License-Identifier: MIT
/*
 * Writing the head of an HTTP response.
 *
 * Every byte goes through append(), which stops at the first thing that is wrong; names and values
 * are checked before.
 */
#include "http/http_response.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "http/http_text.h"

struct status_text {
	int status;
	const char *text;
};

/* RFC 9110, 15; 429 and 431 from RFC 6585. */
static const struct status_text status_texts[] = {
	{101, "Switching Protocols"},
	{200, "OK"},
	{202, "Accepted"},
	{204, "No Content"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{411, "Length Required"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Range Not Satisfiable"},
	{417, "Expectation Failed"},
	{422, "Unprocessable Content"},
	{426, "Upgrade Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{503, "Service Unavailable"},
	{505, "HTTP Version Not Supported"},
};

const char *http_status_text(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(status_texts); i++) {
		if (status_texts[i].status == status)
			return status_texts[i].text;
	}
	return NULL;
}

static void append(struct http_response *response, const char *text, size_t length)
{
	if (response->wrong)
		return;
	if (length > response->size - response->length) {
		response->wrong = -ENOSPC;
		return;
	}
	memcpy(response->buf + response->length, text, length);
	response->length += length;
}

static void append_text(struct http_response *response, const char *text)
{
	append(response, text, strlen(text));
}

void http_response_begin(struct http_response *response, char *buf, size_t size, int status)
{
	const char *text = http_status_text(status);
	char line[64], date[CLOCK_DATE_BYTES];
	int length;

	*response = (struct http_response){.buf = buf, .size = size};
	if (!text) {
		response->wrong = -EINVAL;
		return;
	}
	length = snprintf(line, sizeof(line), "HTTP/1.1 %d %s\r\n", status, text);
	append(response, line, (size_t)length);
	http_response_field(response, "Date",
			    clock_print_date(date, sizeof(date), clock_wall_ns()));
}

static bool is_value(const char *value)
{
	while (*value && http_is_value_char(*value))
		value++;
	return *value == '\0';
}

void http_response_field(struct http_response *response, const char *name, const char *value)
{
	if (!response->wrong &&
	    (!http_text_is_token((struct http_text){name, strlen(name)}) || !is_value(value)))
		response->wrong = -EINVAL;
	append_text(response, name);
	append_text(response, ": ");
	append_text(response, value);
	append_text(response, "\r\n");
}

void http_response_field_number(struct http_response *response, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	http_response_field(response, name, text);
}

ssize_t http_response_end(struct http_response *response)
{
	append_text(response, "\r\n");
	return response->wrong ? response->wrong : (ssize_t)response->length;
}

ssize_t http_response_end_text(struct http_response *response, const char *line, bool is_head)
{
	size_t length = strlen(line);
	ssize_t head_bytes;

	if (!response->wrong &&
	    (!is_value(line) || strchr(line, '\t') || !utf8_is_valid(line, length)))
		response->wrong = -EINVAL;
	http_response_field(response, "Content-Type", "text/plain; charset=utf-8");
	http_response_field_number(response, "Content-Length", length + 1);
	http_response_field(response, "Cache-Control", "no-store");
	http_response_field(response, "X-Content-Type-Options", "nosniff");
	http_response_field(response, "Connection", "close");
	head_bytes = http_response_end(response);
	if (head_bytes < 0 || is_head)
		return head_bytes;
	append(response, line, length);
	append(response, "\n", 1);
	return response->wrong ? response->wrong : (ssize_t)response->length;
}
