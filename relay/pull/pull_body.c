// SPDX-License-Identifier: MIT
/* Bodies of a known length stand bare, so the kernel can pass them on.  Chunks are taken apart in
 * the memory of who reads them. */
#include "pull/pull_body.h"

#include <errno.h>
#include <stdlib.h>

#include "net/peer_socket.h"
#include "pull/chunk_decoder.h"

struct pull_body {
	struct source_body base;
	struct chunk_decoder chunks;
};

static struct pull_body *body_of(struct source_body *base)
{
	return container_of(base, struct pull_body, base);
}

static ssize_t fail(struct pull_body *body, enum close_reason fault)
{
	body->base.fault = fault;
	body->base.is_ready = true;
	errno = EBADMSG;
	return -1;
}

/* Chunks only; see source_body_functions.read. */
static ssize_t read_chunks(struct source_body *base, int fd, void *bytes, size_t count)
{
	struct pull_body *body = body_of(base);
	ssize_t got;
	size_t found;

	if (base->fault != CLOSE_REASON_COUNT)
		return fail(body, base->fault);
	if (body->chunks.has_ended)
		return 0;
	got = peer_socket_receive(fd, bytes, count, 0);
	if (got <= 0)
		return got < 0 ? got : fail(body, CLOSE_CUT_BODY);
	found = chunk_decode(&body->chunks, bytes, (size_t)got);
	base->is_ready = body->chunks.has_ended;
	if (body->chunks.is_broken && !found)
		return fail(body, CLOSE_BAD_BODY);
	if (body->chunks.is_broken) { /* what came before is good */
		base->fault = CLOSE_BAD_BODY;
		base->is_ready = true;
	}
	errno = EAGAIN;
	return found ? (ssize_t)found : -1;
}

/* Nobody waits for an answer of the client. */
static bool end_body(struct source_body *base, int fd, enum close_reason reason)
{
	(void)fd;
	(void)reason;
	free(body_of(base));
	return false;
}

static const struct source_body_functions functions = {
	.read = read_chunks,
	.end = end_body,
};

int pull_body_new(const struct pull_answer *answer, const struct endpoint_address *peer,
		  struct source_body **ret)
{
	struct pull_body *body = NULL;

	if (answer->kind != PULL_TO_END) {
		body = calloc(1, sizeof(*body));
		if (!body)
			return -ENOMEM;
		body->base = (struct source_body){
			.functions = &functions,
			.is_bare = answer->kind == PULL_LENGTH,
			.left_bytes = answer->kind == PULL_LENGTH ? answer->bytes : SOURCE_ENDLESS,
			.is_ready = answer->kind == PULL_LENGTH && answer->bytes == 0,
			.peer = *peer,
			.fault = CLOSE_REASON_COUNT,
		};
	}
	*ret = body ? &body->base : NULL;
	return 0;
}
