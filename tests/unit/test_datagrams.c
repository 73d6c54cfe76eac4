// SPDX-License-Identifier: MIT
/* Datagrams: one at a time, what is passed over, and what goes into the next process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "source/datagrams.h"

struct rig {
	int fd, sender;
	struct datagrams *datagrams;
	struct access access;
	struct given_bytes given;
	struct datagrams_news news;
};

static void begin(struct rig *rig)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(own);

	*rig = (struct rig){.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0),
			    .sender = socket(AF_INET, SOCK_DGRAM, 0)};
	assert_int_equal(bind(rig->fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(getsockname(rig->fd, (struct sockaddr *)&own, &bytes), 0);
	assert_int_equal(connect(rig->sender, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(datagrams_new(0, &rig->datagrams), 0);
}

static void end(struct rig *rig)
{
	access_fini(&rig->access);
	datagrams_free(&rig->datagrams);
	close(rig->fd);
	close(rig->sender);
}

static void say(const struct rig *rig, const char *text)
{
	assert_int_equal(send(rig->sender, text, strlen(text), 0), strlen(text));
}

static int next(struct rig *rig)
{
	return datagrams_next(rig->datagrams, rig->fd, &rig->access, 5, &rig->given, &rig->news);
}

static void expect(struct rig *rig, const char *text)
{
	assert_int_equal(next(rig), 1);
	assert_int_equal(rig->given.count, strlen(text));
	assert_memory_equal(rig->given.bytes, text, rig->given.count);
}

static void each_comes_by_itself(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig);
	assert_int_equal(next(&rig), 0);
	say(&rig, "one");
	say(&rig, "");
	say(&rig, "two");
	expect(&rig, "one");
	assert_true(datagrams_wait(rig.datagrams));
	expect(&rig, "two");
	assert_false(datagrams_wait(rig.datagrams));
	assert_int_equal(next(&rig), 0);
	assert_int_equal(rig.news.too_long + rig.news.denied + rig.news.lost, 0);
	end(&rig);
}

static void longer_ones_are_passed_over_and_counted(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig);
	say(&rig, "123456");
	say(&rig, "12345");
	say(&rig, "1234567");
	expect(&rig, "12345");
	assert_int_equal(rig.news.too_long, 1);
	assert_int_equal(next(&rig), 0);
	assert_int_equal(rig.news.too_long, 1);
	end(&rig);
}

static void others_are_passed_over_and_counted(void **state)
{
	struct errmsg err;
	struct rig rig;

	(void)state;
	begin(&rig);
	assert_int_equal(access_init(&rig.access, "", "127.0.0.0/8", &err), 0);
	say(&rig, "evil");
	assert_int_equal(next(&rig), 0);
	assert_int_equal(rig.news.denied, 1);
	end(&rig);
}

// What was received goes on in another process, the rest of one first, and is asked for no address.
static void what_waits_is_packed(void **state)
{
	struct errmsg err;
	struct rig rig, other;
	uint8_t *bytes;
	size_t count;

	(void)state;
	begin(&rig);
	begin(&other);
	assert_int_equal(access_init(&other.access, "", "127.0.0.0/8", &err), 0);
	say(&rig, "first");
	say(&rig, "next");
	say(&rig, "last");
	expect(&rig, "first");
	rig.given.bytes += 3;
	rig.given.count -= 3;
	count = datagrams_pack(rig.datagrams, &rig.access, &rig.given, &bytes);
	assert_int_equal(count, 3 * sizeof(uint32_t) + 2 + 4 + 4);
	datagrams_unpack(other.datagrams, bytes, count);
	expect(&other, "st");
	expect(&other, "next");
	expect(&other, "last");
	assert_int_equal(next(&other), 0);
	datagrams_unpack(other.datagrams, bytes, 5); // cut short
	assert_int_equal(next(&other), 0);
	end(&other);
	end(&rig);
}

static void nothing_waits_nothing_is_packed(void **state)
{
	struct rig rig;
	uint8_t *bytes;

	(void)state;
	begin(&rig);
	assert_int_equal(datagrams_pack(rig.datagrams, &rig.access, &rig.given, &bytes), 0);
	assert_null(bytes);
	end(&rig);
}

// The kernel says with a datagram how many it had dropped before.
static void what_the_kernel_drops_is_known(void **state)
{
	int small = 1, on = 1;
	uint32_t lost = 0, got = 0;
	struct rig rig;

	(void)state;
	begin(&rig);
	assert_int_equal(setsockopt(rig.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(setsockopt(rig.fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on)), 0);
	for (int i = 0; i < 100; i++)
		say(&rig, "12345");
	while (next(&rig) == 1)
		got++;
	say(&rig, "12345");
	expect(&rig, "12345");
	lost = rig.news.lost;
	assert_true(got > 0 && lost > 0);
	assert_int_equal(got + lost, 100);
	assert_int_equal(udp_socket_dropped(rig.fd), lost);
	assert_int_equal(datagrams_dropped(rig.datagrams), lost);
	end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_comes_by_itself),
		cmocka_unit_test(longer_ones_are_passed_over_and_counted),
		cmocka_unit_test(others_are_passed_over_and_counted),
		cmocka_unit_test(what_waits_is_packed),
		cmocka_unit_test(nothing_waits_nothing_is_packed),
		cmocka_unit_test(what_the_kernel_drops_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
