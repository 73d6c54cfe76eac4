// SPDX-License-Identifier: MIT
/* Lists of feeds. */
#include "web/feed_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t list_bytes(const char *const *names, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += strlen(names[i]) + sizeof("/\n") - 1;
	return bytes;
}

/* -errno when it has no room. */
static ssize_t print_head(const struct stream_answer *answer, size_t body_bytes, char *buf,
			  size_t size)
{
	struct http_response response;

	stream_answer_begin(answer, &response, buf, size, 200);
	http_response_field(&response, "Content-Type", "text/plain; charset=utf-8");
	http_response_field_number(&response, "Content-Length", body_bytes);
	http_response_field(&response, "Cache-Control", "no-store");
	http_response_field(&response, "X-Content-Type-Options", "nosniff");
	http_response_field(&response, "Connection", "close");
	return http_response_end(&response);
}

char *feed_list_print(const struct stream_answer *answer, const char *const *names, size_t count,
		      size_t *ret_bytes)
{
	size_t body_bytes = list_bytes(names, count);
	size_t size =
		STREAM_ANSWER_BYTES + body_bytes + 1; /* with the zero byte of the last line */
	char *buf = malloc(size);
	ssize_t head_bytes = buf ? print_head(answer, body_bytes, buf, size) : -1;
	size_t at = (size_t)head_bytes;

	if (head_bytes < 0) {
		free(buf);
		return NULL;
	}
	for (size_t i = 0; i < count && !answer->is_head; i++)
		at += (size_t)snprintf(buf + at, size - at, "/%s\n", names[i]);
	*ret_bytes = at;
	return buf;
}
