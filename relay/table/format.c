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
#define FORMAT(id, name, encoder, option, carrier, media, text, unit, gaps, coding, help)          \
	{name,                                                                                     \
	 media,                                                                                    \
	 FORMAT_CARRIER_##carrier,                                                                 \
	 FORMAT_CODING_##coding,                                                                   \
	 text,                                                                                     \
	 (unit) == MESSAGES,                                                                       \
	 (unit) == FRAMED,                                                                         \
	 gaps},
#include "table/format.def"
};

const struct format_row *format_row(enum format format)
{
	return &rows[format];
}

enum format format_coded(enum format format, enum format_coding coding)
{
	const struct format_row *own = format_row(format);

	for (int i = 0; i < FORMAT_COUNT; i++) {
		const struct format_row *row = &rows[i];

		if (row->coding == coding && row->carrier == own->carrier &&
		    row->is_text == own->is_text && row->per_message == own->per_message &&
		    row->is_framed == own->is_framed && row->tells_gaps == own->tells_gaps)
			return (enum format)i;
	}
	return format;
}
