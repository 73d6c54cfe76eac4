// SPDX-License-Identifier: MIT
/*
 * Writing the head of an HTTP response into a buffer of the caller's.
 *
 *	http_response_begin(&response, buf, sizeof(buf), 503);
 *	http_response_field(&response, "Retry-After", "5");
 *	length = http_response_end_text(&response, "the feed is full", is_head);
 *
 * What is wrong on the way (no room, a byte that would break out of its line) is kept and told at
 * the end, so nothing half made is ever sent.  The status line always says HTTP/1.1, our own
 * version (RFC 9110, 2.5).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

struct http_response {
	/* private */
	char *buf;
	size_t size;
	size_t length;
	int wrong; /* 0 or -errno */
};

/* The status line, and the time (Date; RFC 9110, 6.6.1).  The status must be one of those that
 * http_status_text() knows. */
void http_response_begin(struct http_response *response, char *buf, size_t size, int status);

/* One field.  The name must be a token, the value without control characters but HTAB. */
void http_response_field(struct http_response *response, const char *name, const char *value);
void http_response_field_number(struct http_response *response, const char *name, uint64_t value);

/* The empty line.  Returns the bytes of the head; -ENOSPC; or -EINVAL for a status, name or value
 * that may not be sent.  Nothing is terminated. */
ssize_t http_response_end(struct http_response *response) must_check;

/* Ends with a body of one line: Content-Type, Content-Length, Connection: close, Cache-Control:
 * no-store and X-Content-Type-Options are added, then `line` and a LF; after HEAD only the fields.
 * The line must be UTF-8 without control characters.  Returns as above, with the body. */
ssize_t http_response_end_text(struct http_response *response, const char *line,
			       bool is_head) must_check;

/* "Not Found"; NULL for a status that relay does not send. */
const char *http_status_text(int status);
