// SPDX-License-Identifier: MIT
/*
 * Rows of the benchmarks that say "as from a network card": the bytes that arrive are right, and
 * they do lie in pieces of their own. Over TCP on loopback, as in the benchmarks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/bench/loose.h"
#include "tests/bench/wire.h"

#define CHUNK_BYTES 60000
#define PIECE_BYTES 1448
#define SLOTS       8

struct line {
	int publisher, server; /* the two ends of a connection */
	int pipe[2];           /* of SLOTS slots */
	struct loose loose;
	uint8_t chunk[CHUNK_BYTES];
};

static void open_line(struct line *line)
{
	struct sockaddr_in address;
	int listener = wire_listen("", &address);

	assert_true(listener >= 0);
	line->publisher = wire_connect(&address, 0, "");
	assert_true(line->publisher >= 0);
	line->server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(line->server >= 0);
	close(listener);
	assert_int_equal(pipe2(line->pipe, O_NONBLOCK | O_CLOEXEC), 0);
	assert_true(fcntl(line->pipe[0], F_SETPIPE_SZ, SLOTS * getpagesize()) > 0);
	for (size_t i = 0; i < CHUNK_BYTES; i++)
		line->chunk[i] = (uint8_t)(i * 31 + i / 251);
	assert_int_equal(loose_open(&line->loose, line->chunk, CHUNK_BYTES, PIECE_BYTES), 0);
}

static void close_line(struct line *line)
{
	loose_close(&line->loose);
	fd_close(&line->publisher);
	fd_close(&line->server);
	fd_close(&line->pipe[0]);
	fd_close(&line->pipe[1]);
}

/* Sends up to the end of a chunk, or until the socket is full. Returns the bytes. */
static size_t send_some(struct line *line, size_t at)
{
	size_t sent = 0;

	while (at + sent < CHUNK_BYTES) {
		ssize_t n = loose_send(&line->loose, line->publisher);

		if (n < 0 && errno == EAGAIN)
			break;
		assert_true(n > 0);
		sent += (size_t)n;
	}
	return sent;
}

/* Waits until there is something, and takes as much of it as the pipe has slots for. */
static size_t fill_pipe(struct line *line)
{
	struct pollfd readable = {.fd = line->server, .events = POLLIN};
	ssize_t n;

	assert_int_equal(poll(&readable, 1, -1), 1);
	n = splice(line->server, NULL, line->pipe[1], NULL, 1 << 20, SPLICE_F_NONBLOCK);
	assert_true(n > 0);
	return (size_t)n;
}

/* Takes what the pipe holds, and compares it with the chunk from `at` on. */
static void empty_pipe(struct line *line, size_t at, size_t count)
{
	uint8_t bytes[SLOTS * PIECE_BYTES];

	while (count) {
		ssize_t n = read(line->pipe[0], bytes, sizeof(bytes));

		assert_true(n > 0);
		assert_true(at + (size_t)n <= CHUNK_BYTES);
		assert_memory_equal(bytes, line->chunk + at, (size_t)n);
		at += (size_t)n;
		count -= (size_t)n;
	}
}

static void test_pieces(void **state)
{
	static struct line line;

	(void)state;
	open_line(&line);
	for (int round = 0; round < 3; round++) {
		for (size_t sent = 0, came = 0; came < CHUNK_BYTES;) {
			size_t count;

			sent += send_some(&line, sent);
			count = fill_pipe(&line);
			/* Denser than a piece a slot is not as from a card. */
			assert_true(count <= SLOTS * PIECE_BYTES);
			empty_pipe(&line, came, count);
			came += count;
		}
	}
	close_line(&line);
}

static void test_refused(void **state)
{
	struct loose loose;
	uint8_t chunk[16] = {0};

	(void)state;
	assert_int_equal(loose_open(&loose, chunk, sizeof(chunk), 0), -EINVAL);
	loose_close(&loose);
	assert_int_equal(loose_open(&loose, chunk, sizeof(chunk), 1 << 20), -EINVAL);
	loose_close(&loose);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("bench_loose", tests, NULL, NULL);
}
