// SPDX-License-Identifier: MIT
/* fanout/slow_cause.c: a truth table, and real sockets on loopback. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "fanout/slow_cause.h"
#include "tests/unit/tcp_pair.h"

static void signs_lead_to_causes(void **state)
{
	static const struct {
		struct slow_signs signs;
		enum slow_cause cause;
	} rows[] = {
		{{.is_tcp = false}, CAUSE_UNKNOWN},
		/* nothing in the socket: it waits for relay */
		{{.is_tcp = true}, CAUSE_RELAY},
		{{.is_tcp = true, .busy_us = 100, .window_us = 40}, CAUSE_RELAY},
		/* unless its window was closed until a moment ago */
		{{.is_tcp = true, .busy_us = 100, .window_us = 90}, CAUSE_RECEIVE_WINDOW},
		/* the window is closed, or too small for what comes next */
		{{.is_tcp = true,
		  .queued_bytes = 9000,
		  .unsent_bytes = 9000,
		  .segment_bytes = 1400},
		 CAUSE_RECEIVE_WINDOW},
		{{.is_tcp = true,
		  .queued_bytes = 9000,
		  .unsent_bytes = 4000,
		  .segment_bytes = 1400,
		  .window_bytes = 5100},
		 CAUSE_RECEIVE_WINDOW},
		{{.is_tcp = true,
		  .queued_bytes = 9000,
		  .unsent_bytes = 9000,
		  .window_probes = 2,
		  .window_bytes = 65536},
		 CAUSE_RECEIVE_WINDOW},
		/* ... but losses explain why nothing moves */
		{{.is_tcp = true, .queued_bytes = 9000, .unsent_bytes = 4000, .retransmits = 1},
		 CAUSE_NETWORK},
		{{.is_tcp = true,
		  .queued_bytes = 9000,
		  .unsent_bytes = 4000,
		  .window_bytes = 65536,
		  .lost_segments = 3},
		 CAUSE_NETWORK},
		/* room in the window: the congestion window, unless history says otherwise */
		{{.is_tcp = true,
		  .queued_bytes = 9000,
		  .unsent_bytes = 4000,
		  .segment_bytes = 1400,
		  .window_bytes = 65536,
		  .busy_us = 1000},
		 CAUSE_NETWORK},
		{{.is_tcp = true,
		  .queued_bytes = 9000,
		  .segment_bytes = 1400,
		  .window_bytes = 9000,
		  .busy_us = 1000,
		  .window_us = 600},
		 CAUSE_RECEIVE_WINDOW},
		{{.is_tcp = true,
		  .queued_bytes = 9000,
		  .window_bytes = 65536,
		  .busy_us = 1000,
		  .send_buffer_us = 600},
		 CAUSE_RELAY},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum slow_cause cause = slow_cause_judge(&rows[i].signs);

		if (cause != rows[i].cause)
			fail_msg("row %zu: %s, expected %s", i, slow_cause_name(cause),
				 slow_cause_name(rows[i].cause));
	}
}

/* A connected pair over loopback: fds[0] sends. */
static void connect_pair(int fds[2], int receive_buffer)
{
	const struct tcp_pair pair = tcp_pair_open(receive_buffer);

	fds[0] = pair.accepted;
	fds[1] = pair.connected;
	assert_int_equal(fd_set_nonblock(fds[0]), 0);
}

static void fill(int fd)
{
	static const uint8_t bytes[65536];

	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(errno, EAGAIN);
}

static void a_reader_that_does_not_read_closes_its_window(void **state)
{
	static const int receive_buffers[] = {4096, 65536, 1 << 20};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(receive_buffers); i++) {
		struct slow_signs signs;
		int fds[2];

		connect_pair(fds, receive_buffers[i]);
		/* What is in flight arrives first: until then it is the network's turn. */
		for (int turn = 0; turn < 5000; turn++) {
			fill(fds[0]);
			slow_cause_read(fds[0], &signs);
			if (slow_cause_judge(&signs) == CAUSE_RECEIVE_WINDOW)
				break;
			(void)poll(NULL, 0, 1);
		}
		if (slow_cause_judge(&signs) != CAUSE_RECEIVE_WINDOW)
			fail_msg("%s: queued %lu unsent %lu window %lu segment %lu retransmits %u",
				 slow_cause_name(slow_cause_judge(&signs)), signs.queued_bytes,
				 signs.unsent_bytes, signs.window_bytes, signs.segment_bytes,
				 signs.retransmits);
		/* What it takes is on its way still; then nothing can be sent any more. */
		for (int turn = 0; turn < 5000 && !slow_signs_is_window_shut(&signs); turn++) {
			fill(fds[0]);
			(void)poll(NULL, 0, 1);
			slow_cause_read(fds[0], &signs);
		}
		assert_true(slow_signs_is_window_shut(&signs));
		assert_true(slow_signs_has_unsent(fds[0]));
		assert_false(slow_signs_has_unsent(fds[1]));
		close(fds[0]);
		close(fds[1]);
	}
}

static void a_window_is_shut_when_nothing_can_be_sent(void **state)
{
	(void)state;
	const struct {
		struct slow_signs signs;
		bool is_shut;
	} rows[] = {
		{{.is_tcp = true, .queued_bytes = 9, .unsent_bytes = 9}, true},
		{{.is_tcp = true, .queued_bytes = 9, .unsent_bytes = 9, .window_bytes = 5}, true},
		{{.is_tcp = true, .queued_bytes = 9, .unsent_bytes = 4, .window_bytes = 5}, false},
		{{.is_tcp = true, .queued_bytes = 9, .unsent_bytes = 4}, true},
		{{.is_tcp = true, .queued_bytes = 9}, false},
		{{.is_tcp = true}, false},
		{{.queued_bytes = 9, .unsent_bytes = 9}, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(slow_signs_is_window_shut(&rows[i].signs), rows[i].is_shut);
}

static void an_empty_socket_waits_for_relay(void **state)
{
	int fds[2];

	(void)state;
	connect_pair(fds, 65536);
	assert_int_equal(slow_cause_of(fds[0]), CAUSE_RELAY);
	close(fds[0]);
	close(fds[1]);
}

static void a_unix_socket_does_not_tell(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	fill(fds[0]);
	assert_int_equal(slow_cause_of(fds[0]), CAUSE_UNKNOWN);
	close(fds[0]);
	close(fds[1]);
}

static void names_are_those_of_the_table(void **state)
{
	(void)state;
	assert_string_equal(slow_cause_name(CAUSE_RECEIVE_WINDOW), "receive_window");
	assert_string_equal(slow_cause_name(CAUSE_NETWORK), "network");
	assert_string_equal(slow_cause_name(CAUSE_RELAY), "relay");
	assert_string_equal(slow_cause_name(CAUSE_UNKNOWN), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signs_lead_to_causes),
		cmocka_unit_test(a_reader_that_does_not_read_closes_its_window),
		cmocka_unit_test(a_window_is_shut_when_nothing_can_be_sent),
		cmocka_unit_test(an_empty_socket_waits_for_relay),
		cmocka_unit_test(a_unix_socket_does_not_tell),
		cmocka_unit_test(names_are_those_of_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
