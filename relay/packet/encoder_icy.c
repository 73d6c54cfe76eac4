// SPDX-License-Identifier: MIT
/* The payload, with blocks in it; encoder_icy.h. */
#include "packet/encoder_icy.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "packet/encoder.h"

static_assert(ICY_TITLE_BYTES + sizeof("StreamTitle='';") - 1 <= ICY_BLOCK_BYTES - 1,
	      "a title fits into a block");

void icy_write_block(const char *title, uint8_t out[ICY_BLOCK_BYTES])
{
	memset(out, 0, ICY_BLOCK_BYTES);
	out[0] = (ICY_BLOCK_BYTES - 1) / 16;
	/* The zero byte of the text is one of those that fill the block. */
	(void)snprintf((char *)out + 1, ICY_BLOCK_BYTES - 1, "StreamTitle='%s';", title);
}

const struct encoder encoder_icy = {
	.format = FORMAT_ICY,
	.header = encoder_no_header,
	.interval_bytes = ICY_INTERVAL,
	.block_bytes = ICY_BLOCK_BYTES,
	.write_block = icy_write_block,
};
