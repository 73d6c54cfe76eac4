// SPDX-License-Identifier: MIT
/* Asks relay's admin socket: one HTTP/1.0 request (RFC 1945) a connection, answered whole.
 *
 * No redirects, no chunks, no second request: relay's admin server does none of these for HTTP/1.0,
 * and what does is not relay. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"

#include <stddef.h>
#include <stdint.h>

enum {
	/* Of an answer, head included: room for 100,000 subscribers. */
	ADMIN_ANSWER_MAX_BYTES = 64 << 20,
};

struct admin_answer {
	unsigned status; // of HTTP: 200, 404, ...
	char *body;      // malloc'ed; a zero stands behind it
	size_t body_bytes;
};

/* Asks `where`, a path of a unix socket or http://HOST:PORT, for `target` (a path with its query,
 * encoded) by `method`, GET or POST, and waits for the answer for at most timeout_ms.  0 with
 * *ret_answer to be freed by admin_answer_free(), whatever its status; else nothing to free,
 * `error` says it in one line, and: -ETIMEDOUT, -EINTR (stop_is_requested()), -EPROTO (what answers
 * is not relay), -ENOMEM, or -errno of connect(2), send(2), recv(2). */
must_check int admin_client_ask(const char *where, const char *method, const char *target,
				uint64_t timeout_ms, struct admin_answer *ret_answer,
				struct errmsg *error);

void admin_answer_free(struct admin_answer *answer);

/* Takes a whole answer apart, in place: *ret_body points into bytes.  0, or -EPROTO with the
 * reason; nothing is set then. */
must_check int admin_answer_parse(char *bytes, size_t count, unsigned *ret_status, char **ret_body,
				  size_t *ret_body_bytes, struct errmsg *error);

/* The value of a query parameter, percent-encoded (RFC 3986, 2.1: all but the unreserved), into
 * buf.  0, or -ENAMETOOLONG when it does not fit; buf is then of no use. */
must_check int admin_client_encode(char *buf, size_t size, const char *value);
