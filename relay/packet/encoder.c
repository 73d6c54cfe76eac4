// SPDX-License-Identifier: MIT
/* Which encoder makes which format. */
#include "packet/encoder.h"

const struct encoder *encoder_of(enum format format)
{
	static const struct encoder *const encoders[] = {
#define FORMAT(id, name, symbol, ...) [FORMAT_##id] = &symbol,
#include "table/format.def"
	};

	return encoders[format];
}
