// SPDX-License-Identifier: MIT
/* Ids of messages that are forwarded, and subjects that a stream takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "nats/forward_id.h"

static void an_id_is_read_as_it_was_printed(void **state)
{
	const struct forward_id ids[] = {{1, 1}, {UINT32_MAX, UINT64_MAX}, {77, 0}};
	const char *const subjects[] = {"x", "prices.x", "a:1-2", "a-b.c"};
	char text[FORWARD_ID_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		for (size_t k = 0; k < ARRAY_LEN(subjects); k++) {
			struct forward_id id = {0};

			forward_id_print(&ids[i], subjects[k], text);
			assert_true(forward_id_parse(text, subjects[k], &id));
			assert_int_equal(id.session, ids[i].session);
			assert_true(id.sequence == ids[i].sequence);
		}
	}
}

static void the_longest_id_fits(void **state)
{
	const struct forward_id longest = {UINT32_MAX, UINT64_MAX};
	char subject[256], text[FORWARD_ID_BYTES];
	struct forward_id id;

	(void)state;
	memset(subject, 'x', sizeof(subject) - 1);
	subject[sizeof(subject) - 1] = '\0';
	forward_id_print(&longest, subject, text);
	assert_true(forward_id_parse(text, subject, &id));
	assert_true(id.sequence == UINT64_MAX);
}

static void other_ids_are_none(void **state)
{
	static const char *const others[] = {
		"",
		"x",
		"x:",
		"x:1",
		"x:1-",
		"x:-1",
		"x:1-2 ",
		"x:1-2-3",
		"y:1-2",
		"xx:1-2",
		"x:a-2",
		"x:1-b",
		"x:+1-2",
		"x:4294967296-1",
		"x: 1-2",
		"1-2",
		"x:11111111111-1",
		"x:1-18446744073709551616",
	};
	struct forward_id id = {5, 6};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(forward_id_parse(others[i], "x", &id));
	assert_int_equal(id.session, 5);
	assert_int_equal(id.sequence, 6);
}

static void a_pattern_takes_its_subjects(void **state)
{
	static const struct {
		const char *pattern, *subject;
		bool is_taken;
	} cases[] = {
		{"x", "x", true},        {"x", "y", false},        {"x", "xx", false},
		{"xx", "x", false},      {"x.y", "x.y", true},     {"x.y", "x", false},
		{"x", "x.y", false},     {">", "x", true},         {">", "x.y.z", true},
		{"x.>", "x.y.z", true},  {"x.>", "x", false},      {"x.*", "x.y", true},
		{"x.*", "x.y.z", false}, {"*.y", "x.y", true},     {"*", "x", true},
		{"*.*", "x", false},     {"x.*.z", "x.y.z", true}, {"x.*.z", "x.y.w", false},
		{"x*", "xy", false},     {"x.y>", "x.yz", false},  {"", "x", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(forward_subject_matches(cases[i].pattern, cases[i].subject),
				 cases[i].is_taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_is_read_as_it_was_printed),
		cmocka_unit_test(the_longest_id_fits),
		cmocka_unit_test(other_ids_are_none),
		cmocka_unit_test(a_pattern_takes_its_subjects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
