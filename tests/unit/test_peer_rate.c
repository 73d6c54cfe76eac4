// SPDX-License-Identifier: MIT
/* net/peer_rate.c: each address has its own rate, and many together have no more than the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/peer_rate.h"

enum {
	PER_S = 10,
};

static struct in6_addr address_of(unsigned number)
{
	char text[40];
	struct in6_addr address;

	snprintf(text, sizeof(text), "::ffff:10.0.%u.%u", number / 256, number % 256);
	assert_int_equal(inet_pton(AF_INET6, text, &address), 1);
	return address;
}

static unsigned take_all(struct peer_rate *rate, unsigned number, uint64_t now_ns)
{
	struct in6_addr address = address_of(number);
	unsigned count = 0;

	while (peer_rate_try_take(rate, &address, now_ns))
		count++;
	return count;
}

static void one_address_takes_nothing_from_another(void **state)
{
	struct peer_rate rate;
	uint64_t now_ns = NS_PER_S;

	(void)state;
	peer_rate_init(&rate, PER_S);
	assert_int_equal(take_all(&rate, 1, now_ns), PER_S);
	assert_int_equal(take_all(&rate, 1, now_ns), 0);
	assert_int_equal(take_all(&rate, 2, now_ns), PER_S);
	assert_int_equal(take_all(&rate, 1, now_ns + NS_PER_S / 2), PER_S / 2);
}

static void many_addresses_have_no_more_than_the_table(void **state)
{
	struct peer_rate rate;
	unsigned taken = 0;

	(void)state;
	peer_rate_init(&rate, PER_S);
	for (unsigned i = 0; i < 100 * PEER_RATE_PLACES; i++)
		taken += take_all(&rate, i, NS_PER_S);
	assert_int_equal(taken, PER_S * PEER_RATE_PLACES);
}

// Who keeps asking keeps its place, whoever comes and goes beside it.
static void a_newcomer_takes_the_place_that_has_most_left(void **state)
{
	struct peer_rate rate;

	(void)state;
	peer_rate_init(&rate, PER_S);
	assert_int_equal(take_all(&rate, 0, NS_PER_S), PER_S);
	for (unsigned i = 1; i < 3 * PEER_RATE_PLACES; i++) {
		struct in6_addr address = address_of(i);

		assert_true(peer_rate_try_take(&rate, &address, NS_PER_S));
	}
	assert_int_equal(take_all(&rate, 0, NS_PER_S), 0);
	assert_int_equal(take_all(&rate, 0, NS_PER_S + NS_PER_S / PER_S), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_address_takes_nothing_from_another),
		cmocka_unit_test(many_addresses_have_no_more_than_the_table),
		cmocka_unit_test(a_newcomer_takes_the_place_that_has_most_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
