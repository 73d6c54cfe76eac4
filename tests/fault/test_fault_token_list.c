// SPDX-License-Identifier: MIT
/* A token that cannot be looked up for want of memory is not a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fault/wrap.h"
#include "web/request_token.h"

static char path[] = "/tmp/relay-tokens-XXXXXX";

static int begin(void **state)
{
	static const char text[] = "abc\ndef\n";
	int fd = mkstemp(path);

	(void)state;
	wrap_reset();
	return fd >= 0 && write(fd, text, sizeof(text) - 1) == sizeof(text) - 1 ? close(fd) : -1;
}

static int end(void **state)
{
	(void)state;
	return unlink(path);
}

static void who_cannot_be_looked_up_is_neither_known_nor_unknown(void **state)
{
	struct request_token token = {.is_there = true, .text = "def"};
	const struct request_token none = {.is_there = false};
	struct token_list list;
	struct errmsg err;

	(void)state;
	assert_int_equal(token_list_load(&list, path, &err), 0);
	assert_int_equal(list.count, 2);
	assert_int_equal(request_token_is_in(&token, &list), 1);
	wrap_fail_once(WRAP_DIGEST, 1, ENOMEM);
	assert_int_equal(request_token_is_in(&token, &list), -ENOMEM);
	assert_int_equal(request_token_is_in(&token, &list), 1);
	token.text[0] = 'x';
	assert_int_equal(request_token_is_in(&token, &list), 0);
	wrap_fail_from(WRAP_DIGEST, 1, ENOMEM);
	assert_int_equal(request_token_is_in(&token, &list), -ENOMEM);
	assert_int_equal(request_token_is_in(&none, &list), 0); // needs none
	token_list_free(&list);
}

static void a_list_that_cannot_be_read_whole_is_none(void **state)
{
	struct token_list list = {.count = 7};
	struct errmsg err = {""};

	(void)state;
	for (unsigned i = 1; i <= 2; i++) {
		wrap_reset();
		wrap_fail_once(WRAP_DIGEST, i, ENOMEM);
		assert_int_equal(token_list_load(&list, path, &err), -ENOMEM);
		assert_memory_equal(err.text, path, strlen(path));
		assert_int_equal(list.count, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_cannot_be_looked_up_is_neither_known_nor_unknown),
		cmocka_unit_test(a_list_that_cannot_be_read_whole_is_none),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
