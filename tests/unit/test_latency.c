// SPDX-License-Identifier: MIT
/*
 * The latency histogram of relaycat: every value has a bucket, no quantile is off by more than 3 %.
 *
 * The tools are programs, not part of the library, so the file under test is included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relay/tools/relaycat/latency.c"

static void empty_is_zero(void **state)
{
	static struct latency latency;

	(void)state;
	latency_init(&latency);
	assert_true(latency_quantile(&latency, 500) == 0);
	assert_true(latency.max == 0);
}

static void every_value_is_within_its_step(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		for (int around = -1; around <= 1; around++) {
			uint64_t value = (1ULL << bit) + (uint64_t)around;
			unsigned bucket = bucket_of(value);

			assert_true(bucket < LATENCY_BUCKETS);
			assert_true(largest_in_bucket(bucket) >= value);
			assert_true(largest_in_bucket(bucket) - value <= value / LATENCY_STEPS);
			assert_true(bucket == 0 || largest_in_bucket(bucket - 1) < value);
		}
	}
	assert_int_equal(bucket_of(UINT64_MAX), LATENCY_BUCKETS - 1);
}

static void quantiles_of_a_ramp(void **state)
{
	static struct latency latency;

	(void)state;
	latency_init(&latency);
	for (uint64_t value = 1; value <= 100000; value++)
		latency_add(&latency, value, 1);
	assert_in_range(latency_quantile(&latency, 500), 50000, 51600);
	assert_in_range(latency_quantile(&latency, 990), 99000, 100000);
	assert_true(latency_quantile(&latency, 1000) == 100000);
	assert_true(latency_quantile(&latency, 0) == 1);
}

static void times_weigh(void **state)
{
	static struct latency latency;

	(void)state;
	latency_init(&latency);
	latency_add(&latency, 10, 99);
	latency_add(&latency, 1000, 1);
	assert_true(latency_quantile(&latency, 990) == 10);
	assert_true(latency_quantile(&latency, 991) == 1000);
	assert_true(latency.max == 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_is_zero),
		cmocka_unit_test(every_value_is_within_its_step),
		cmocka_unit_test(quantiles_of_a_ramp),
		cmocka_unit_test(times_weigh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
