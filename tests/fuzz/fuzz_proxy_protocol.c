// SPDX-License-Identifier: MIT
/*
 * PROXY headers: whole, cut in one place, and in small pieces.
 */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	fuzz_every_way(PARSE_RIG_PROXY, bytes, count);
	return 0;
}
