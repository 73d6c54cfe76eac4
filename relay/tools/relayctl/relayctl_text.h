// SPDX-License-Identifier: MIT
/* Values as relayctl shows them to a person, and foreign text made harmless for a terminal.  Bytes
 * and rates are in base/num.h and tools/shared/progress.h.
 *
 * All write into the caller's buffer, cut what does not fit, terminate, and return the buffer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	TEXT_BYTES = 256, // enough for every function but text_escape(), which it cuts
};

/* Printable ASCII as it is, a backslash doubled, every other byte as \xHH: names and reasons come
 * from configurations and peers, and could hold what a terminal obeys.  What does not fit ends in
 * "...". */
const char *text_escape(char *buf, size_t size, const char *text);

/* "1,234,567" */
const char *text_count(char *buf, size_t size, uint64_t count);

/* "850 us", "12.3 ms", "4.21 s", "4m 05s", "3h 12m", "5d 04h": two or three digits that matter. */
const char *text_duration_us(char *buf, size_t size, uint64_t us);
