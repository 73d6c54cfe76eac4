// SPDX-License-Identifier: MIT
/* The framings; framing.def is the only list, and says what the columns mean. */
#pragma once

#include <stdbool.h>

enum framing_kind {
#define FRAMING(id, ...) FRAMING_##id,
#include "table/framing.def"
};

/* Not among them, so that a switch has a case for each framing and no other. */
enum {
	FRAMING_COUNT = 0
#define FRAMING(...) +1
#include "table/framing.def"
};

enum {
	TS_PACKET_BYTES = 188, /* every message with FRAMING_TS (ISO/IEC 13818-1, 2.4.3.2) */
};

struct framing_row {
	const char *word;
	unsigned prefix_bytes;
	const char *end; /* may be a zero byte */
	unsigned end_bytes;
	bool has_messages; /* TOLD */
	bool is_text;      /* TEXT */
	bool sees_all;     /* WHOLE */
	bool is_searched;  /* SEARCH */
};

const struct framing_row *framing_row(enum framing_kind kind);
