// SPDX-License-Identifier: MIT
/* The table of framings, made from framing.def. */
#include "table/framing.h"

#define UNTOLD false
#define TOLD   true
#define BYTES  false
#define TEXT   true

static const struct framing_row rows[] = {
#define FRAMING(id, word, prefix, ends, text) {prefix, ends, text},
#include "table/framing.def"
};

const struct framing_row *framing_row(enum framing_kind kind)
{
	return &rows[kind];
}
