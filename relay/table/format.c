// SPDX-License-Identifier: MIT
/* The table of formats, made from format.def. */
#include "table/format.h"

#include <stddef.h>

#define BYTES  false
#define TEXT   true
#define SILENT false
#define TOLD   true

enum {
	PACKETS,
	MESSAGES,
	FRAMED
};

static const struct format_row rows[] = {
#define FORMAT(id, name, encoder, option, carrier, media, text, unit, gaps, help)                  \
	{name, media, FORMAT_CARRIER_##carrier, text, (unit) == MESSAGES, (unit) == FRAMED, gaps},
#include "table/format.def"
};

const struct format_row *format_row(enum format format)
{
	return &rows[format];
}
