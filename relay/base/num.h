// SPDX-License-Identifier: MIT
/*
 * Sizes, durations and counts as people write them, and back.
 *
 * Parsing takes the whole text or nothing: no blanks, no sign, no fraction, no rest. What a value
 * may be is the business of the caller. All parsers return 0, -EINVAL (not such a value) or -ERANGE
 * (does not fit into 64 bits), and leave *ret alone unless they return 0.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Enough for what any num_print_* function writes. */
#define NUM_PRINT_BYTES 32

/* "512", "64k", "8m", "1g": units of 1024, either case; a bare number is bytes. */
int num_parse_bytes(const char *text, uint64_t *ret_bytes) must_check;

/* "500ms", "10s", "5m", "1h", "1d". A bare number is -EINVAL, since nobody knows its unit; "0" is
 * allowed. */
int num_parse_duration_ms(const char *text, uint64_t *ret_ms) must_check;

/* A size or a duration, of which the other one is then 0.  "5m" is refused (-EINVAL), since it is
 * as likely meant as 5 minutes as 5 MiB. */
int num_parse_bytes_or_duration(const char *text, uint64_t *ret_bytes, uint64_t *ret_ms) must_check;

/* Decimal digits only. */
int num_parse_count(const char *text, uint64_t *ret_count) must_check;

/* The shortest exact form: the parser above reads the same value back. Both return buf, which is
 * always terminated; NUM_PRINT_BYTES is enough. */
const char *num_print_bytes(char *buf, size_t size, uint64_t bytes);
const char *num_print_duration_ms(char *buf, size_t size, uint64_t ms);

/* For eyes only, three digits, decimal units: "1.25 GB/s". Returns buf. */
const char *num_print_rate(char *buf, size_t size, uint64_t bytes_per_s);
