// SPDX-License-Identifier: MIT
/* Notes in one piece of memory, which is as long as what waits in it. */
#include "fanout/notes.h"

#include <stdlib.h>
#include <string.h>

bool notes_add(struct notes *notes, const uint8_t *bytes, size_t count, size_t max)
{
	uint8_t *grown;

	if (count == 0)
		return true;
	if (notes->count + count > max)
		return false;
	grown = realloc(notes->bytes, notes->count + count);
	if (!grown)
		return false;
	memcpy(grown + notes->count, bytes, count);
	notes->bytes = grown;
	notes->count = (uint16_t)(notes->count + count);
	return true;
}

void notes_advance(struct notes *notes, size_t sent)
{
	notes->sent = (uint16_t)(notes->sent + sent);
	if (notes->sent == notes->count)
		notes_free(notes);
}

void notes_free(struct notes *notes)
{
	free(notes->bytes);
	*notes = (struct notes){.bytes = NULL};
}
