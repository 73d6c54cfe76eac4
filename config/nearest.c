// SPDX-License-Identifier: MIT
/*
 * "Did you mean": the known word that is nearest to a mistyped one, by the number of letters to
 * insert, drop, change or swap with their neighbour (optimal string alignment). Near enough is one
 * such step and one more for each four letters.
 */
#include "config/nearest.h"

#include <string.h>

#include "base/compiler.h"

#define WORD_BYTES 64

void nearest_start(struct nearest *nearest, const char *word)
{
	*nearest = (struct nearest){.word = word, .distance = 2 + strlen(word) / 4};
}

/* Both words have WORD_BYTES letters at most. d[i][j]: distance of the first i of a from the first
 * j of b; three rows of it are alive at a time. */
static size_t distance(const char *a, const char *b)
{
	size_t d[3][WORD_BYTES + 1];
	size_t a_bytes = strlen(a), b_bytes = strlen(b);

	for (size_t j = 0; j <= b_bytes; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= a_bytes; i++) {
		size_t *row = d[i % 3];
		const size_t *above = d[(i + 2) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_bytes; j++) {
			row[j] = size_min(above[j], row[j - 1]) + 1;
			row[j] = size_min(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = size_min(row[j], d[(i + 1) % 3][j - 2] + 1);
		}
	}
	return d[a_bytes % 3][b_bytes];
}

void nearest_offer(struct nearest *nearest, const char *candidate)
{
	size_t there;

	if (strlen(nearest->word) > WORD_BYTES || strlen(candidate) > WORD_BYTES)
		return;
	there = distance(nearest->word, candidate);
	if (there >= nearest->distance)
		return;
	nearest->distance = there;
	nearest->best = candidate;
}
