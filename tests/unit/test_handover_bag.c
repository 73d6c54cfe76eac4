// SPDX-License-Identifier: MIT
/*
 * The bag between two processes: what goes in comes out, and a bag that is not as it was filled is
 * refused whole.  Then nothing stays open, and whose socket was in it sees a reset.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "continuity/sealed_memory.h"
#include "daemon/handover_bag.h"
#include "net/fd_message.h"
#include "tests/unit/fd_count.h"
#include "tests/unit/handover_sample.h"
#include "tests/unit/tcp_pair.h"

enum {
	STATE_MAX = 1 << 16,
	HEAD_BYTES = 32, // magic, schema, descriptors, length: 8 bytes each
	NUMBERS_BYTES = FDS * sizeof(int32_t),
};

struct scene {
	int fds_at_start;
	struct tcp_pair pair; // accepted: all descriptors of the sample are duplicates of it
	struct sample sample;
	struct handover_bag bag;
	uint8_t state[STATE_MAX]; // what is in the bag
	size_t length;
	struct errmsg err;
};

static struct scene scene;

static void fill(void)
{
	ssize_t got;

	scene.pair = tcp_pair_open(0);
	for (int i = 0; i < FDS; i++)
		assert_int_equal(dup2(scene.pair.accepted, FIRST_FD + i), FIRST_FD + i);
	sample_fill(&scene.sample);
	if (handover_pack(&scene.sample.handover, &scene.bag, &scene.err) < 0)
		fail_msg("%s", scene.err.text);
	got = pread(scene.bag.state_fd, scene.state, sizeof(scene.state), 0);
	assert_true(got > HEAD_BYTES && got < STATE_MAX);
	scene.length = (size_t)got;
	scene.err.text[0] = '\0';
}

static int begin(void **state)
{
	(void)state;
	scene.fds_at_start = count_fds();
	fill();
	return 0;
}

// What relay itself had open it closes when it ends.
static void leave(void)
{
	for (int i = 0; i < FDS; i++)
		(void)close(FIRST_FD + i);
	fd_close(&scene.pair.accepted);
}

static int end(void **state)
{
	(void)state;
	fd_close(&scene.pair.connected);
	assert_int_equal(count_fds(), scene.fds_at_start);
	return 0;
}

static bool sees_a_reset(void)
{
	struct pollfd ended = {.fd = scene.pair.connected, .events = POLLIN};
	char byte;

	assert_int_equal(poll(&ended, 1, -1), 1);
	return recv(scene.pair.connected, &byte, 1, 0) < 0 && errno == ECONNRESET;
}

// It has been refused for that reason, and nothing of it is left.
static void expect_refused(int r, const char *reason)
{
	struct handover *handover = NULL;

	assert_int_equal(handover_unpack(&scene.bag, &handover, &scene.err), r);
	assert_null(handover);
	if (!strstr(scene.err.text, reason))
		fail_msg("\"%s\" is not in \"%s\"", reason, scene.err.text);
	assert_int_equal(scene.bag.state_fd, -1);
	assert_int_equal(scene.bag.in_fd, -1);
	assert_int_equal(scene.bag.out_fd, -1);
	leave();
	assert_true(sees_a_reset());
}

static void what_goes_in_comes_out(void **state)
{
	struct handover *handover = NULL;
	char byte = 'x';

	(void)state;
	leave();
	assert_int_equal(handover_unpack(&scene.bag, &handover, &scene.err), 0);
	assert_int_equal(handover->feed_count, 1);
	assert_string_equal(handover->feeds[0].name, scene.sample.feeds[0].name);
	assert_int_equal(handover->feeds[0].parts[0].renditions[0].subscriber_count, 3);
	assert_int_equal(send(handover->config.fd, &byte, 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(scene.pair.connected, &byte, 1, 0), 1);
	handover_close(&handover);
	assert_null(handover);
}

// --- the state

static void put_state(const uint8_t *bytes, size_t count)
{
	fd_close(&scene.bag.state_fd);
	assert_int_equal(sealed_memory_copy("state", bytes, count, &scene.bag.state_fd), 0);
}

static void a_head_that_is_wrong_is_refused(void **state)
{
	static const struct {
		size_t at; // the byte that is one more than it was
		int r;
		const char *reason;
	} rows[] = {
		{0, -EPROTO, "no state of a relay"},
		{6, -EPROTO, "no state of a relay"},
		{8, -EPROTONOSUPPORT, "state of schema "},
		{15, -EPROTONOSUPPORT, "state of schema "},
		{16, -EPROTO, " and 8 descriptors, there are "},
		{23, -EPROTO, " descriptors, there are "},
		{24, -EPROTO, " and 7 descriptors, there are "},
		{31, -EPROTO, " and 7 descriptors, there are "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (i)
			fill();
		scene.state[rows[i].at]++;
		put_state(scene.state, scene.length);
		expect_refused(rows[i].r, rows[i].reason);
		fd_close(&scene.pair.connected);
	}
}

static void a_state_of_another_length_is_refused(void **state)
{
	const size_t lengths[] = {1, HEAD_BYTES - 1, HEAD_BYTES, scene.length - 1,
				  scene.length + 1};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		if (i)
			fill();
		scene.state[scene.length] = 0;
		put_state(scene.state, lengths[i]);
		expect_refused(-EPROTO, "state of ");
		fd_close(&scene.pair.connected);
	}
}

static void a_state_that_makes_no_sense_is_refused(void **state)
{
	(void)state;
	memset(scene.state + HEAD_BYTES + NUMBERS_BYTES, 0xff,
	       scene.length - HEAD_BYTES - NUMBERS_BYTES);
	put_state(scene.state, scene.length);
	expect_refused(-EPROTO, " at byte ");
}

static void numbers_that_are_not_in_order_are_refused(void **state)
{
	(void)state;
	memcpy(scene.state + HEAD_BYTES, scene.state + HEAD_BYTES + 4, 4);
	put_state(scene.state, scene.length);
	expect_refused(-EPROTO, "descriptors are not in order");
}

// Two owners would close it, of which one would close what is another's by then.
static void a_descriptor_goes_to_one_owner(void **state)
{
	struct handover_bag bag;

	(void)state;
	scene.sample.subscribers[1].fd = scene.sample.subscribers[0].fd;
	assert_int_equal(handover_pack(&scene.sample.handover, &bag, &scene.err), -EPROTO);
	assert_true(bag.state_fd == -1 && bag.in_fd == -1 && bag.out_fd == -1);
	what_goes_in_comes_out(state);
}

// Who has the descriptor could cut it while it is read.
static void a_state_that_is_not_sealed_is_refused(void **state)
{
	(void)state;
	fd_close(&scene.bag.state_fd);
	assert_int_equal(sealed_memory_begin("state", &scene.bag.state_fd), 0);
	assert_int_equal(sealed_memory_write(scene.bag.state_fd, scene.state, scene.length), 0);
	expect_refused(-EBADMSG, "state");
}

static void no_memory_at_all_is_refused(void **state)
{
	int ends[2];

	(void)state;
	fd_close(&scene.bag.state_fd);
	assert_int_equal(pipe(ends), 0);
	fd_close(&ends[1]);
	scene.bag.state_fd = ends[0];
	expect_refused(-EBADMSG, "state");
}

// --- the descriptors

// A new queue in which nothing waits.
static void empty_queue(void)
{
	struct handover_bag queue;

	assert_int_equal(handover_bag_open(&queue), 0);
	fd_close(&scene.bag.in_fd);
	fd_close(&scene.bag.out_fd);
	scene.bag.in_fd = queue.in_fd;
	scene.bag.out_fd = queue.out_fd;
}

static void put_fds(size_t count, uint64_t first)
{
	int fds[2 * FDS];

	for (size_t i = 0; i < count; i++)
		fds[i] = FIRST_FD;
	assert_int_equal(handover_bag_send(&scene.bag, fds, count, first), 0);
}

static void descriptors_that_are_not_all_are_refused(void **state)
{
	static const struct {
		size_t count, first; // of a message
		size_t more, next;   // of the one behind it; 0: none
		const char *reason;
	} rows[] = {
		{FDS - 1, 0, 0, 0, " descriptors, there are "},
		{FDS + 1, 0, 0, 0, " descriptors, there are "},
		{FDS, 1, 0, 0, "descriptors, after 7"},
		{FDS / 2, 0, FDS - FDS / 2, 0, "descriptors, after 7"},
		{FDS / 2, 0, FDS - FDS / 2, FDS, "descriptors, after 7"},
		{FDS, 0, 1, FDS, " and 7 descriptors, there are "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (i)
			fill();
		empty_queue();
		put_fds(rows[i].count, rows[i].first);
		if (rows[i].more)
			put_fds(rows[i].more, rows[i].next);
		expect_refused(-EPROTO, rows[i].reason);
		fd_close(&scene.pair.connected);
	}
}

static void words_among_the_descriptors_are_refused(void **state)
{
	(void)state;
	assert_int_equal(send(scene.bag.in_fd, "abc", 3, 0), 3);
	expect_refused(-EPROTO, "descriptors, after 7");
}

// --- the environment

static void only_three_numbers_are_a_bag(void **state)
{
	static const struct {
		const char *text;
		bool is_one;
	} rows[] = {
		{"700:701:702", true},
		{"0000700:701:702", true},
		{"", false},
		{"700", false},
		{"700:701", false},
		{"700:701:", false},
		{"x:701:702", false},
		{"700:x:702", false},
		{"700:701:x", false},
		{":700:701:702", false},
		{"-1:701:702", false},
		{"700 701 702", false},
		{"00000700:1:2", false},
		{"99999999999999999999:1:2", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct handover_bag bag;

		assert_int_equal(setenv(HANDOVER_ENVIRONMENT, rows[i].text, 1), 0);
		bag = handover_bag_inherited();
		if ((bag.state_fd == 700 && bag.in_fd == 701 && bag.out_fd == 702) !=
		    rows[i].is_one)
			fail_msg("%s", rows[i].text);
		if (!rows[i].is_one)
			assert_true(bag.state_fd == -1 && bag.in_fd == -1 && bag.out_fd == -1);
		assert_null(getenv(HANDOVER_ENVIRONMENT));
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_goes_in_comes_out),
		TEST(a_head_that_is_wrong_is_refused),
		TEST(a_state_of_another_length_is_refused),
		TEST(a_state_that_makes_no_sense_is_refused),
		TEST(numbers_that_are_not_in_order_are_refused),
		TEST(a_descriptor_goes_to_one_owner),
		TEST(a_state_that_is_not_sealed_is_refused),
		TEST(no_memory_at_all_is_refused),
		TEST(descriptors_that_are_not_all_are_refused),
		TEST(words_among_the_descriptors_are_refused),
		cmocka_unit_test(only_three_numbers_are_a_bag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
