// SPDX-License-Identifier: MIT
/*
 * Pipes when the kernel refuses, fails, interrupts or does less than asked.
 *
 * Every errno that matters, on every call: the outcome is the one that pipe_io.h promises, nothing
 * was moved, and the counts agree with the kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "pipe/pipe.h"
#include "pipe/pipe_io.h"
#include "pipe/pipe_pool.h"
#include "tests/fault/wrap.h"
#include "tests/unit/fd_count.h"

static uint8_t page[4096] __attribute__((aligned(4096)));

struct rig {
	int fds_before;
	struct pipe from; // holds 8 pieces of 100 bytes
	struct pipe to;
	int ends[2]; // a socket pair; ends[1] has 100 bytes to be taken
	int null_fd;
};

static int begin(void **state)
{
	static struct rig rig;
	size_t n;
	int err;

	wrap_reset();
	rig.fds_before = count_fds();
	assert_int_equal(pipe_open(&rig.from, 16), 0);
	assert_int_equal(pipe_open(&rig.to, 16), 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pipe_gift(&rig.from, page, 100, &n, &err), PIPE_IO_OK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, rig.ends), 0);
	assert_int_equal(send(rig.ends[0], page, 100, 0), 100);
	rig.null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_true(rig.null_fd >= 0);
	*state = &rig;
	return 0;
}

static int end(void **state)
{
	struct rig *rig = *state;

	pipe_close(&rig->from);
	pipe_close(&rig->to);
	close(rig->ends[0]);
	close(rig->ends[1]);
	close(rig->null_fd);
	assert_int_equal(count_fds(), rig->fds_before);
	return 0;
}

static void check_held(const struct pipe *p, size_t expected)
{
	int queued;

	assert_int_equal(p->held_bytes, expected);
	assert_int_equal(ioctl(p->read_fd, FIONREAD, &queued), 0);
	assert_int_equal((size_t)queued, expected);
}

// The moves under test, each set up so that it moves 100 bytes when nothing fails.

static enum pipe_io take_in(struct rig *rig, size_t *ret_bytes, int *ret_err)
{
	return pipe_splice_in(&rig->to, rig->ends[1], 65536, ret_bytes, ret_err);
}

static enum pipe_io hand_out(struct rig *rig, size_t *ret_bytes, int *ret_err)
{
	return pipe_splice_out(&rig->from, rig->ends[0], 100, ret_bytes, ret_err);
}

static enum pipe_io duplicate(struct rig *rig, size_t *ret_bytes, int *ret_err)
{
	return pipe_tee(&rig->from, &rig->to, 100, ret_bytes, ret_err);
}

static enum pipe_io move(struct rig *rig, size_t *ret_bytes, int *ret_err)
{
	return pipe_move(&rig->from, &rig->to, 100, ret_bytes, ret_err);
}

static enum pipe_io gift(struct rig *rig, size_t *ret_bytes, int *ret_err)
{
	return pipe_gift(&rig->to, page, 100, ret_bytes, ret_err);
}

static const struct move {
	enum pipe_io (*run)(struct rig *rig, size_t *ret_bytes, int *ret_err);
	enum wrap_call call;
	enum pipe_io on_again;
} moves[] = {
	{take_in, WRAP_SPLICE_IN, PIPE_IO_EMPTY}, {hand_out, WRAP_SPLICE_OUT, PIPE_IO_FULL},
	{duplicate, WRAP_TEE, PIPE_IO_FULL},      {move, WRAP_SPLICE_IN, PIPE_IO_FULL},
	{gift, WRAP_VMSPLICE, PIPE_IO_FULL},
};

static void check_failure(struct rig *rig, const struct move *move_under_test, int err,
			  enum pipe_io expected)
{
	const size_t from_bytes = rig->from.held_bytes, to_bytes = rig->to.held_bytes;
	size_t n = 4711;
	int told = 0;

	wrap_fail_once(move_under_test->call, 1, err);
	assert_int_equal(move_under_test->run(rig, &n, &told), expected);
	assert_int_equal(n, 4711);
	assert_int_equal(told, expected == move_under_test->on_again ? 0 : err);
	check_held(&rig->from, from_bytes);
	check_held(&rig->to, to_bytes);
}

static void every_errno_has_its_outcome(void **state)
{
	static const int refusals[] = {EINVAL, EPERM, ENOSYS, EOPNOTSUPP};
	static const int errors[] = {EPIPE,  ECONNRESET, ETIMEDOUT, ENOMEM,
				     EFAULT, ENOBUFS,    EBADF,     EIO};
	size_t n;
	int err;

	for (size_t m = 0; m < ARRAY_LEN(moves); m++) {
		struct rig *rig = *state;

		for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
			check_failure(rig, &moves[m], refusals[i], PIPE_IO_REFUSED);
		for (size_t i = 0; i < ARRAY_LEN(errors); i++)
			check_failure(rig, &moves[m], errors[i], PIPE_IO_ERROR);
		check_failure(rig, &moves[m], EAGAIN, moves[m].on_again);
		// and works as before when it is over
		assert_int_equal(moves[m].run(rig, &n, &err), PIPE_IO_OK);
		assert_int_equal(n, 100);
		check_held(&rig->from, rig->from.held_bytes);
		check_held(&rig->to, rig->to.held_bytes);
	}
}

static void an_interrupted_call_is_made_again(void **state)
{
	size_t n;
	int err;

	for (size_t m = 0; m < ARRAY_LEN(moves); m++) {
		const unsigned count = wrap_count(moves[m].call);

		wrap_fail_once(moves[m].call, 1, EINTR);
		assert_int_equal(moves[m].run(*state, &n, &err), PIPE_IO_OK);
		assert_int_equal(n, 100);
		assert_int_equal(wrap_count(moves[m].call), count + 2);
	}
}

static void lengths_are_exact_and_no_call_may_wait_or_cork(void **state)
{
	struct rig *rig = *state;
	size_t n;
	int err;

	for (size_t m = 0; m < ARRAY_LEN(moves); m++) {
		assert_int_equal(moves[m].run(rig, &n, &err), PIPE_IO_OK);
		assert_true(wrap_last_flags(moves[m].call) & SPLICE_F_NONBLOCK);
		assert_false(wrap_last_flags(moves[m].call) & SPLICE_F_MORE);
	}
	// what goes to a socket is asked for to the byte: a larger length would cork the tail
	assert_int_equal(wrap_last_bytes(WRAP_SPLICE_OUT), 100);
	assert_int_equal(pipe_splice_out(&rig->from, rig->ends[0], rig->from.held_bytes, &n, &err),
			 PIPE_IO_OK);
	assert_int_equal(wrap_last_bytes(WRAP_SPLICE_OUT), n);
	check_held(&rig->from, 0);
}

static void short_moves_are_counted(void **state)
{
	struct rig *rig = *state;
	size_t n, total = 0;
	int err;

	wrap_cap(WRAP_SPLICE_OUT, 7);
	while (rig->from.held_bytes > 0) {
		assert_int_equal(
			pipe_splice_out(&rig->from, rig->ends[0], rig->from.held_bytes, &n, &err),
			PIPE_IO_OK);
		assert_true(n <= 7);
		total += n;
		check_held(&rig->from, 800 - total);
	}
	wrap_cap(WRAP_SPLICE_IN, 1);
	assert_int_equal(take_in(rig, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 1);
	check_held(&rig->to, 1);
}

static void a_short_gift_is_continued(void **state)
{
	struct rig *rig = *state;
	size_t n;
	int err;

	wrap_cap(WRAP_VMSPLICE, 30);
	assert_int_equal(gift(rig, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 100);
	check_held(&rig->to, 100);
	assert_int_equal(wrap_count(WRAP_VMSPLICE), 8 + 4); // 8 by the rig

	// what is in cannot be taken back: the caller is told how much that is
	wrap_fail_once(WRAP_VMSPLICE, 3, ENOMEM);
	assert_int_equal(gift(rig, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 60);
	check_held(&rig->to, 160);
}

static void discard_reads_where_splice_is_refused(void **state)
{
	struct rig *rig = *state;
	size_t n;
	int err;

	wrap_fail_from(WRAP_SPLICE_ELSE, 1, EPERM);
	assert_int_equal(pipe_discard(&rig->from, rig->null_fd, 250, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 250);
	check_held(&rig->from, 550);

	// short, then refused
	wrap_reset();
	wrap_cap(WRAP_SPLICE_ELSE, 120);
	wrap_fail_once(WRAP_SPLICE_ELSE, 2, EINVAL);
	assert_int_equal(pipe_discard(&rig->from, rig->null_fd, 300, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 300);
	check_held(&rig->from, 250);

	// only short
	wrap_reset();
	wrap_cap(WRAP_SPLICE_ELSE, 1);
	assert_int_equal(pipe_discard(&rig->from, rig->null_fd, 250, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 250);
	assert_int_equal(wrap_count(WRAP_SPLICE_ELSE), 250);
	check_held(&rig->from, 0);
}

static void a_short_tee_into_a_large_pipe_is_told(void **state)
{
	struct rig *rig = *state;
	size_t n;
	int err;

	wrap_cap(WRAP_TEE, 150);
	assert_int_equal(pipe_tee(&rig->from, &rig->to, 800, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 150);
	check_held(&rig->to, 150);
	check_held(&rig->from, 800);
}

static void a_pipe_that_cannot_be_had_leaves_the_pool_as_it_was(void **state)
{
	(void)state;
	static const int errors[] = {EMFILE, ENFILE, ENOMEM, EPERM};
	struct pipe_pool pool;
	struct pipe p;

	assert_int_equal(pipe_pool_init(&pool, 16, 2, 2), 0);
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		wrap_fail_once(WRAP_PIPE2, 1, errors[i]);
		assert_int_equal(pipe_pool_get(&pool, &p), -errors[i]);
		assert_false(pipe_is_open(&p));
		assert_int_equal(pool.open_count, 0);
	}
	assert_int_equal(pipe_pool_get(&pool, &p), 0);
	assert_int_equal(pool.open_count, 1);
	wrap_fail_from(WRAP_PIPE2, 1, EMFILE);
	pipe_pool_put_drained(&pool, &p);
	assert_int_equal(pipe_pool_get(&pool, &p), 0); // an idle one needs no new descriptors
	pipe_pool_put_drained(&pool, &p);
	pipe_pool_fini(&pool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_errno_has_its_outcome),
		TEST(an_interrupted_call_is_made_again),
		TEST(lengths_are_exact_and_no_call_may_wait_or_cork),
		TEST(short_moves_are_counted),
		TEST(a_short_gift_is_continued),
		TEST(discard_reads_where_splice_is_refused),
		TEST(a_short_tee_into_a_large_pipe_is_told),
		TEST(a_pipe_that_cannot_be_had_leaves_the_pool_as_it_was),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
