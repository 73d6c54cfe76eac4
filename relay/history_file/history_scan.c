// SPDX-License-Identifier: MIT
/* Walking over headers: they are read in windows, so many small packets cost one call. */
#include "history_file/history_scan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "history_file/crc32c.h"

void history_scan_init(struct history_scan *scan, int fd, uint64_t offset, uint64_t end)
{
	*scan = (struct history_scan){.fd = fd, .offset = offset, .end = end};
}

int history_scan_read(int fd, uint64_t offset, uint8_t *bytes, size_t count)
{
	while (count) {
		ssize_t n = TEMP_FAILURE_RETRY(pread(fd, bytes, count, (off_t)offset));

		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		bytes += n;
		offset += (uint64_t)n;
		count -= (size_t)n;
	}
	return 0;
}

/* The header at scan->offset, which is PACKET_HEADER_BYTES before the end at least. */
static int look(struct history_scan *scan, const uint8_t **ret)
{
	uint64_t skip = scan->offset - scan->window_offset;

	if (skip + PACKET_HEADER_BYTES > scan->window_bytes) {
		size_t wanted = (size_t)u64_min(sizeof(scan->window), scan->end - scan->offset);
		int r;

		scan->window_bytes = 0;
		r = history_scan_read(scan->fd, scan->offset, scan->window, wanted);
		if (r < 0)
			return r;
		scan->window_offset = scan->offset;
		scan->window_bytes = wanted;
		skip = 0;
	}
	*ret = scan->window + skip;
	return 0;
}

/* Is it what comes behind the packets so far? */
static bool goes_on(const struct history_scan *scan, const struct packet_header *header)
{
	return !scan->has_begun ||
	       (header->session == scan->session && header->sequence == scan->next_seq);
}

int history_scan_next(struct history_scan *scan, struct packet_header *ret, uint64_t *ret_offset)
{
	uint64_t left = scan->end - scan->offset;
	struct packet_header header;
	const uint8_t *bytes;
	int r;

	if (left < PACKET_HEADER_BYTES)
		return 0;
	r = look(scan, &bytes);
	if (r < 0)
		return r;
	if (packet_header_decode(bytes, &header) < 0 || !goes_on(scan, &header) ||
	    header.length > left - PACKET_HEADER_BYTES)
		return 0;
	*ret = header;
	*ret_offset = scan->offset;
	scan->has_begun = true;
	scan->session = header.session;
	scan->next_seq = packet_header_next_seq(&header);
	if (header.type == PACKET_DATA || header.type == PACKET_GAP)
		scan->is_message_open = header.flags & PACKET_FLAG_CONTINUED;
	scan->offset += PACKET_HEADER_BYTES + header.length;
	return 1;
}

int history_scan_crc(int fd, uint64_t from, uint64_t to, uint32_t *ret)
{
	uint8_t bytes[16384];
	uint32_t crc = 0;

	while (from < to) {
		size_t count = (size_t)u64_min(sizeof(bytes), to - from);
		int r = history_scan_read(fd, from, bytes, count);

		if (r < 0)
			return r;
		crc = crc32c(crc, bytes, count);
		from += count;
	}
	*ret = crc;
	return 0;
}
