// SPDX-License-Identifier: MIT
/*
 * A history file and its index, whatever bytes they have: the first two bytes of the input say how
 * many are the index's.  What is recovered must be packets that follow one another, and recovering
 * it again must change nothing.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "history/history_recover.h"
#include "history_file/history_scan.h"

static int file_of(const uint8_t *bytes, size_t count)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	fuzz_expect(fd >= 0 && write(fd, bytes, count) == (ssize_t)count, "a file in memory");
	return fd;
}

/* All of it is packets, up to the end that was found. */
static void check_packets(int fd, const struct history_entry *end)
{
	struct packet_header header;
	struct history_scan scan;
	uint64_t offset;
	int r;

	history_scan_init(&scan, fd, 0, end->offset);
	while ((r = history_scan_next(&scan, &header, &offset)) > 0)
		fuzz_expect(header.session == end->session, "one session");
	fuzz_expect(r == 0 && scan.offset == end->offset, "packets up to the end");
	fuzz_expect(scan.next_seq == end->sequence, "the sequence behind them");
}

/* Any search ends within the index. */
static void check_index(int index_fd, uint32_t key)
{
	struct history_index index;

	if (history_index_map(&index, index_fd, UINT64_MAX) < 0)
		return;
	if (index.count) {
		fuzz_expect(history_index_find_sequence(&index, key) < index.count, "in the index");
		fuzz_expect(history_index_find_time(&index, key) < index.count, "in the index");
	}
	history_index_unmap(&index);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	struct history_recovered first, again;
	size_t index_bytes;
	int fd, index_fd;

	if (count < 3)
		return 0;
	index_bytes = ((size_t)bytes[0] << 8 | bytes[1]) % (count - 2);
	index_fd = file_of(bytes + 2, index_bytes);
	fd = file_of(bytes + 2 + index_bytes, count - 2 - index_bytes);
	check_index(index_fd, fuzz_hash(bytes, count));
	if (history_recover(fd, index_fd, bytes[0] & 1, &first) == 0) {
		check_packets(fd, &first.end);
		fuzz_expect(history_seal(fd, index_fd, first.entry_count, &first.end) == 0, "seal");
		fuzz_expect(history_check_sealed(fd, index_fd, &again) == 0, "sealed");
		fuzz_expect(again.end.offset == first.end.offset, "the same end");
		fuzz_expect(ftruncate(index_fd, 0) == 0, "no index");
		fuzz_expect(history_recover(fd, index_fd, true, &again) == 0, "recovered again");
		fuzz_expect(again.end.offset == first.end.offset && again.cut_bytes == 0,
			    "nothing changed");
	}
	(void)close(fd);
	(void)close(index_fd);
	return 0;
}
