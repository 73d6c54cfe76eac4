// SPDX-License-Identifier: MIT
/* pull/pull.c: an answer that comes in two pieces, cut anywhere, is the same as whole, and its
 * stream stays in the connection from its first byte on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/compiler.h"
#include "intake/body_take.h"
#include "pull/pull.h"
#include "tests/unit/loop_ceiling.h"
#include "tests/unit/tcp_pair.h"

enum {
	HEADS_MAX = 3, /* of one answer */
};

struct rig {
	struct ev_loop *loop;
	struct ev_timer ceiling;
	struct pull pull;
	struct tcp_pair pair; /* connected: relay's end */
	uint64_t requests, refusals, out_of_range;
	int streams;
	struct errmsg refused; /* "": it was not */
};

static void on_stream(void *owner)
{
	((struct rig *)owner)->streams++;
}

static void on_refused(void *owner, const char *why, bool again)
{
	assert_false(again);
	errmsg_set(&((struct rig *)owner)->refused, "%s", why);
}

static void ask(struct rig *rig, const char *url)
{
	static const struct pull_events events = {on_stream, on_refused};
	static const struct gga_position nowhere;
	static const struct pull_params params = {.token_file = "", .position = &nowhere};
	static const struct pull_place beginning;
	const struct pull_counts counts = {&rig->requests, &rig->refusals, &rig->out_of_range};
	struct errmsg err;

	*rig = (struct rig){.pair = tcp_pair_open(0)};
	rig->loop = begin_loop(&rig->ceiling, 60);
	pull_init(&rig->pull, rig->loop, &params, &counts, &events, rig);
	assert_int_equal(pull_ask(&rig->pull, rig->pair.connected, url, &beginning, &err), 0);
}

static void end(struct rig *rig)
{
	struct source_body *body = pull_take_body(&rig->pull);

	(void)body_end(&body, rig->pair.connected, CLOSE_PEER_CLOSED);
	pull_cancel(&rig->pull, false);
	(void)close(rig->pair.connected);
	(void)close(rig->pair.accepted);
	end_loop(rig->loop, &rig->ceiling);
}

static bool is_readable(const struct rig *rig)
{
	struct pollfd readable = {.fd = rig->pair.connected, .events = POLLIN};

	return poll(&readable, 1, 0) > 0;
}

/* It has come, and relay has looked at it, once for each head: then it waits for more, and does
 * not look again and again. */
static void send_piece(struct rig *rig, const char *bytes, size_t count)
{
	int unacknowledged = 1;

	assert_int_equal(send(rig->pair.accepted, bytes, count, MSG_NOSIGNAL), count);
	while (unacknowledged > 0) {
		assert_int_equal(ioctl(rig->pair.accepted, SIOCOUTQ, &unacknowledged), 0);
		sched_yield();
	}
	for (int i = 0; i < HEADS_MAX; i++)
		ev_run(rig->loop, EVRUN_NOWAIT);
	if (!rig->streams && !rig->refused.text[0])
		assert_false(is_readable(rig));
}

static void expect_stream(const char *url, const char *head, const char *stream)
{
	char all[256], left[256];
	size_t count = (size_t)snprintf(all, sizeof(all), "%s%s", head, stream);
	struct rig rig;

	for (size_t cut = 1; cut < count; cut++) {
		ask(&rig, url);
		send_piece(&rig, all, cut);
		send_piece(&rig, all + cut, count - cut);
		assert_string_equal(rig.refused.text, "");
		assert_int_equal(rig.streams, 1);
		assert_int_equal(recv(rig.pair.connected, left, sizeof(left), MSG_DONTWAIT),
				 strlen(stream));
		assert_memory_equal(left, stream, strlen(stream));
		assert_int_equal(send(rig.pair.accepted, "x", 1, MSG_NOSIGNAL), 1);
		run_until(&rig, is_readable(&rig)); /* from one byte on, again */
		end(&rig);
	}
}

static void streams_begin_where_they_begin(void **state)
{
	(void)state;
	expect_stream("ntrip://h/M", "ICY 200 OK\r\n", "$GPGGA,1\r\n");
	expect_stream("ntrip://h/M", "ICY 200 OK\r\n",
		      "a-text-that-has-no-colon-and-no-end-of-a-line-"
		      "is-longer-than-any-name-of-a-field");
	expect_stream("ntrip://h/M", "ICY 200 OK\r\n", "hello\r\n.\r\n");
	expect_stream("ntrip://h/M", "ICY 200 OK\r\n", "\r\r\nBBB");
	expect_stream("ntrip://h/M", "ICY 200 OK\r\n", "\xd3stream");
	expect_stream("ntrip://h/M", "ICY 200 OK\r\n\r\n", "a: b\r\n\r\n");
	expect_stream("ntrip://h/M", "ICY 200 OK\r\nServer: x\r\n\r\n", "stream");
	expect_stream("ntrip://h/M", "HTTP/1.1 200 OK\r\nContent-Type: gnss/data\r\n\r\n",
		      "stream");
	expect_stream("http://h/a", "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", "stream");
	expect_stream("http://h/a",
		      "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
		      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nServer: x\r\n\r\n",
		      "stream");
	expect_stream("ntrip://h/M", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		      "stream");
	expect_stream("http://h/a", "ICY 200 OK\r\nServer: x\r\n\r\n", "stream");
}

/* What comes behind the piece that left it open does not fit into any head. */
static void a_long_stream_behind_half_a_line(void **state)
{
	static char stream[100000], left[sizeof(stream)];
	struct rig rig;

	(void)state;
	memset(stream, 'x', sizeof(stream));
	memcpy(stream, "abc,", 4);
	ask(&rig, "ntrip://h/M");
	send_piece(&rig, "ICY 200 OK\r\nabc", 15);
	send_piece(&rig, stream + 3, sizeof(stream) - 3);
	assert_int_equal(rig.streams, 1);
	assert_int_equal(recv(rig.pair.connected, left, sizeof(left), MSG_WAITALL), sizeof(left));
	assert_memory_equal(left, stream, sizeof(stream));
	end(&rig);
}

static void expect_end(const char *url, const char *text)
{
	struct rig rig;

	for (size_t count = 1; count <= strlen(text); count++) {
		ask(&rig, url);
		send_piece(&rig, text, count);
		assert_int_equal(shutdown(rig.pair.accepted, SHUT_WR), 0);
		run_until(&rig, rig.refused.text[0]);
		assert_string_equal(rig.refused.text, "the connection ended before an answer");
		assert_int_equal(rig.streams, 0);
		end(&rig);
	}
}

static void an_answer_that_ends_inside_its_head(void **state)
{
	(void)state;
	expect_end("ntrip://h/M", "ICY 200 OK\r\n$GPGGA");
	expect_end("ntrip://h/M", "HTTP/1.1 200 OK\r\nA: b\r\n");
	expect_end("http://h/M", "HTTP/1.1 200 OK\r\nA: b\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_begin_where_they_begin),
		cmocka_unit_test(a_long_stream_behind_half_a_line),
		cmocka_unit_test(an_answer_that_ends_inside_its_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
