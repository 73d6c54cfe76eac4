// SPDX-License-Identifier: MIT
/* Walking over a stream and finding where its messages end. */
#include "packet/framing.h"

#include <string.h>

#include "base/compiler.h"

/* What a walk works on. */
struct view {
	const uint8_t *seen;
	size_t visible; /* of bytes */
	size_t bytes;
	size_t ahead; /* that can be seen, also behind bytes */
};

struct framing_params framing_published(const struct framing_params *params)
{
	struct framing_params published = *params;

	if (params->kind == FRAMING_RELAY)
		published.kind = params->inside;
	return published;
}

void framing_scan_init(struct framing_scan *scan, const struct framing_params *params)
{
	*scan = (struct framing_scan){.params = *params};
}

static bool is_whole_ts_packet(const struct framing_scan *scan)
{
	return scan->params.kind == FRAMING_TS && scan->message_bytes == TS_PACKET_BYTES;
}

bool framing_is_between(const struct framing_scan *scan)
{
	return scan->message_bytes == 0 || is_whole_ts_packet(scan);
}

static void end_message(struct framing_scan *scan, struct framing_walk *walk)
{
	scan->message_bytes = 0;
	scan->need_bytes = 0;
	scan->prefix_bytes = 0;
	scan->count = 0;
	scan->last_byte = 0;
	scan->frame = (struct sync_frame){0};
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
	enum framing_kind kind = scan->params.kind;
	bool is_big_endian = kind == FRAMING_U16BE || kind == FRAMING_U32BE;
	uint64_t length = 0;

	for (unsigned i = 0; i < scan->prefix_bytes; i++)
		length = length << 8 | scan->prefix[is_big_endian ? i : scan->prefix_bytes - 1 - i];
	return length;
}

/* The body comes next, of scan->need_bytes.  True when the message has ended. */
static bool begin_body(struct framing_scan *scan, const struct view *view,
		       struct framing_walk *walk)
{
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
	return begin_body(scan, view, walk);
}

/* Takes a byte in front of the body: MSG-LEN SP, no 0 in front (RFC 6587, 3.4.1). */
static enum framing_fault take_count(struct framing_scan *scan, uint8_t byte)
{
	if (byte == ' ' && scan->count) {
		scan->need_bytes = scan->count;
		return FRAMING_OK;
	}
	if (byte < '0' || byte > '9' || (byte == '0' && !scan->count))
		return FRAMING_BAD_COUNT;
	scan->count = scan->count * 10 + (byte - '0');
	return scan->count > scan->params.max_message ? FRAMING_TOO_LONG : FRAMING_OK;
}

static bool walk_counted(struct framing_scan *scan, const struct view *view,
			 struct framing_walk *walk)
{
	while (!scan->need_bytes) {
		if (walk->walked_bytes >= view->visible)
			return false;
		walk->fault = take_count(scan, view->seen[walk->walked_bytes]);
		if (walk->fault != FRAMING_OK)
			return false;
		walk_over(scan, walk, 1);
	}
	return walk_body(scan, view, walk);
}

/* The last byte of what ends the message, among the next `count`; NULL: it does not end there. */
static const uint8_t *find_end(const struct framing_scan *scan, const uint8_t *bytes, size_t count)
{
	const struct framing_row *row = framing_row(scan->params.kind);
	char last = row->end[row->end_bytes - 1];
	const uint8_t *at = memchr(bytes, last, count);

	if (row->end_bytes == 1)
		return at;
	while (at && (at > bytes ? at[-1] : scan->last_byte) != row->end[0])
		at = memchr(at + 1, last, count - (size_t)(at + 1 - bytes));
	return at;
}

static bool walk_line(struct framing_scan *scan, const struct view *view, struct framing_walk *walk)
{
	uint64_t end_before = framing_row(scan->params.kind)->end_bytes - 1;
	size_t left = view->visible - walk->walked_bytes;
	const uint8_t *from, *end;
	size_t step;

	if (!left)
		return false;
	from = view->seen + walk->walked_bytes;
	end = find_end(scan, from, left);
	step = end ? (size_t)(end - from) : left;
	walk_over(scan, walk, step);
	if (scan->message_bytes > scan->params.max_message + end_before) {
		walk->fault = FRAMING_TOO_LONG;
		return false;
	}
	if (!end) {
		scan->last_byte = from[left - 1];
		return false;
	}
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

/* True when a sync byte is next; else that is a fault, or not known yet. */
static bool look_for_sync(const struct view *view, struct framing_walk *walk)
{
	if (walk->walked_bytes >= view->ahead)
		return false;
	if (view->seen[walk->walked_bytes] == TS_SYNC_BYTE)
		return true;
	walk->fault = FRAMING_NO_SYNC;
	return false;
}

/* True when a player may begin with the packet that is next, or that is not known yet. */
static bool may_be_media_start(const struct framing_scan *scan, const struct view *view,
			       const struct framing_walk *walk)
{
	struct ts_video video = scan->ts_video;
	struct ts_head head = {0};

	(void)ts_head_take(&head, view->seen + walk->walked_bytes,
			   view->ahead - walk->walked_bytes);
	return !ts_head_is_complete(&head) || ts_media_start(&head, &video) != MEDIA_START_NONE;
}

/* True when the head of the packet is complete; all of it has to be seen. */
static bool walk_ts_head(struct framing_scan *scan, const struct view *view,
			 struct framing_walk *walk)
{
	if (ts_head_is_complete(&scan->ts_head))
		return true;
	if (walk->walked_bytes < view->visible)
		walk_over(scan, walk,
			  ts_head_take(&scan->ts_head, view->seen + walk->walked_bytes,
				       view->visible - walk->walked_bytes));
	if (!ts_head_is_complete(&scan->ts_head))
		return false;
	scan->media_start = ts_media_start(&scan->ts_head, &scan->ts_video);
	return true;
}

static bool walk_ts(struct framing_scan *scan, const struct view *view, struct framing_walk *walk)
{
	size_t step;

	if (!scan->is_in_sync) {
		walk->fault = FRAMING_NO_SYNC;
		return false;
	}
	if (scan->message_bytes == 0) {
		if (!look_for_sync(view, walk) || walk->walked_bytes >= view->bytes ||
		    (walk->messages && may_be_media_start(scan, view, walk)))
			return false;
	}
	if (!walk_ts_head(scan, view, walk))
		return false;
	step = size_min(TS_PACKET_BYTES - scan->message_bytes, view->bytes - walk->walked_bytes);
	walk_over(scan, walk, step);
	if (!is_whole_ts_packet(scan) || !look_for_sync(view, walk))
		return false;
	if (!walk->messages)
		walk->media_start = scan->media_start;
	scan->ts_head = (struct ts_head){0};
	end_message(scan, walk);
	return true;
}

static const struct sync_form *form_of(enum framing_kind kind)
{
	return kind == FRAMING_RTCM3 ? &rtcm3_form : &beast_form;
}

static bool walk_frame(struct framing_scan *scan, const struct view *view,
		       struct framing_walk *walk)
{
	enum sync_taken result = SYNC_BROKEN;
	size_t taken = 0;

	if (scan->is_in_sync)
		result = form_of(scan->params.kind)
				 ->take(&scan->frame, view->seen + walk->walked_bytes,
					view->visible - walk->walked_bytes, &taken);
	walk_over(scan, walk, taken);
	if (result == SYNC_BROKEN)
		walk->fault = FRAMING_NO_SYNC;
	else if (scan->message_bytes > scan->params.max_message)
		walk->fault = FRAMING_TOO_LONG;
	if (walk->fault != FRAMING_OK || result == SYNC_OPEN)
		return false;
	end_message(scan, walk);
	return true;
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
	case FRAMING_NUL:
	case FRAMING_CR:
	case FRAMING_CRLF:
		return walk_line(scan, view, walk);
	case FRAMING_FIXED:
		return walk_fixed(scan, view, walk);
	case FRAMING_U16BE:
	case FRAMING_U16LE:
	case FRAMING_U32BE:
	case FRAMING_U32LE:
		return walk_prefixed(scan, view, walk);
	case FRAMING_OCTET_COUNTED:
		return walk_counted(scan, view, walk);
	case FRAMING_TS:
		return walk_ts(scan, view, walk);
	case FRAMING_RTCM3:
	case FRAMING_BEAST:
		return walk_frame(scan, view, walk);
	case FRAMING_RELAY:
		break;
	}
	return false;
}

static bool may_go_on(const struct framing_scan *scan, const struct view *view,
		      const struct framing_walk *walk)
{
	return walk->messages < FRAMING_MESSAGES_MAX &&
	       (walk->walked_bytes < view->bytes || is_whole_ts_packet(scan));
}

void framing_walk(struct framing_scan *scan, const uint8_t *seen, size_t visible, size_t bytes,
		  struct framing_walk *ret)
{
	const struct view view = {
		.seen = seen,
		.visible = size_min(visible, bytes),
		.bytes = bytes,
		.ahead = visible,
	};
	struct framing_scan before = *scan; /* as it was at the end of the last whole message */

	*ret = (struct framing_walk){0};
	while (may_go_on(scan, &view, ret) && walk_message(scan, &view, ret))
		before = *scan;
	if (ret->fault != FRAMING_OK && ret->messages) {
		*scan = before; /* first what is whole; the next walk meets the fault again */
		ret->walked_bytes = ret->whole_bytes;
		ret->fault = FRAMING_OK;
	}
}

bool framing_is_out_of_sync(const struct framing_scan *scan)
{
	return framing_row(scan->params.kind)->is_searched && !scan->is_in_sync;
}

size_t framing_find_sync(struct framing_scan *scan, const uint8_t *bytes, size_t count,
			 enum framing_fault *ret_fault)
{
	size_t passed;

	*ret_fault = FRAMING_OK;
	if (scan->params.kind != FRAMING_TS)
		return sync_frame_find(form_of(scan->params.kind), bytes, count, &scan->is_in_sync);
	switch (ts_find_packets(bytes, count, &passed)) {
	case TS_FOUND_NONE:
		break;
	case TS_FOUND_188:
		scan->is_in_sync = true;
		break;
	case TS_FOUND_192:
		*ret_fault = FRAMING_TS_192;
		break;
	case TS_FOUND_204:
		*ret_fault = FRAMING_TS_204;
		break;
	}
	return passed;
}

bool framing_finish(struct framing_scan *scan, bool has_ended)
{
	bool is_last_line = has_ended && scan->params.ends_with_source && scan->message_bytes;

	if (!is_whole_ts_packet(scan) && !is_last_line)
		return false;
	scan->message_bytes = 0;
	scan->last_byte = 0;
	scan->ts_head = (struct ts_head){0};
	return true;
}

size_t framing_message_bytes(const struct framing_params *params, const uint8_t *bytes,
			     size_t count)
{
	const struct view view = {.seen = bytes, .visible = count, .bytes = count, .ahead = count};
	struct framing_scan scan;
	struct framing_walk walk = {0};

	if (params->kind == FRAMING_TS)
		return size_min(TS_PACKET_BYTES, count);
	framing_scan_init(&scan, params);
	scan.is_in_sync = true;
	return walk_message(&scan, &view, &walk) ? walk.whole_bytes : count;
}

size_t framing_body(enum framing_kind kind, const uint8_t *message, size_t count, size_t *ret_at)
{
	const struct framing_row *row = framing_row(kind);
	const uint8_t *end = message + count;
	size_t at = row->prefix_bytes <= count ? row->prefix_bytes : 0;

	if (kind == FRAMING_OCTET_COUNTED) {
		const uint8_t *blank = memchr(message, ' ', count);

		at = blank ? (size_t)(blank + 1 - message) : 0;
	}
	*ret_at = at;
	if (!row->end_bytes || count < row->end_bytes ||
	    memcmp(end - row->end_bytes, row->end, row->end_bytes) != 0)
		return count - at;
	count -= row->end_bytes;
	if (kind == FRAMING_LINE && count && message[count - 1] == '\r')
		count--;
	return count - at;
}
