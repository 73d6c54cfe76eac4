// SPDX-License-Identifier: MIT
/*
 * What a process that died has left.
 *
 * The input is the region; what the keeper alone can know (that it is one, how long, how many
 * descriptors) and the sums are put right, else nothing but the first check would ever be seen.
 * The first byte says which of that is left as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "daemon/crash_read.h"
#include "daemon/crash_record.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/put_right.h"

#define EXPECT(condition) fuzz_expect(condition, #condition)

enum {
	FDS_MAX = 16,
	FIRST_FD = 1000, // not open: no socket is what it should be
};

static void put_right(struct crash_head *head, size_t bytes, size_t fd_count, unsigned left)
{
	memcpy(head->magic, CRASH_MAGIC, sizeof(head->magic));
	if (!(left & 1))
		head->schema = crash_schema();
	if (!(left & 2))
		head->bytes = bytes;
	if (!(left & 4))
		atomic_store(&head->fd_count, fd_count);
	if (!(left & 8))
		put_right_region((uint8_t *)head, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	struct handover handover = {.config.fd = -1};
	struct errmsg err = {.text = ""};
	int fds[FDS_MAX];
	struct kept_fds kept = {.fds = fds};
	size_t fd_count;

	if (count < 1 + sizeof(struct crash_head))
		return 0;
	fd_count = bytes[0] >> 4;
	kept.count = fd_count;
	for (size_t i = 0; i < fd_count; i++)
		fds[i] = FIRST_FD + (int)i;
	// Of exactly this length, so that a read behind it shows.
	uint8_t *map = malloc(count - 1);
	memcpy(map, bytes + 1, count - 1);
	put_right((struct crash_head *)(void *)map, count - 1, fd_count, bytes[0]);
	EXPECT(crash_is_record(map, count - 1));
	if (crash_read(map, count - 1, &kept, &handover, &err) == 0) {
		EXPECT(handover.is_after_crash && handover.socket_count == 0);
		handover_free(&handover);
	} else {
		EXPECT(err.text[0] != '\0');
	}
	free(map);
	return 0;
}
