// SPDX-License-Identifier: MIT
/* net/resolver.c with the getaddrinfo(3) of the system: answers come from the loop, and none comes
 * to who has cancelled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "net/resolver.h"
#include "tests/unit/net_rig.h"

struct rig {
	struct net_rig net;
	int answers;
	struct resolver_answer answer; /* the last one */
};

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	net_rig_open(&rig->net);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	resolver_answer_free(&rig->answer);
	net_rig_close(&rig->net);
	free(rig);
	return 0;
}

static void on_answer(void *owner, struct resolver_answer *answer)
{
	struct rig *rig = owner;

	rig->answers++;
	resolver_answer_free(&rig->answer);
	rig->answer = *answer;
	*answer = (struct resolver_answer){0};
}

static void resolver_answers_from_the_loop(void **state)
{
	static const struct {
		const char *text;
		int family;
	} rows[] = {
		{"tcp:127.0.0.1:80", AF_INET},
		{"tcp:[::1]:80", AF_INET6},
		{"unix:/run/x", AF_UNIX},
		{"unix:@x", AF_UNIX},
		{"tcp:*:80", 0},
		{"tcp:localhost:80", 0}, /* by a thread */
	};
	struct rig *rig = *state;
	struct resolver resolver;

	resolver_init(&resolver, rig->net.loop, on_answer, rig);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct endpoint endpoint = parsed(rows[i].text);

		assert_int_equal(resolver_start(&resolver, &endpoint), 0);
		assert_int_equal(rig->answers, i);
		run_until(&rig->net, rig->answers == (int)i + 1);
		assert_null(rig->answer.error);
		assert_true(rig->answer.count >= 1);
		if (rows[i].family)
			assert_int_equal(rig->answer.addresses[0].storage.ss_family,
					 rows[i].family);
	}
	resolver_cancel(&resolver);
}

static void resolver_tells_why_there_is_no_address(void **state)
{
	struct rig *rig = *state;
	/* A label of more than 63 bytes is refused before any name server is asked. */
	struct endpoint endpoint = {.kind = ENDPOINT_TCP, .port = "80"};
	struct resolver resolver;

	memset(endpoint.host, 'x', 70);
	resolver_init(&resolver, rig->net.loop, on_answer, rig);
	assert_int_equal(resolver_start(&resolver, &endpoint), 0);
	run_until(&rig->net, rig->answers == 1);
	assert_non_null(rig->answer.error);
	assert_int_equal(rig->answer.count, 0);
}

static void resolver_cancelled_never_answers(void **state)
{
	struct rig *rig = *state;
	struct endpoint named = parsed("tcp:localhost:80"), numeric = parsed("tcp:127.0.0.1:80");
	struct resolver resolver;

	resolver_init(&resolver, rig->net.loop, on_answer, rig);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(resolver_start(&resolver, i % 2 ? &named : &numeric), 0);
		if (i % 3)
			resolver_cancel(&resolver);
		ev_run(rig->net.loop, EVRUN_NOWAIT);
		rig->answers = 0;
		resolver_cancel(&resolver);
		ev_run(rig->net.loop, EVRUN_NOWAIT);
		assert_int_equal(rig->answers, 0);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(resolver_answers_from_the_loop),
		TEST(resolver_tells_why_there_is_no_address),
		TEST(resolver_cancelled_never_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
