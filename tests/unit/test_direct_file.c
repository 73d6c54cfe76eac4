// SPDX-License-Identifier: MIT
/* source/direct_file.c: a file through the pipe, byte for byte; refusals; a reader
 * that leaves early.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fd.h"
#include "file/direct_file.h"
#include "tests/unit/fd_count.h"
#include "tests/unit/leave_out.h"

enum {
	FILE_BYTES = 3 * 1024 * 1024 + 777 /* more than the pipe holds, with an unaligned tail */
};

static uint8_t byte_at(size_t pos)
{
	return (uint8_t)(pos * 31 + pos / 251);
}

/* A file in the working directory, which is on a disk where /tmp may be none. */
static void write_file(char *ret_path)
{
	static uint8_t bytes[FILE_BYTES];
	int fd;

	(void)snprintf(ret_path, 64, "build/direct-XXXXXX");
	fd = mkstemp(ret_path);
	if (fd < 0) {
		(void)snprintf(ret_path, 64, "/tmp/direct-XXXXXX");
		fd = mkstemp(ret_path);
	}
	assert_true(fd >= 0);
	for (size_t i = 0; i < FILE_BYTES; i++)
		bytes[i] = byte_at(i);
	assert_int_equal(write(fd, bytes, FILE_BYTES), FILE_BYTES);
	fd_close(&fd);
}

/* Skips the test where the file system does no direct I/O. */
static void start(const char *path, struct direct_file **ret, int *ret_fd)
{
	int r = direct_file_start(path, ret, ret_fd);

	if (r == -EINVAL) {
		(void)unlink(path);
		leave_out("no direct I/O where the tests run: open(2) refuses O_DIRECT");
	}
	assert_int_equal(r, 0);
}

static void wait_for_fds(int count)
{
	while (count_fds() > count)
		(void)poll(NULL, 0, 1);
}

static void the_bytes_are_the_file_s(void **state)
{
	static uint8_t part[100 * 1000];
	struct direct_file *file;
	size_t pos = 0;
	int before = count_fds();
	char path[64];
	int fd;

	(void)state;
	write_file(path);
	start(path, &file, &fd);
	for (;;) {
		struct pollfd watched = {.fd = fd, .events = POLLIN};
		ssize_t got;

		assert_int_equal(poll(&watched, 1, 10000), 1);
		got = read(fd, part, sizeof(part));
		if (got == 0)
			break;
		assert_true(got > 0);
		for (ssize_t i = 0; i < got; i++)
			assert_int_equal(part[i], byte_at(pos + (size_t)i));
		pos += (size_t)got;
	}
	assert_int_equal(pos, FILE_BYTES);
	assert_int_equal(direct_file_bytes(file), FILE_BYTES);
	assert_int_equal(direct_file_error(file), 0);
	fd_close(&fd);
	direct_file_release(&file);
	assert_null(file);
	wait_for_fds(before);
	(void)unlink(path);
}

static void the_thread_ends_when_nobody_reads(void **state)
{
	struct direct_file *file;
	int before = count_fds();
	char path[64];
	int fd;

	(void)state;
	write_file(path);
	for (int i = 0; i < 50; i++) {
		start(path, &file, &fd);
		fd_close(&fd);
		direct_file_release(&file);
	}
	wait_for_fds(before);
	(void)unlink(path);
}

static void what_cannot_be_opened_is_said(void **state)
{
	struct direct_file *file = NULL;
	int before = count_fds();
	int fd = -1;

	(void)state;
	assert_int_equal(direct_file_start("/no/such/file", &file, &fd), -ENOENT);
	/* A file system without direct I/O. */
	assert_int_equal(direct_file_start("/proc/self/status", &file, &fd), -EINVAL);
	assert_null(file);
	assert_int_equal(fd, -1);
	assert_int_equal(count_fds(), before);
}

static void large_is_more_than_a_quarter(void **state)
{
	uint64_t available = direct_file_available_memory();

	(void)state;
	assert_true(available > 1024 * 1024);
	assert_true(available <=
		    (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
	assert_false(direct_file_is_large(0, 400));
	assert_false(direct_file_is_large(100, 400));
	assert_true(direct_file_is_large(101, 400));
	assert_true(direct_file_is_large(1, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_are_the_file_s),
		cmocka_unit_test(the_thread_ends_when_nobody_reads),
		cmocka_unit_test(what_cannot_be_opened_is_said),
		cmocka_unit_test(large_is_more_than_a_quarter),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
