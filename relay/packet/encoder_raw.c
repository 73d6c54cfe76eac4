// SPDX-License-Identifier: MIT
/* The raw format: payload only.  It has no way to tell news, so a reader must not be skipped
 * unnoticed unless the messages delimit themselves. */
#include "packet/encoder.h"

static size_t write_nothing(const struct encoder *encoder, const struct packet *packet,
			    uint8_t *out)
{
	(void)encoder;
	(void)packet;
	(void)out;
	return 0;
}

const struct encoder encoder_raw = {
	.format = FORMAT_RAW,
	.header = write_nothing,
};
