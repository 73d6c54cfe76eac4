// SPDX-License-Identifier: MIT
/* Takes of a source with a body. */
#include "intake/body_take.h"

#include <errno.h>

static bool has_length(const struct source_body *body)
{
	return body && body->is_bare && body->left_bytes != SOURCE_ENDLESS;
}

bool body_take_prepare(struct source_body *body, struct source *source)
{
	if (!body)
		return true;
	source->body = body->is_bare ? NULL : body;
	source->max_bytes = has_length(body) ? (size_t)body->left_bytes : 0;
	return body->left_bytes > 0;
}

bool body_take_note(struct source_body *body, const struct source *source, uint64_t taken)
{
	if (has_length(body) && !source->body)
		body->left_bytes -= taken;
	return has_length(body) && body->left_bytes == 0;
}

enum close_reason body_take_reason(const struct source_body *body, int err)
{
	if (err == EBADMSG && body)
		return body->fault;
	if (err)
		return close_reason_from_errno(err);
	return has_length(body) && body->left_bytes ? CLOSE_CUT_BODY : CLOSE_PEER_CLOSED;
}

bool body_end(struct source_body **body_ptr, int fd, enum close_reason reason)
{
	struct source_body *body = *body_ptr;

	*body_ptr = NULL;
	return body && body->functions->end(body, fd, reason);
}
