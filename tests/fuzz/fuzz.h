// SPDX-License-Identifier: MIT
/*
 * What the fuzz targets share.  A target has no state; where it cuts its input follows from the
 * input, so that a finding can be run again from its file alone.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "tests/unit/parse_rig.h"

// What libFuzzer calls.
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

// Stops the run with this line when `holds` is false.
void fuzz_expect(int holds, const char *what);

// A number that hangs on all bytes (FNV-1a).
uint32_t fuzz_hash(const uint8_t *bytes, size_t count);

// Runs the parser in three ways, which must give the same; the rig checks the rest.
void fuzz_every_way(enum parse_rig_kind kind, const uint8_t *bytes, size_t count);

#endif
