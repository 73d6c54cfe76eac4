// SPDX-License-Identifier: MIT
/* The reasons for which a subscriber or a publisher ends, and what follows from each;
 * close_reason.def is the only list. */
#pragma once

#include <stdbool.h>

enum close_reason {
#define REASON(id, ...) CLOSE_##id,
#include "table/close_reason.def"
	CLOSE_REASON_COUNT
};

/* What a peer sees of the end. */
enum close_kind {
	CLOSE_KIND_PEER,   /* the peer has ended it: nothing                              */
	CLOSE_KIND_INPUT,  /* for what it sent, and its reader has said so: FIN, or a break */
	CLOSE_KIND_CLEAN,  /* the stream is over: FIN behind all of it                    */
	CLOSE_KIND_FORCED, /* it is thrown out: a break                                   */
};

/* One row of close_reason.def, which says what the columns mean. */
struct close_reason_row {
	const char *name; /* never NULL */
	const char *text; /* never NULL */
	enum close_kind kind;
	bool is_usual;
	bool is_slow;
	unsigned websocket_code; /* 0: no close frame */
};

const struct close_reason_row *close_reason_row(enum close_reason reason);

/* The stable word, as in counters and log lines; never NULL. */
const char *close_reason_name(enum close_reason reason);

/* The sentence for a person; never NULL. */
const char *close_reason_text(enum close_reason reason);

/* The reason that belongs to an errno of a socket call. */
enum close_reason close_reason_from_errno(int err);

/* The reason of kind INPUT with this status code; CLOSE_BAD_FRAME where none has it. */
enum close_reason close_reason_from_websocket(unsigned code);
