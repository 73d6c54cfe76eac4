// SPDX-License-Identifier: MIT
/* Walking over a stream and finding where its messages end. */
#include "packet/framing.h"

#include <string.h>

#include "base/compiler.h"

/* What a walk works on. */
struct view {
	const uint8_t *seen;
	size_t visible;
	size_t bytes;
};

void framing_scan_init(struct framing_scan *scan, const struct framing_params *params)
{
	*scan = (struct framing_scan){.params = *params};
}

bool framing_is_between(const struct framing_scan *scan)
{
	return scan->message_bytes == 0;
}

static void end_message(struct framing_scan *scan, struct framing_walk *walk)
{
	scan->message_bytes = 0;
	scan->need_bytes = 0;
	scan->prefix_bytes = 0;
	walk->whole_bytes = walk->walked_bytes;
	walk->messages++;
}

static void walk_over(struct framing_scan *scan, struct framing_walk *walk, size_t bytes)
{
	scan->message_bytes += bytes;
	walk->walked_bytes += bytes;
}

/* Goes on in a message of known length.  True when it ends here. */
static bool walk_body(struct framing_scan *scan, const struct view *view, struct framing_walk *walk)
{
	size_t step = (size_t)u64_min(scan->need_bytes, view->bytes - walk->walked_bytes);

	walk_over(scan, walk, step);
	scan->need_bytes -= step;
	if (scan->need_bytes)
		return false;
	end_message(scan, walk);
	return true;
}

static uint64_t body_length(const struct framing_scan *scan)
{
	const uint8_t *p = scan->prefix;

	switch (scan->params.kind) {
	case FRAMING_U16BE:
		return (uint64_t)p[0] << 8 | p[1];
	case FRAMING_U16LE:
		return (uint64_t)p[1] << 8 | p[0];
	case FRAMING_U32BE:
		return (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
	case FRAMING_U32LE:
		return (uint64_t)p[3] << 24 | (uint64_t)p[2] << 16 | (uint64_t)p[1] << 8 | p[0];
	case FRAMING_NONE:
	case FRAMING_LINE:
	case FRAMING_FIXED:
	case FRAMING_RELAY:
		break;
	}
	return 0;
}

/* One message, or the part of it that is there.  True when it has ended. */
static bool walk_prefixed(struct framing_scan *scan, const struct view *view,
			  struct framing_walk *walk)
{
	unsigned length = framing_row(scan->params.kind)->prefix_bytes;

	if (scan->need_bytes)
		return walk_body(scan, view, walk);
	while (scan->prefix_bytes < length) {
		if (walk->walked_bytes >= view->visible) /* the prefix is behind what can be seen */
			return false;
		scan->prefix[scan->prefix_bytes++] = view->seen[walk->walked_bytes];
		walk_over(scan, walk, 1);
	}
	scan->need_bytes = body_length(scan);
	if (scan->need_bytes > scan->params.max_message) {
		walk->fault = FRAMING_TOO_LONG;
		return false;
	}
	if (scan->need_bytes == 0) {
		end_message(scan, walk);
		return true;
	}
	return walk_body(scan, view, walk);
}

static bool walk_line(struct framing_scan *scan, const struct view *view, struct framing_walk *walk)
{
	size_t left = view->visible - walk->walked_bytes;
	const uint8_t *from, *end;
	size_t step;

	if (!left)
		return false;
	from = view->seen + walk->walked_bytes;
	end = memchr(from, '\n', left);
	step = end ? (size_t)(end - from) : left;
	walk_over(scan, walk, step);
	if (scan->message_bytes > scan->params.max_message) {
		walk->fault = FRAMING_TOO_LONG;
		return false;
	}
	if (!end)
		return false;
	walk_over(scan, walk, 1);
	end_message(scan, walk);
	return true;
}

static bool walk_fixed(struct framing_scan *scan, const struct view *view,
		       struct framing_walk *walk)
{
	if (scan->message_bytes == 0)
		scan->need_bytes = scan->params.fixed_bytes;
	return walk_body(scan, view, walk);
}

static bool walk_message(struct framing_scan *scan, const struct view *view,
			 struct framing_walk *walk)
{
	switch (scan->params.kind) {
	case FRAMING_NONE:
		walk_over(scan, walk, view->bytes);
		end_message(scan, walk);
		return true;
	case FRAMING_LINE:
		return walk_line(scan, view, walk);
	case FRAMING_FIXED:
		return walk_fixed(scan, view, walk);
	case FRAMING_U16BE:
	case FRAMING_U16LE:
	case FRAMING_U32BE:
	case FRAMING_U32LE:
		return walk_prefixed(scan, view, walk);
	case FRAMING_RELAY:
		break;
	}
	return false;
}

void framing_walk(struct framing_scan *scan, const uint8_t *seen, size_t visible, size_t bytes,
		  struct framing_walk *ret)
{
	const struct view view = {.seen = seen, .visible = visible, .bytes = bytes};
	struct framing_scan before = *scan; /* as it was at the end of the last whole message */

	*ret = (struct framing_walk){0};
	while (ret->walked_bytes < bytes && ret->messages < FRAMING_MESSAGES_MAX &&
	       walk_message(scan, &view, ret))
		before = *scan;
	if (ret->fault != FRAMING_OK && ret->messages) {
		*scan = before; /* first what is whole; the next walk meets the fault again */
		ret->walked_bytes = ret->whole_bytes;
		ret->fault = FRAMING_OK;
	}
}

size_t framing_message_bytes(const struct framing_params *params, const uint8_t *bytes,
			     size_t count)
{
	const struct view view = {.seen = bytes, .visible = count, .bytes = count};
	struct framing_scan scan;
	struct framing_walk walk = {0};

	framing_scan_init(&scan, params);
	return walk_message(&scan, &view, &walk) ? walk.whole_bytes : count;
}
