// SPDX-License-Identifier: MIT
/* net/peer_count.c and net/token_bucket.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/cidr.h"
#include "base/clock.h"
#include "net/peer_count.h"
#include "net/token_bucket.h"

static uint64_t key_of(const char *text)
{
	struct in6_addr address;

	assert_int_equal(inet_pton(AF_INET6, text, &address), 1);
	return peer_count_key(&address);
}

static void ipv6_counts_by_64_and_ipv4_by_address(void **state)
{
	(void)state;
	assert_true(key_of("2001:db8::1") == key_of("2001:db8::ffff:ffff:ffff:ffff"));
	assert_true(key_of("2001:db8::1") != key_of("2001:db8:0:1::1"));
	assert_true(key_of("::ffff:10.0.0.1") != key_of("::ffff:10.0.0.2"));
	assert_true(key_of("::ffff:10.0.0.1") != key_of("::1"));
	/* Behind a translator, by their IPv4 addresses. */
	assert_true(key_of("64:ff9b::192.0.2.1") != key_of("64:ff9b::192.0.2.2"));
	assert_true(key_of("64:ff9b::192.0.2.1") == key_of("::ffff:192.0.2.1"));
	assert_true(key_of("64:ff9b::10.0.0.1") == key_of("64:ff9b::10.0.0.2"));
}

static void link_local_counts_by_interface(void **state)
{
	struct in6_addr one, other, elsewhere, global, same;

	(void)state;
	assert_int_equal(inet_pton(AF_INET6, "fe80::1", &one), 1);
	assert_int_equal(inet_pton(AF_INET6, "fe80::2", &other), 1);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &global), 1);
	elsewhere = one;
	same = global;
	cidr_set_zone(&one, 7);
	cidr_set_zone(&other, 7);
	cidr_set_zone(&elsewhere, 8);
	cidr_set_zone(&global, 7);
	assert_true(peer_count_key(&one) == peer_count_key(&other));
	assert_true(peer_count_key(&one) != peer_count_key(&elsewhere));
	assert_true(peer_count_key(&global) == peer_count_key(&same));
}

/* One more goes in under a limit above `expected`, and none under a limit of as many.  (A limit of
 * 0 would be none.) */
static void check_count(struct peer_count *counts, uint64_t key, uint64_t expected)
{
	if (expected)
		assert_int_equal(peer_count_enter(counts, key, expected), -EDQUOT);
	assert_int_equal(peer_count_enter(counts, key, expected + 1), 0);
	peer_count_leave(counts, key);
}

static void the_limit_is_per_key(void **state)
{
	struct peer_count *counts = peer_count_new();

	(void)state;
	assert_non_null(counts);
	assert_int_equal(peer_count_enter(counts, 1, 2), 0);
	assert_int_equal(peer_count_enter(counts, 1, 2), 0);
	assert_int_equal(peer_count_enter(counts, 1, 2), -EDQUOT);
	assert_int_equal(peer_count_enter(counts, 2, 2), 0);
	assert_int_equal(peer_count_enter(counts, 1, 0), 0);
	check_count(counts, 1, 3);
	peer_count_leave(counts, 1);
	peer_count_leave(counts, 1);
	assert_int_equal(peer_count_enter(counts, 1, 2), 0);
	check_count(counts, 1, 2);
	peer_count_leave(counts, 1);
	peer_count_leave(counts, 1);
	peer_count_leave(counts, 2);
	check_count(counts, 1, 0);
	peer_count_drop(&counts);
	peer_count_drop(&counts);
}

/* Against a plain array, with many keys that come and go: runs are long when the table is fullest.
 */
static void counts_are_those_of_an_array(void **state)
{
	enum {
		KEYS = 1000,
		STEPS = 200000
	};
	struct peer_count *counts = peer_count_new();
	uint64_t expected[KEYS] = {0};
	uint32_t random = 1;

	(void)state;
	for (int i = 0; i < STEPS; i++) {
		uint64_t key;

		random = random * 1664525u + 1013904223u;
		key = random >> 8 & 1023;
		if (key >= KEYS)
			continue;
		/* waves, so that the table fills and empties */
		if ((random >> 20) % 100 < (i / 20000 % 2 ? 35u : 65u)) {
			assert_int_equal(peer_count_enter(counts, key << 32, 0), 0);
			expected[key]++;
		} else if (expected[key]) {
			peer_count_leave(counts, key << 32);
			expected[key]--;
		}
		check_count(counts, key << 32, expected[key]);
	}
	for (uint64_t key = 0; key < KEYS; key++) {
		check_count(counts, key << 32, expected[key]);
		while (expected[key]--)
			peer_count_leave(counts, key << 32);
	}
	peer_count_drop(&counts);
}

/* Its memory goes with the last connection; the sanitizer would see it otherwise. */
static void it_outlives_its_owner(void **state)
{
	struct peer_count *counts = peer_count_new();
	struct peer_count *kept = counts;

	(void)state;
	assert_int_equal(peer_count_enter(counts, 7, 0), 0);
	assert_int_equal(peer_count_enter(counts, 8, 0), 0);
	peer_count_drop(&counts);
	assert_null(counts);
	peer_count_leave(kept, 7);
	peer_count_leave(kept, 8);
}

static void a_bucket_gives_a_second_s_worth_and_then_the_rate(void **state)
{
	struct token_bucket bucket;
	uint64_t now = 5 * NS_PER_S;
	unsigned taken = 0;

	(void)state;
	token_bucket_init(&bucket, 10, 10);
	while (token_bucket_wait_ns(&bucket, now, 1) == 0 && taken < 100) {
		token_bucket_take(&bucket, now, 1);
		taken++;
	}
	assert_int_equal(taken, 10);
	assert_int_equal(token_bucket_wait_ns(&bucket, now, 1), NS_PER_S / 10);
	now += NS_PER_S / 10;
	assert_int_equal(token_bucket_wait_ns(&bucket, now, 1), 0);
	token_bucket_take(&bucket, now, 1);
	assert_int_equal(token_bucket_wait_ns(&bucket, now, 1), NS_PER_S / 10);
	now += 100 * NS_PER_S;
	for (taken = 0; token_bucket_wait_ns(&bucket, now, 1) == 0 && taken < 100; taken++)
		token_bucket_take(&bucket, now, 1);
	assert_int_equal(taken, 10);
}

// A rover says 71 bytes every 10 s for a month; then all at once what it said in an hour.
static void a_trickle_goes_on_and_a_flood_does_not(void **state)
{
	struct token_bucket bucket;
	uint64_t now = 5 * NS_PER_S;

	(void)state;
	token_bucket_init(&bucket, 100, 4096);
	for (int i = 0; i < 30 * 24 * 360; i++) {
		assert_true(token_bucket_try_take(&bucket, now, 71));
		now += 10 * NS_PER_S;
	}
	for (int i = 0; i < 4096 / 71; i++)
		assert_true(token_bucket_try_take(&bucket, now, 71));
	assert_false(token_bucket_try_take(&bucket, now, 71));
	assert_true(token_bucket_try_take(&bucket, now, 4096 % 71));
	assert_false(token_bucket_try_take(&bucket, now, 1));
	assert_true(token_bucket_try_take(&bucket, now + NS_PER_S, 100));
	assert_false(token_bucket_try_take(&bucket, now + NS_PER_S, 1));
}

static void what_a_bucket_gets_back_is_there_again(void **state)
{
	struct token_bucket bucket;
	uint64_t now = 5 * NS_PER_S;

	(void)state;
	token_bucket_init(&bucket, 10, 50);
	assert_true(token_bucket_try_take(&bucket, now, 50));
	token_bucket_give_back(&bucket, 30);
	assert_true(token_bucket_try_take(&bucket, now, 30));
	assert_false(token_bucket_try_take(&bucket, now, 1));
	token_bucket_give_back(&bucket, 100);
	assert_false(token_bucket_try_take(&bucket, now, 51));
	assert_true(token_bucket_try_take(&bucket, now, 50));
}

static void a_bucket_that_holds_nothing_gives_nothing(void **state)
{
	struct token_bucket bucket;

	(void)state;
	token_bucket_init(&bucket, 10, 0);
	assert_false(token_bucket_try_take(&bucket, 100 * NS_PER_S, 1));
	assert_true(token_bucket_try_take(&bucket, 100 * NS_PER_S, 0));
}

static void a_bucket_without_rate_has_no_limit(void **state)
{
	struct token_bucket bucket;

	(void)state;
	token_bucket_init(&bucket, 0, 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(token_bucket_wait_ns(&bucket, 1, UINT32_MAX), 0);
		token_bucket_take(&bucket, 1, UINT32_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv6_counts_by_64_and_ipv4_by_address),
		cmocka_unit_test(link_local_counts_by_interface),
		cmocka_unit_test(the_limit_is_per_key),
		cmocka_unit_test(counts_are_those_of_an_array),
		cmocka_unit_test(it_outlives_its_owner),
		cmocka_unit_test(a_bucket_gives_a_second_s_worth_and_then_the_rate),
		cmocka_unit_test(a_trickle_goes_on_and_a_flood_does_not),
		cmocka_unit_test(what_a_bucket_gets_back_is_there_again),
		cmocka_unit_test(a_bucket_that_holds_nothing_gives_nothing),
		cmocka_unit_test(a_bucket_without_rate_has_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
