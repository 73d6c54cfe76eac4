// SPDX-License-Identifier: MIT
/*
 * Opening pipes, the quota that makes them small, and the pool.
 *
 * Each test ends with as many open descriptors as it began with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pipe/pipe.h"
#include "pipe/pipe_pool.h"
#include "tests/unit/fd_count.h"
#include "tests/unit/leave_out.h"
#include "tests/unit/pipe_rig.h"

// --- opening
// --------------------------------------------------------------------------------------

static void open_gives_what_was_asked(void **state)
{
	(void)state;
	struct pipe p;

	for (unsigned slots = 1; slots <= 256; slots *= 2) {
		p = pipe_rig_open(slots);
		assert_true(pipe_is_open(&p));
		assert_true(fcntl(p.read_fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(p.write_fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(p.read_fd, F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(p.write_fd, F_GETFD) & FD_CLOEXEC);
		pipe_close(&p);
		assert_false(pipe_is_open(&p));
		pipe_close(&p);
	}
	assert_int_equal(pipe_open(&p, 100), 0); // rounded up by the kernel
	assert_int_equal(p.slots, 128);
	pipe_close(&p);
	p = PIPE_NONE;
	pipe_close(&p);
}

static void open_refuses_absurd_sizes(void **state)
{
	(void)state;
	struct pipe p;

	assert_int_equal(pipe_open(&p, 0), -EINVAL);
	assert_false(pipe_is_open(&p));
	assert_int_equal(pipe_open(&p, UINT_MAX), -EINVAL);
	assert_false(pipe_is_open(&p));
}

static void open_reports_missing_descriptors(void **state)
{
	(void)state;
	struct rlimit old, tight;
	struct pipe p;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	const int r = pipe_open(&p, 16);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_false(pipe_is_open(&p));
}

enum {
	PIPES_TO_TRY = 1400,
	/* Of the child: */
	NO_DESCRIPTORS = 20,
	NO_OTHER_USER
};

// Pages of pipes that an ordinary user may have; 0: as many as he likes.
static unsigned long quota(void)
{
	FILE *limit = fopen("/proc/sys/fs/pipe-user-pages-soft", "re");
	unsigned long pages = 0;

	assert_non_null(limit);
	assert_int_equal(fscanf(limit, "%lu", &pages), 1);
	fclose(limit);
	return pages;
}

/* As an ordinary user, with the quota (fs.pipe-user-pages-soft) used up by 16-slot pipes: the next
 * one would have 2 slots, and must be an error and leave nothing open. */
static int exhaust_quota(uid_t user)
{
	struct rlimit files = {.rlim_cur = 4096, .rlim_max = 4096};
	struct pipe p;
	int r = 0;

	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return NO_DESCRIPTORS;
	if (setgid(user) < 0 || setuid(user) < 0)
		return NO_OTHER_USER;
	for (int i = 0; i < PIPES_TO_TRY && r == 0; i++) // left to the end of the process
		r = pipe_open(&p, 16);
	if (r != -EDQUOT)
		return 11;
	if (pipe_is_open(&p))
		return 12;
	const int fds = pipe_rig_count_fds();
	if (pipe_open(&p, 16) != -EDQUOT || pipe_rig_count_fds() != fds)
		return 13;
	// Two slots are what is still to be had, and they are no error when they are enough.
	if (pipe_open(&p, 2) != 0 || p.slots != 2)
		return 14;
	return 0;
}

static void open_refuses_pipes_of_two_slots(void **state)
{
	(void)state;
	/* The quota is the user's: one that no other process has. */
	const uid_t user = 60000 + (uid_t)getpid() % 5000;
	int status;

	const unsigned long pages = quota();
	if (pages == 0 || pages >= PIPES_TO_TRY * 16)
		leave_out("no small quota of pipes: fs.pipe-user-pages-soft = %lu", pages);
	const pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(exhaust_quota(user));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NO_DESCRIPTORS)
		leave_out("no 4096 descriptors: setrlimit(2) refuses them");
	if (WEXITSTATUS(status) == NO_OTHER_USER)
		leave_out("no other user: setuid(2) is refused");
	assert_int_equal(WEXITSTATUS(status), 0);
}

// --- pool
// -----------------------------------------------------------------------------------------

static void the_pool_keeps_empty_pipes_only(void **state)
{
	(void)state;
	struct pipe_pool pool;
	struct pipe p, q;

	assert_int_equal(pipe_pool_init(&pool, 16, 4, 2), 0);
	assert_int_equal(pool.open_count, 0);
	assert_int_equal(pipe_pool_get(&pool, &p), 0);
	const int read_fd = p.read_fd;
	pipe_pool_put_drained(&pool, &p);
	assert_false(pipe_is_open(&p));
	assert_int_equal(pool.idle_count, 1);
	assert_int_equal(pipe_pool_get(&pool, &q), 0);
	assert_int_equal(q.read_fd, read_fd); // the same one again

	pipe_rig_put_pieces(&q, 1, 1); // a residue: one byte of somebody's stream
	pipe_pool_put_drained(&pool, &q);
	assert_false(pipe_is_open(&q));
	assert_int_equal(pool.idle_count, 1);
	assert_int_equal(pipe_pool_get(&pool, &p), 0);
	assert_int_equal(p.read_fd, read_fd);
	pipe_rig_check_held(&p, 0);

	pipe_rig_put_pieces(&p, 1, 1);
	assert_int_equal(dup2(p.write_fd, p.read_fd), p.read_fd); // cannot be read, so not emptied
	pipe_pool_put_drained(&pool, &p);
	assert_false(pipe_is_open(&p));
	assert_int_equal(pool.idle_count, 0);
	assert_int_equal(pool.open_count, 0);

	assert_int_equal(pipe_pool_get(&pool, &p), 0);
	pipe_rig_check_held(&p, 0);
	pipe_pool_put_drained(&pool, &p);
	pipe_pool_put_drained(&pool, &p); // not open any more: nothing happens
	assert_int_equal(pool.idle_count, 1);
	pipe_pool_fini(&pool);
	pipe_pool_fini(&pool);
}

static void a_pool_without_pipes_holds_no_descriptor(void **state)
{
	(void)state;
	int before = count_fds();
	struct pipe_pool pool;
	struct pipe p;

	assert_int_equal(pipe_pool_init(&pool, 16, 4, 2), 0);
	assert_int_equal(count_fds(), before);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe_pool_get(&pool, &p), 0);
		assert_true(pool.null_fd >= 0);
		pipe_pool_put_drained(&pool, &p);
		pipe_pool_close_idle(&pool);
		assert_int_equal(count_fds(), before);
	}
	pipe_pool_fini(&pool);
}

static void the_pool_is_bounded(void **state)
{
	(void)state;
	struct pipe_pool pool;
	struct pipe pipes[4], one_more;

	assert_int_equal(pipe_pool_init(&pool, 2, 4, 2), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pipe_pool_get(&pool, &pipes[i]), 0);
	assert_int_equal(pipe_pool_get(&pool, &one_more), -ENOBUFS);
	assert_false(pipe_is_open(&one_more));
	for (int i = 0; i < 4; i++)
		pipe_pool_put_drained(&pool, &pipes[i]);
	assert_int_equal(pool.idle_count, 2);
	assert_int_equal(pool.open_count, 2);
	pipe_pool_fini(&pool);

	assert_int_equal(pipe_pool_init(&pool, 2, 1, 0), 0); // keeps none
	assert_int_equal(pipe_pool_get(&pool, &one_more), 0);
	pipe_pool_put_drained(&pool, &one_more);
	assert_int_equal(pool.open_count, 0);
	pipe_pool_fini(&pool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pipe_rig_begin, pipe_rig_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(open_gives_what_was_asked),
		TEST(open_refuses_absurd_sizes),
		TEST(open_reports_missing_descriptors),
		TEST(open_refuses_pipes_of_two_slots),
		TEST(the_pool_keeps_empty_pipes_only),
		TEST(a_pool_without_pipes_holds_no_descriptor),
		TEST(the_pool_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
