// SPDX-License-Identifier: MIT
/* Places are tried in the order of the stream, each by the bytes behind it alone. */
#include "packet/sync_frame.h"

#include <string.h>

/* Is there a frame here, and where it has to be, the beginning of the next one? */
static enum sync_taken try_place(const struct sync_form *form, const uint8_t *bytes, size_t count)
{
	struct sync_frame frame = {0}, next = {0};
	size_t taken, next_taken;
	enum sync_taken result = form->take(&frame, bytes, count, &taken);

	if (result != SYNC_WHOLE || !form->next_bytes)
		return result;
	if (count - taken > form->next_bytes)
		count = taken + form->next_bytes;
	result = form->take(&next, bytes + taken, count - taken, &next_taken);
	if (result == SYNC_BROKEN)
		return SYNC_BROKEN;
	return next.seen < form->next_bytes ? SYNC_OPEN : SYNC_WHOLE;
}

size_t sync_frame_find(const struct sync_form *form, const uint8_t *bytes, size_t count,
		       bool *ret_found)
{
	size_t at = 0;

	*ret_found = false;
	while (at < count) {
		const uint8_t *first = memchr(bytes + at, form->first, count - at);
		enum sync_taken result;

		if (!first)
			return count;
		at = (size_t)(first - bytes);
		result = try_place(form, first, count - at);
		*ret_found = result == SYNC_WHOLE;
		if (result != SYNC_BROKEN)
			return at;
		at++;
	}
	return count;
}
