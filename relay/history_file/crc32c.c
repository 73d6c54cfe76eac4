// SPDX-License-Identifier: MIT
/* The polynomial is reflected: 0x82f63b78. */
#include "history_file/crc32c.h"

#include <string.h>

/* Of each value of four bits; a byte takes two of them. */
static const uint32_t of_nibble[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_by_table(uint32_t crc, const uint8_t *bytes, size_t count)
{
	crc = ~crc;
	while (count--) {
		crc ^= *bytes++;
		crc = crc >> 4 ^ of_nibble[crc & 15];
		crc = crc >> 4 ^ of_nibble[crc & 15];
	}
	return ~crc;
}

#if defined(__x86_64__)

/* CRC32 of SSE4.2 (Intel SDM, volume 2A). */
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *bytes,
								 size_t count)
{
	uint64_t sum = ~crc;

	for (; count >= 8; count -= 8, bytes += 8) {
		uint64_t word;

		memcpy(&word, bytes, sizeof(word));
		sum = __builtin_ia32_crc32di(sum, word);
	}
	while (count--)
		sum = __builtin_ia32_crc32qi((uint32_t)sum, *bytes++);
	return ~(uint32_t)sum;
}

uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t count)
{
	return __builtin_cpu_supports("sse4.2") ? by_instruction(crc, bytes, count)
						: crc32c_by_table(crc, bytes, count);
}

#else

uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t count)
{
	return crc32c_by_table(crc, bytes, count);
}

#endif
