// SPDX-License-Identifier: MIT
/*
 * "Did you mean": the known word that is nearest to a mistyped one.
 */
#pragma once

#include <stddef.h>

struct nearest {
	const char *word; /* what was typed */
	const char *best; /* a candidate that is near enough, or NULL */
	size_t distance;  /* of best */
};

/* Start looking; `word` must live as long as `nearest`. */
void nearest_start(struct nearest *nearest, const char *word);

/* Offer a known word, which must live as long; the nearest so far stays in nearest->best. Words of
 * more than 64 bytes are near to nothing. */
void nearest_offer(struct nearest *nearest, const char *candidate);
