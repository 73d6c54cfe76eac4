// SPDX-License-Identifier: MIT
/* The reasons for which a subscriber or a publisher ends; close_reason.def is the only list. */
#pragma once

enum close_reason {
#define REASON(id, name, text) CLOSE_##id,
#include "table/close_reason.def"
	CLOSE_REASON_COUNT
};

/* The stable word, as in counters and log lines; never NULL. */
const char *close_reason_name(enum close_reason reason);

/* The sentence for a person; never NULL. */
const char *close_reason_text(enum close_reason reason);

/* The reason that belongs to an errno of a socket call. */
enum close_reason close_reason_from_errno(int err);
