// SPDX-License-Identifier: MIT
/*
 * Chunks of a publisher's body: whole, cut in one place, and in small pieces.
 */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	fuzz_every_way(PARSE_RIG_CHUNKS, bytes, count);
	return 0;
}
