// SPDX-License-Identifier: MIT
/* The names of what is in the folder of a history: "0000000001.rly" and its index. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What a file holds; they have the same number. */
enum history_kind {
	HISTORY_PACKETS, /* .rly */
	HISTORY_INDEX,   /* .idx */
};

#define HISTORY_NAME_BYTES 32
const char *history_name_print(char buf[HISTORY_NAME_BYTES], uint64_t number,
			       enum history_kind kind);

/* Is it the name of a file of this kind?  Then *ret is its number, which is not 0. */
bool history_name_parse(const char *name, enum history_kind kind, uint64_t *ret);
