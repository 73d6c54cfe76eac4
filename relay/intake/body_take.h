// SPDX-License-Identifier: MIT
/*
 * Taking from a source that has a body (intake/source.h): when it goes through the body's
 * functions, when bare, and when it is over.  `body` may be NULL: there is none.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "intake/source.h"

/* Prepares the next take.  False: nothing more is to be taken, the stream has ended as it
 * should. */
bool body_take_prepare(struct source_body *body, struct source *source) must_check;

/* So many bytes have been taken since.  True: that was all. */
bool body_take_note(struct source_body *body, const struct source *source,
		    uint64_t taken) must_check;

/* Why the source has ended, after the end or the error of a take. */
enum close_reason body_take_reason(const struct source_body *body, int err);

/* Can be read without waiting for the connection? */
static inline bool body_is_ready(const struct source_body *body)
{
	return body && body->is_ready;
}

/* That the connection can still give.  0: some are there that it has given already. */
static inline uint64_t body_left_bytes(const struct source_body *body)
{
	if (body_is_ready(body))
		return 0;
	return body ? body->left_bytes : SOURCE_ENDLESS;
}

/* Is what comes from now on a stream like any other, until the connection ends? */
static inline bool body_is_plain(const struct source_body *body)
{
	return !body || (body->is_bare && body->left_bytes == SOURCE_ENDLESS);
}

/* Tells the publisher and frees the body; clears the pointer.  True: it has been told, and fd need
 * not be reset. */
bool body_end(struct source_body **body, int fd, enum close_reason reason);
