// SPDX-License-Identifier: MIT
/*
 * Every move of pipe_io.h against the real kernel.
 *
 * After each one held_bytes is compared with what the kernel says (FIONREAD), and each test ends
 * with as many open descriptors as it began with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pipe/gift_arena.h"
#include "pipe/pipe.h"
#include "pipe/pipe_io.h"
#include "tests/unit/pipe_rig.h"
#include "tests/unit/tcp_pair.h"

// Two ends of a TCP connection over loopback, both non-blocking.
static void connect_tcp(int ends[2])
{
	const struct tcp_pair pair = tcp_pair_open(0);
	const int one = 1;

	ends[0] = pair.connected;
	ends[1] = pair.accepted;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fcntl(ends[i], F_SETFL, O_NONBLOCK), 0);
		setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
}

static void close_both(int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

static void await(int fd, short events)
{
	struct pollfd ask = {.fd = fd, .events = events};

	assert_int_equal(poll(&ask, 1, 5000), 1);
}

// --- taking in
// ------------------------------------------------------------------------------------

static void a_pipe_is_full_by_slots(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(16);
	size_t n;
	int err;

	pipe_rig_put_pieces(&p, 16, 1);
	pipe_rig_check_held(&p, 16); // 16 bytes in a pipe of "64 KiB"
	assert_int_equal(pipe_gift(&p, pipe_rig_pages, 1, &n, &err), PIPE_IO_FULL);
	pipe_rig_check_held(&p, 16);
	pipe_close(&p);
}

static void splice_in_tells_empty_from_full(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(4);
	int ends[2];
	size_t n;
	int err;

	connect_tcp(ends);
	// nothing to take, pipe empty; then nothing to take, pipe partly filled
	assert_int_equal(pipe_splice_in(&p, ends[1], 65536, &n, &err), PIPE_IO_EMPTY);
	pipe_rig_put_pieces(&p, 3, 1);
	assert_int_equal(pipe_splice_in(&p, ends[1], 65536, &n, &err), PIPE_IO_EMPTY);

	// something to take, no slot free, though 4 bytes are all that is held
	pipe_rig_put_pieces(&p, 1, 1);
	assert_int_equal(send(ends[0], "hello", 5, 0), 5);
	await(ends[1], POLLIN);
	assert_int_equal(pipe_splice_in(&p, ends[1], 65536, &n, &err), PIPE_IO_FULL);
	pipe_rig_check_held(&p, 4);

	// neither a slot nor data: draining comes first
	struct pipe q = pipe_rig_open(4);
	pipe_rig_put_pieces(&q, 4, 1);
	int idle[2];
	connect_tcp(idle);
	assert_int_equal(pipe_splice_in(&q, idle[1], 65536, &n, &err), PIPE_IO_FULL);

	char bytes[8];
	assert_int_equal(pipe_read(&p, bytes, 1, &n, &err), PIPE_IO_OK);
	assert_int_equal(pipe_splice_in(&p, ends[1], 65536, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 5);
	pipe_rig_check_held(&p, 8);
	pipe_close(&p);
	pipe_close(&q);
	close_both(ends);
	close_both(idle);
}

static void splice_in_of_one_byte_messages_gives_every_byte(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(2);
	int ends[2];
	size_t n, taken = 0, sent = 0;
	int err;
	enum pipe_io outcome = PIPE_IO_OK;

	connect_tcp(ends);
	while (outcome != PIPE_IO_EOF) {
		char byte;

		for (int i = 0; i < 50 && sent < 2000; i++, sent++)
			assert_int_equal(send(ends[0], &(char){(char)sent}, 1, 0), 1);
		if (sent == 2000)
			shutdown(ends[0], SHUT_WR);
		await(ends[1], POLLIN);
		outcome = pipe_splice_in(&p, ends[1], 65536, &n, &err);
		pipe_rig_check_held(&p, p.held_bytes);
		if (outcome == PIPE_IO_OK)
			continue;
		if (outcome != PIPE_IO_EOF)
			assert_int_equal(outcome, PIPE_IO_FULL);
		for (; p.held_bytes > 0; taken++) {
			assert_int_equal(pipe_read(&p, &byte, 1, &n, &err), PIPE_IO_OK);
			assert_int_equal(byte, (char)taken);
		}
	}
	assert_int_equal(taken, 2000);
	pipe_close(&p);
	close_both(ends);
}

static void splice_in_gives_what_arrived_before_the_end(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(16);
	int ends[2];
	size_t n;
	int err;

	connect_tcp(ends);
	assert_int_equal(send(ends[0], "last words", 10, 0), 10);
	close(ends[0]);
	await(ends[1], POLLIN);
	assert_int_equal(pipe_splice_in(&p, ends[1], 0, &n, &err), PIPE_IO_OK); // not an end
	assert_int_equal(n, 0);
	assert_int_equal(pipe_splice_in(&p, ends[1], 4, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 4);
	assert_int_equal(pipe_splice_in(&p, ends[1], 65536, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 6);
	await(ends[1], POLLIN);
	assert_int_equal(pipe_splice_in(&p, ends[1], 65536, &n, &err), PIPE_IO_EOF);
	pipe_rig_check_held(&p, 10);
	pipe_close(&p);
	close(ends[1]);
}

static void splice_in_says_empty_before_an_urgent_byte(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(16);
	int ends[2];
	size_t n;
	int err;
	char byte;

	connect_tcp(ends);
	assert_int_equal(send(ends[0], "!", 1, MSG_OOB), 1);
	assert_int_equal(send(ends[0], "data", 4, 0), 4);
	await(ends[1], POLLIN);
	assert_int_equal(pipe_splice_in(&p, ends[1], 65536, &n, &err), PIPE_IO_EMPTY);
	assert_int_equal(recv(ends[1], &byte, 1, 0), 1); // gets past it
	assert_int_equal(byte, 'd');
	assert_int_equal(pipe_splice_in(&p, ends[1], 65536, &n, &err), PIPE_IO_OK);
	pipe_rig_check_held(&p, 3);
	pipe_close(&p);
	close_both(ends);
}

static void splice_in_is_refused_by_what_cannot_splice(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(16);
	const int event_fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	size_t n = 99;
	int err = 0;

	assert_int_equal(pipe_splice_in(&p, event_fd, 8, &n, &err), PIPE_IO_REFUSED);
	assert_int_equal(err, EINVAL);
	assert_int_equal(n, 99);
	assert_int_equal(pipe_splice_in(&p, -1, 8, &n, &err), PIPE_IO_ERROR);
	assert_int_equal(err, EBADF);
	pipe_rig_check_held(&p, 0);
	close(event_fd);
	pipe_close(&p);
}

// --- handing out
// ----------------------------------------------------------------------------------

/* Tails of 16, 32 and 48 slots are on their way at once.  A corked one would still be counted as
 * not sent: no clock is needed to see it. */
static void splice_out_leaves_no_tail_corked(void **state)
{
	(void)state;
	for (unsigned slots = 16; slots <= 48; slots += 16) {
		struct pipe p = pipe_rig_open(64);
		int ends[2], unsent = -1;
		size_t n;
		int err;
		char bytes[100];

		connect_tcp(ends);
		pipe_rig_put_pieces(&p, slots, sizeof(bytes));
		assert_int_equal(pipe_splice_out(&p, ends[0], p.held_bytes, &n, &err), PIPE_IO_OK);
		assert_int_equal(n, slots * sizeof(bytes));
		pipe_rig_check_held(&p, 0);
		assert_int_equal(ioctl(ends[0], SIOCOUTQNSD, &unsent), 0);
		assert_int_equal(unsent, 0);
		for (unsigned i = 0; i < slots; i++) {
			await(ends[1], POLLIN);
			assert_int_equal(recv(ends[1], bytes, sizeof(bytes), MSG_WAITALL),
					 sizeof(bytes));
			assert_int_equal(bytes[0], 'a' + i % 26);
		}
		close_both(ends);
		pipe_close(&p);
	}
}

static void splice_out_of_more_than_held_aborts(void **state)
{
	(void)state;
	int status;
	const pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct pipe p;
		int ends[2], err;
		size_t n;

		signal(SIGABRT, SIG_DFL); // cmocka's own handler would report it
		close(STDERR_FILENO);
		if (pipe_open(&p, 16) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
			_exit(1);
		(void)!pipe_splice_out(&p, ends[0], 1, &n, &err);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void splice_out_stops_at_a_full_socket(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(64), copy = pipe_rig_open(64);
	int ends[2], err;
	size_t n, sent = 0;
	enum pipe_io outcome = PIPE_IO_OK;

	connect_tcp(ends);
	pipe_rig_put_pieces(&p, 64, 4096);
	while (outcome == PIPE_IO_OK) {
		assert_true(sent < 64u << 20);
		if (copy.held_bytes == 0) {
			assert_int_equal(pipe_tee(&p, &copy, p.held_bytes, &n, &err), PIPE_IO_OK);
			assert_int_equal(n, p.held_bytes);
		}
		outcome = pipe_splice_out(&copy, ends[0], copy.held_bytes, &n, &err);
		if (outcome == PIPE_IO_OK)
			sent += n;
		pipe_rig_check_held(&copy, copy.held_bytes);
	}
	assert_int_equal(outcome, PIPE_IO_FULL);
	assert_true(sent > 0);
	pipe_rig_check_held(&p, 64 * 4096);
	pipe_close(&p);
	pipe_close(&copy);
	close_both(ends);
}

static void splice_out_to_a_closed_peer_is_an_error_and_keeps_the_bytes(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(16);
	int ends[2], err = 0;
	size_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	pipe_rig_put_pieces(&p, 3, 10);
	close(ends[1]);
	// SIGPIPE is ignored, as in relay: without that, this call would end the process
	assert_int_equal(pipe_splice_out(&p, ends[0], 30, &n, &err), PIPE_IO_ERROR);
	assert_int_equal(err, EPIPE);
	pipe_rig_check_held(&p, 30);
	close(ends[0]);
	pipe_close(&p);
}

// --- pipe to pipe
// ---------------------------------------------------------------------------------

static void tee_into_an_equal_empty_pipe_is_whole(void **state)
{
	(void)state;
	struct pipe from = pipe_rig_open(32), to = pipe_rig_open(32);
	char bytes[32];
	size_t n;
	int err;

	pipe_rig_put_pieces(&from, 32, 1);
	for (int round = 0; round < 2; round++) { // the source keeps its bytes
		assert_int_equal(pipe_tee(&from, &to, 32, &n, &err), PIPE_IO_OK);
		assert_int_equal(n, 32);
		pipe_rig_check_held(&from, 32);
		pipe_rig_check_held(&to, 32);
		assert_int_equal(pipe_read(&to, bytes, sizeof(bytes), &n, &err), PIPE_IO_OK);
		assert_int_equal(n, 32);
		assert_int_equal(bytes[31], 'a' + 31 % 26);
	}
	assert_int_equal(pipe_tee(&from, &to, 10, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 10);
	pipe_rig_check_held(&to, 10);
	pipe_close(&from);
	pipe_close(&to);
}

static void tee_is_short_when_slots_run_out(void **state)
{
	(void)state;
	struct pipe from = pipe_rig_open(16), to = pipe_rig_open(4);
	size_t n;
	int err;

	pipe_rig_put_pieces(&from, 10, 100);
	assert_int_equal(pipe_tee(&from, &to, 1000, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 400);
	pipe_rig_check_held(&to, 400);
	pipe_rig_check_held(&from, 1000);
	assert_int_equal(pipe_tee(&from, &to, 1000, &n, &err), PIPE_IO_FULL);
	pipe_rig_check_held(&to, 400);

	// a slot that is partly read is still taken
	char bytes[50];
	assert_int_equal(pipe_read(&to, bytes, sizeof(bytes), &n, &err), PIPE_IO_OK);
	assert_int_equal(pipe_tee(&from, &to, 1000, &n, &err), PIPE_IO_FULL);
	pipe_rig_check_held(&to, 350);
	pipe_close(&from);
	pipe_close(&to);
}

static void move_takes_from_the_head_and_appends(void **state)
{
	(void)state;
	struct pipe from = pipe_rig_open(16), to = pipe_rig_open(4);
	char bytes[64];
	size_t n;
	int err;

	assert_int_equal(pipe_write(&to, "head:", 5, &n, &err), PIPE_IO_OK);
	pipe_rig_put_pieces(&from, 6, 2);
	assert_int_equal(pipe_move(&from, &to, 3, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 3);
	pipe_rig_check_held(&from, 9);
	pipe_rig_check_held(&to, 8);
	assert_int_equal(pipe_move(&from, &to, 9, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 1); // the fourth slot
	assert_int_equal(pipe_move(&from, &to, 8, &n, &err), PIPE_IO_FULL);
	assert_int_equal(pipe_read(&to, bytes, sizeof(bytes), &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 9);
	assert_memory_equal(bytes, "head:aabb", 9);
	assert_int_equal(pipe_read(&to, bytes, sizeof(bytes), &n, &err), PIPE_IO_EMPTY);
	pipe_close(&from);
	pipe_close(&to);
}

// --- memory to pipe and back
// ----------------------------------------------------------------------

static void a_gift_across_pages_may_be_torn_and_within_one_never(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(2);
	struct gift_arena arena;
	size_t n;
	int err;

	// a 32-byte header across a page, one slot free: 16 bytes of it go in, and the caller sees
	// it
	pipe_rig_put_pieces(&p, 1, 1);
	assert_int_equal(pipe_gift(&p, pipe_rig_pages + 4096 - 16, 32, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 16);
	pipe_rig_check_held(&p, 17);
	pipe_close(&p);

	// from the arena that cannot be: each header is whole or refused
	assert_int_equal(gift_arena_init(&arena, 64 * 1024), 0);
	for (int i = 0; i < 300; i++) {
		p = pipe_rig_open(2);
		pipe_rig_put_pieces(&p, 1, 1);
		uint8_t *header = gift_arena_alloc(&arena, 31);
		assert_non_null(header);
		memset(header, i, 31);
		assert_int_equal(pipe_gift(&p, header, 31, &n, &err), PIPE_IO_OK);
		assert_int_equal(n, 31);
		assert_int_equal(pipe_gift(&p, header, 31, &n, &err), PIPE_IO_FULL);
		pipe_rig_check_held(&p, 32);
		pipe_close(&p);
	}
	gift_arena_fini(&arena);
}

static void a_long_gift_fills_the_slots(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(32);
	size_t n;
	int err;

	assert_int_equal(pipe_gift(&p, pipe_rig_pages, sizeof(pipe_rig_pages), &n, &err),
			 PIPE_IO_OK);
	assert_int_equal(n, 32 * 4096);
	pipe_rig_check_held(&p, n);
	pipe_close(&p);
}

static void write_is_whole_up_to_pipe_buf(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(2);
	size_t n;
	int err;

	assert_int_equal(pipe_write(&p, pipe_rig_pages, 4096 + 100, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 4196);
	assert_int_equal(pipe_write(&p, pipe_rig_pages, 4096, &n, &err), PIPE_IO_FULL);
	pipe_rig_check_held(&p, 4196);
	assert_int_equal(pipe_write(&p, pipe_rig_pages, 5000, &n, &err), PIPE_IO_OK);
	assert_in_range(n, 1, 4999); // longer than PIPE_BUF: torn
	pipe_rig_check_held(&p, 4196 + n);
	assert_int_equal(pipe_write(&p, NULL, 0, &n, &err), PIPE_IO_OK);
	pipe_close(&p);
}

static void discard_drops_from_the_head(void **state)
{
	(void)state;
	struct pipe p = pipe_rig_open(32);
	const int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	size_t n;
	int err;
	char byte;

	pipe_rig_put_pieces(&p, 32, 1000);
	assert_int_equal(pipe_discard(&p, null_fd, 0, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 0);
	assert_int_equal(pipe_discard(&p, null_fd, 1500, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 1500);
	pipe_rig_check_held(&p, 30500);
	// without a /dev/null: by reading
	assert_int_equal(pipe_discard(&p, -1, 29000, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 29000);
	pipe_rig_check_held(&p, 1500);
	assert_int_equal(pipe_read(&p, &byte, 1, &n, &err), PIPE_IO_OK);
	assert_int_equal(byte, 'a' + 30 % 26);
	assert_int_equal(pipe_discard(&p, null_fd, 1499, &n, &err), PIPE_IO_OK);
	pipe_rig_check_held(&p, 0);
	close(null_fd);
	pipe_close(&p);
}

// --- everything at once
// ---------------------------------------------------------------------------

static uint8_t byte_at(uint64_t pos)
{
	return (uint8_t)((pos * 0x9e3779b97f4a7c15u) >> 56);
}

/* A stream with its position in each byte, through two pipes by moves, tees and discards of random
 * length: counts agree with the kernel after every step and no byte is lost, doubled or changed. */
static void random_steps_keep_the_stream_and_the_counts(void **state)
{
	(void)state;
	struct pipe a = pipe_rig_open(8), b = pipe_rig_open(8), copy = pipe_rig_open(8);
	const int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	uint64_t put_pos = 0, got_pos = 0;
	uint8_t bytes[6000];
	size_t n;
	int err;

	srandom(7);
	for (int step = 0; step < 30000; step++) {
		const size_t want = 1 + (size_t)random() % (random() % 2 ? 5 : sizeof(bytes));

		switch (random() % 4) {
		case 0:
			for (size_t i = 0; i < want; i++)
				bytes[i] = byte_at(put_pos + i);
			if (pipe_write(&a, bytes, want, &n, &err) == PIPE_IO_OK)
				put_pos += n;
			break;
		case 1:
			if (a.held_bytes >= want)
				(void)!pipe_move(&a, &b, want, &n, &err);
			break;
		case 2:
			if (b.held_bytes < want ||
			    pipe_tee(&b, &copy, want, &n, &err) != PIPE_IO_OK)
				break;
			assert_int_equal(pipe_discard(&copy, null_fd, n / 2, &n, &err), PIPE_IO_OK);
			uint64_t pos = got_pos + n;
			assert_int_equal(pipe_read(&copy, bytes, sizeof(bytes), &n, &err),
					 PIPE_IO_OK);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(bytes[i], byte_at(pos + i));
			break;
		case 3:
			if (pipe_read(&b, bytes, want, &n, &err) != PIPE_IO_OK)
				break;
			for (size_t i = 0; i < n; i++)
				assert_int_equal(bytes[i], byte_at(got_pos + i));
			got_pos += n;
			break;
		}
		pipe_rig_check_held(&a, a.held_bytes);
		pipe_rig_check_held(&b, b.held_bytes);
		pipe_rig_check_held(&copy, 0);
		assert_int_equal(put_pos - got_pos, a.held_bytes + b.held_bytes);
	}
	assert_true(got_pos > 1000000);
	close(null_fd);
	pipe_close(&a);
	pipe_close(&b);
	pipe_close(&copy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pipe_rig_begin, pipe_rig_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pipe_is_full_by_slots),
		TEST(splice_in_tells_empty_from_full),
		TEST(splice_in_of_one_byte_messages_gives_every_byte),
		TEST(splice_in_gives_what_arrived_before_the_end),
		TEST(splice_in_says_empty_before_an_urgent_byte),
		TEST(splice_in_is_refused_by_what_cannot_splice),
		TEST(splice_out_leaves_no_tail_corked),
		TEST(splice_out_of_more_than_held_aborts),
		TEST(splice_out_stops_at_a_full_socket),
		TEST(splice_out_to_a_closed_peer_is_an_error_and_keeps_the_bytes),
		TEST(tee_into_an_equal_empty_pipe_is_whole),
		TEST(tee_is_short_when_slots_run_out),
		TEST(move_takes_from_the_head_and_appends),
		TEST(a_gift_across_pages_may_be_torn_and_within_one_never),
		TEST(a_long_gift_fills_the_slots),
		TEST(write_is_whole_up_to_pipe_buf),
		TEST(discard_drops_from_the_head),
		TEST(random_steps_keep_the_stream_and_the_counts),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
