// SPDX-License-Identifier: MIT
/*
 * CRC-32C (Castagnoli; RFC 3720, 12.1, and RFC 9260, appendix A): by the instruction of the
 * processor where it has one, else by a table.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`, which is 0 at first: of two pieces, one behind the other, it is that of
 * both. */
uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t count);

/* By the table, for tests. */
uint32_t crc32c_by_table(uint32_t crc, const uint8_t *bytes, size_t count);
