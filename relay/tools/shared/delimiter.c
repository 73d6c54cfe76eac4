// SPDX-License-Identifier: MIT
/* The table of delimiters, and the scanner that finds message ends in bytes that come in any
 * pieces.  A prefix may be cut anywhere; a body is never copied. */
#include "tools/shared/delimiter.h"

#include "base/packet_header.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

struct delimiter_row {
	const char *name;
	uint8_t head_bytes;
	uint8_t tail_bytes;
	size_t max_body;
};

static const struct delimiter_row rows[] = {
	[DELIMITER_NONE] = {"none", 0, 0, SIZE_MAX},
	[DELIMITER_LINE] = {"line", 0, 1, SIZE_MAX},
	[DELIMITER_U16BE] = {"u16be", 2, 0, UINT16_MAX},
	[DELIMITER_U16LE] = {"u16le", 2, 0, UINT16_MAX},
	[DELIMITER_U32BE] = {"u32be", 4, 0, UINT32_MAX},
	[DELIMITER_U32LE] = {"u32le", 4, 0, UINT32_MAX},
	[DELIMITER_RELAY] = {"relay", PACKET_HEADER_BYTES, 0, UINT32_MAX},
};

int delimiter_parse(const char *name, enum delimiter *ret_kind)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].name, name) == 0) {
			*ret_kind = (enum delimiter)i;
			return 0;
		}
	}
	return -EINVAL;
}

size_t delimiter_head_bytes(enum delimiter kind)
{
	return rows[kind].head_bytes;
}

size_t delimiter_tail_bytes(enum delimiter kind)
{
	return rows[kind].tail_bytes;
}

size_t delimiter_max_body(enum delimiter kind)
{
	return rows[kind].max_body;
}

void delimiter_put_head(enum delimiter kind, size_t size, uint8_t *out)
{
	uint16_t u16 = (uint16_t)size;
	uint32_t u32 = (uint32_t)size;

	switch (kind) {
	case DELIMITER_U16BE:
		u16 = htobe16(u16);
		memcpy(out, &u16, sizeof u16);
		return;
	case DELIMITER_U16LE:
		u16 = htole16(u16);
		memcpy(out, &u16, sizeof u16);
		return;
	case DELIMITER_U32BE:
		u32 = htobe32(u32);
		memcpy(out, &u32, sizeof u32);
		return;
	case DELIMITER_U32LE:
		u32 = htole32(u32);
		memcpy(out, &u32, sizeof u32);
		return;
	case DELIMITER_NONE:
	case DELIMITER_LINE:
	case DELIMITER_RELAY:
		return;
	}
}

void delimiter_put_tail(enum delimiter kind, uint8_t *out)
{
	if (kind == DELIMITER_LINE)
		*out = '\n';
}

static uint64_t read_prefix(enum delimiter kind, const uint8_t *prefix)
{
	bool big = kind == DELIMITER_U16BE || kind == DELIMITER_U32BE;
	size_t size = rows[kind].head_bytes;
	uint64_t length = 0;

	for (size_t i = 0; i < size; i++)
		length = length << 8 | prefix[big ? i : size - 1 - i];
	return length;
}

static size_t scan_line(struct delimiter_scan *scan, const uint8_t *bytes, size_t size,
			struct delimiter_piece *ret_piece)
{
	const uint8_t *end = memchr(bytes, '\n', size);
	size_t body_bytes = end ? (size_t)(end - bytes) : size;

	scan->in_line = end == NULL;
	*ret_piece = (struct delimiter_piece){bytes, body_bytes, end != NULL};
	return body_bytes + (end ? 1 : 0);
}

static size_t scan_prefixed(struct delimiter_scan *scan, const uint8_t *bytes, size_t size,
			    struct delimiter_piece *ret_piece)
{
	size_t head_bytes = rows[scan->kind].head_bytes;

	if (scan->body_left == 0) {
		size_t part = size_min(head_bytes - scan->prefix_bytes, size);

		memcpy(scan->prefix + scan->prefix_bytes, bytes, part);
		scan->prefix_bytes = (uint8_t)(scan->prefix_bytes + part);
		*ret_piece = (struct delimiter_piece){bytes + part, 0, false};
		if (scan->prefix_bytes == head_bytes) {
			scan->prefix_bytes = 0;
			scan->body_left = read_prefix(scan->kind, scan->prefix);
			ret_piece->ends = scan->body_left == 0;
		}
		return part;
	}
	size = (size_t)u64_min(size, scan->body_left);
	scan->body_left -= size;
	*ret_piece = (struct delimiter_piece){bytes, size, scan->body_left == 0};
	return size;
}

size_t delimiter_scan_next(struct delimiter_scan *scan, const uint8_t *bytes, size_t size,
			   struct delimiter_piece *ret_piece)
{
	switch (scan->kind) {
	case DELIMITER_LINE:
		return scan_line(scan, bytes, size, ret_piece);
	case DELIMITER_U16BE:
	case DELIMITER_U16LE:
	case DELIMITER_U32BE:
	case DELIMITER_U32LE:
		return scan_prefixed(scan, bytes, size, ret_piece);
	case DELIMITER_NONE:
	case DELIMITER_RELAY:
		break;
	}
	*ret_piece = (struct delimiter_piece){bytes, size, false};
	return size;
}

bool delimiter_scan_is_between(const struct delimiter_scan *scan)
{
	return !scan->in_line && scan->body_left == 0 && scan->prefix_bytes == 0;
}
