// SPDX-License-Identifier: MIT
/* The formats; format.def is the only list, and says what the columns mean. */
#pragma once

#include <stdbool.h>

enum format {
#define FORMAT(id, ...) FORMAT_##id,
#include "table/format.def"
	FORMAT_COUNT
};

/* How a listener with format = http sends a format. */
enum format_carrier {
	FORMAT_CARRIER_PLAIN,
	FORMAT_CARRIER_CHUNKED,
	FORMAT_CARRIER_ICY,
	FORMAT_CARRIER_WEBSOCKET,
};

/* How a format is compressed. */
enum format_coding {
	FORMAT_CODING_IDENTITY, /* not at all */
	FORMAT_CODING_GZIP,
	FORMAT_CODING_DEFLATE,
};

struct format_row {
	const char *name;  /* never NULL */
	const char *media; /* "text/event-stream"; NULL: the media type of the feed */
	enum format_carrier carrier;
	enum format_coding coding;
	bool is_text;     /* TEXT     */
	bool per_message; /* MESSAGES */
	bool is_framed;   /* FRAMED   */
	bool tells_gaps;  /* TOLD     */
};

const struct format_row *format_row(enum format format);

/* The format that differs by its coding only; where there is none, the format itself. */
enum format format_coded(enum format format, enum format_coding coding);

/* Server-sent events. */
static inline bool format_is_events(enum format format)
{
	return format == FORMAT_EVENTS || format == FORMAT_EVENTS_GZIP ||
	       format == FORMAT_EVENTS_PLAIN;
}
