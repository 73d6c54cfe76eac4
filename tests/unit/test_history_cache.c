// SPDX-License-Identifier: MIT
/*
 * What a reader leaves in the page cache, however far the kernel reads ahead: nothing that has come
 * for this reader, and all that was there before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "history/history_cache.h"
#include "history/history_folder.h"
#include "history/history_reader.h"
#include "tests/unit/history_rig.h"
#include "tests/unit/leave_out.h"

enum {
	PIECE_BYTES = HISTORY_LOOK_BYTES,
	FILE_BYTES = 96 * PIECE_BYTES,
	READ_BYTES = 80 * PIECE_BYTES, /* of the file */
};

struct cache_rig {
	struct history *history;
	struct history_reader reader;
	int fd;         /* somebody else's */
	int witness_fd; /* of a file that relay knows nothing of */
};

/* A file system in memory, where other histories are, has nowhere to drop its files to. */
static int begin_on_disk(void **state)
{
	struct history_rig *rig;

	if (history_rig_begin(state) != 0)
		return -1;
	rig = *state;
	assert_int_equal(rmdir(rig->path), 0);
	(void)snprintf(rig->path, sizeof(rig->path), "/var/tmp/relay-history-XXXXXX");
	assert_non_null(mkdtemp(rig->path));
	return 0;
}

/* A file that has been dropped as a whole, and a reader at its beginning. */
static void open_dropped(struct history_rig *rig, struct cache_rig *cache)
{
	char witness[sizeof(rig->path) + 16];
	struct history_found found;
	struct history_file *file;

	rig->params.max_file_bytes = 1 << 30;
	history_rig_add(rig, 1 << 16);
	history_rig_record(rig);
	cache->history = history_rig_open(rig, &found);
	assert_int_equal(history_reader_open_at(&cache->reader, cache->history, HISTORY_RIG_SESSION,
						rig->packets[0].header.sequence),
			 0);
	file = cache->reader.file;
	assert_int_equal(history_folder_open_file(cache->history->folder.fd, file->number,
						  HISTORY_PACKETS, O_RDWR, &cache->fd),
			 0);
	/* As if all of it had been recorded. */
	assert_int_equal(ftruncate(cache->fd, FILE_BYTES), 0);
	assert_int_equal(fsync(cache->fd), 0);
	assert_int_equal(posix_fadvise(cache->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	file->end.offset = file->dropped = FILE_BYTES;
	(void)snprintf(witness, sizeof(witness), "%s/witness-XXXXXX", rig->path);
	cache->witness_fd = mkstemp(witness);
	assert_true(cache->witness_fd >= 0);
	assert_int_equal(unlink(witness), 0);
	assert_int_equal(ftruncate(cache->witness_fd, FILE_BYTES), 0);
}

static void close_dropped(struct cache_rig *cache)
{
	assert_int_equal(close(cache->fd), 0);
	assert_int_equal(close(cache->witness_fd), 0);
	history_close(&cache->history);
}

static void need_a_disk(const struct history_rig *rig)
{
	struct statfs fs;

	assert_int_equal(statfs(rig->path, &fs), 0);
	if (fs.f_type == TMPFS_MAGIC)
		leave_out("/var/tmp is in memory");
}

/* The kernel, ahead of a reader; or another program. */
static void read_all(int fd, uint64_t bytes)
{
	uint8_t *piece = malloc(PIECE_BYTES);

	assert_non_null(piece);
	for (uint64_t offset = 0; offset < bytes; offset += PIECE_BYTES)
		assert_int_equal(pread(fd, piece, PIECE_BYTES, (off_t)offset), PIECE_BYTES);
	free(piece);
}

static uint64_t cached_bytes(int fd, uint64_t bytes)
{
	struct history_run run = {.fd = fd, .length = FILE_BYTES};
	uint64_t cached = 0;

	for (uint64_t offset = 0; offset < bytes; offset += 4096)
		cached += history_cached(&run, offset, 4096);
	return cached;
}

static void leave(struct cache_rig *cache)
{
	history_reader_close(&cache->reader);
	history_drop_old(cache->history);
}

static void what_the_kernel_reads_ahead_is_dropped(void **state)
{
	struct history_rig *rig = *state;
	struct cache_rig cache;

	need_a_disk(rig);
	open_dropped(rig, &cache);
	for (uint64_t offset = 0; offset < READ_BYTES; offset += PIECE_BYTES) {
		history_drop_behind(&cache.reader, offset);
		if (!offset)
			read_all(cache.fd, READ_BYTES);
		assert_false(history_is_warm(&cache.reader, offset + PIECE_BYTES, 1));
	}
	leave(&cache);
	assert_int_equal(cached_bytes(cache.fd, FILE_BYTES), 0);
	close_dropped(&cache);
}

/* Where the machine itself takes pages away meanwhile, nothing can be said. */
static void what_was_there_before_stays(void **state)
{
	struct history_rig *rig = *state;
	struct cache_rig cache;
	uint64_t warm = 0, there;
	bool has_all;

	need_a_disk(rig);
	open_dropped(rig, &cache);
	read_all(cache.fd, FILE_BYTES);
	read_all(cache.witness_fd, FILE_BYTES);
	for (uint64_t offset = 0; offset < READ_BYTES; offset += PIECE_BYTES) {
		history_drop_behind(&cache.reader, offset);
		warm += history_is_warm(&cache.reader, offset, PIECE_BYTES) ? PIECE_BYTES : 0;
	}
	leave(&cache);
	there = cached_bytes(cache.fd, READ_BYTES);
	has_all = cached_bytes(cache.witness_fd, FILE_BYTES) == FILE_BYTES;
	close_dropped(&cache);
	if (!has_all)
		leave_out("the machine itself takes pages out of the page cache");
	assert_int_equal(warm, READ_BYTES);
	assert_int_equal(there, READ_BYTES);
}

/* With and without RWF_NOWAIT, which a file system in memory does not know. */
static void check_read_cached(const char *folder)
{
	char path[64], bytes[32];
	struct history_run run = {.fd = -1};

	(void)snprintf(path, sizeof(path), "%s/relay-cached-XXXXXX", folder);
	run.fd = mkstemp(path);
	assert_true(run.fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pwrite(run.fd, "what is there", 13, 4090), 13);
	assert_true(history_read_cached(&run, 4090, bytes, 13));
	assert_memory_equal(bytes, "what is there", 13);
	assert_false(history_read_cached(&run, 4091, bytes, 13)); /* not all of it */
	assert_false(history_read_cached(&run, 1 << 20, bytes, 13));
	assert_int_equal(close(run.fd), 0);
}

static void what_is_there_is_read_at_once(void **state)
{
	(void)state;
	check_read_cached("/var/tmp");
	if (access("/dev/shm", W_OK | X_OK) == 0)
		check_read_cached("/dev/shm");
	else
		leave_out_part("no file system in memory: /dev/shm cannot be written to");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_the_kernel_reads_ahead_is_dropped,
						begin_on_disk, history_rig_end),
		cmocka_unit_test_setup_teardown(what_was_there_before_stays, begin_on_disk,
						history_rig_end),
		cmocka_unit_test(what_is_there_is_read_at_once),
	};

	return cmocka_run_group_tests_name("history_cache", tests, NULL, NULL);
}
