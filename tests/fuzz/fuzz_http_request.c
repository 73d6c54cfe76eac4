// SPDX-License-Identifier: MIT
/*
 * Request heads, under one of three sets of rules by their length: whole, cut in one place, and in
 * small pieces.
 */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	static const enum parse_rig_kind kinds[] = {PARSE_RIG_SUBSCRIBER, PARSE_RIG_ADMIN,
						    PARSE_RIG_HANDSHAKE};

	fuzz_every_way(kinds[count % 3], bytes, count);
	return 0;
}
