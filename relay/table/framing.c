// SPDX-License-Identifier: MIT
/* The table of framings, made from framing.def. */
#include "table/framing.h"

#define UNTOLD false
#define TOLD   true
#define BYTES  false
#define TEXT   true
#define HEADS  false
#define WHOLE  true
#define NEVER  false
#define SEARCH true

static const struct framing_row rows[] = {
#define FRAMING(id, word, prefix, end, ends, text, look, search)                                   \
	{word, prefix, end, sizeof(end) - 1, ends, text, look, search},
#include "table/framing.def"
};

const struct framing_row *framing_row(enum framing_kind kind)
{
	return &rows[kind];
}
