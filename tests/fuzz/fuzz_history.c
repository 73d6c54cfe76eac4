// SPDX-License-Identifier: MIT
/*
 * A history file and its index, whatever bytes they have: the first two bytes of the input say how
 * many are the index's.  What is recovered must be packets that follow one another, and recovering
 * it again must change nothing.  As it comes, it is verified, searched and copied as relayctl does;
 * once it is recovered, it must be as it was written.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "history/history_recover.h"
#include "history_file/history_copy.h"
#include "history_file/history_scan.h"
#include "history_file/history_verify.h"

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

/* What is named as wrong lies within the file, or right behind it. */
static void check_verified(int fd, int index_fd, uint64_t size)
{
	struct history_verified found;
	struct errmsg err;
	int r = history_verify(fd, index_fd, &found, &err);

	fuzz_expect(r == 0 || *err.text, "what is wrong is said");
	fuzz_expect(found.bytes + found.left_bytes <= size, "no more than there is");
	fuzz_expect(r != -EBADMSG || found.wrong_from <= size, "within the file");
}

/* What is copied is no more than there is, and an end packet at most. */
static void check_copied(int fd, int index_fd, uint64_t size, uint32_t time)
{
	int to = memfd_create("copy", MFD_CLOEXEC);
	struct history_copy copy;

	history_copy_begin(&copy, to, time & 1 ? time : 0, time & 2 ? time : 0);
	(void)history_copy_add(&copy, fd, index_fd, NULL);
	fuzz_expect(copy.bytes <= size, "no more than there is");
	(void)close(to);
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
	check_verified(fd, index_fd, count - 2 - index_bytes);
	check_copied(fd, index_fd, count - 2 - index_bytes, fuzz_hash(bytes, count));
	if (history_recover(fd, index_fd, bytes[0] & 1, &first) == 0) {
		struct history_verified found;
		struct errmsg err;

		check_packets(fd, &first.end);
		fuzz_expect(history_seal(fd, index_fd, first.entry_count, &first.end) == 0, "seal");
		fuzz_expect(history_check_sealed(fd, index_fd, &again) == 0, "sealed");
		fuzz_expect(again.end.offset == first.end.offset, "the same end");
		/* What is trusted has not been read again. */
		fuzz_expect(bytes[0] & 1 || history_verify(fd, index_fd, &found, &err) == 0,
			    "as it was written");
		fuzz_expect(ftruncate(index_fd, 0) == 0, "no index");
		fuzz_expect(history_recover(fd, index_fd, true, &again) == 0, "recovered again");
		fuzz_expect(again.end.offset == first.end.offset && again.cut_bytes == 0,
			    "nothing changed");
	}
	(void)close(fd);
	(void)close(index_fd);
	return 0;
}
