// SPDX-License-Identifier: MIT
/*
 * The id of a message that is forwarded (the header field Nats-Msg-Id): SUBJECT:SESSION-SEQUENCE.
 * Pure.
 *
 * A stream keeps one of the messages with one id that come within its duplicate window.  So an
 * origin may publish a message again, and two origins of one publisher may both publish it.  A
 * stream may have many subjects, whose feeds may have the same session: hence the subject.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	FORWARD_ID_BYTES =
		256 + 1 + 10 + 1 + 20 + 1, /* a subject, ':', 32 bits, '-', 64 bits, zero */
};

struct forward_id {
	uint32_t session;
	uint64_t sequence;
};

void forward_id_print(const struct forward_id *id, const char *subject, char ret[FORWARD_ID_BYTES]);

/* False: it is no such id, or of another subject; *ret is as before. */
bool forward_id_parse(const char *text, const char *subject, struct forward_id *ret);

/* Has a message of this subject a place in a stream that takes `pattern`, which may have '*' for
 * one word and '>' for all that follow? */
bool forward_subject_matches(const char *pattern, const char *subject);
