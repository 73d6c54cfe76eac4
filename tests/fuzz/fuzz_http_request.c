// SPDX-License-Identifier: MIT
/*
 * Request heads: whole, cut in one place, and in small pieces.  A first byte of 0 to 3, with
 * which no request begins, chooses between four sets of rules; without it, the length does.
 */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	static const enum parse_rig_kind kinds[] = {PARSE_RIG_SUBSCRIBER, PARSE_RIG_ADMIN,
						    PARSE_RIG_HANDSHAKE, PARSE_RIG_PUBLISHER};

	if (count > 0 && bytes[0] < 4)
		fuzz_every_way(kinds[bytes[0]], bytes + 1, count - 1);
	else
		fuzz_every_way(kinds[count % 4], bytes, count);
	return 0;
}
