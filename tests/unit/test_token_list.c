// SPDX-License-Identifier: MIT
/*
 * Token lists: what a file may hold, who is on it, and that no message tells a token.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/token_list.h"

static int begin(void **state)
{
	char *path = strdup("/tmp/relay-tokens-XXXXXX");
	int fd = path ? mkstemp(path) : -1;

	if (fd < 0)
		return -1;
	(void)close(fd);
	*state = path;
	return 0;
}

static int end(void **state)
{
	(void)unlink(*state);
	free(*state);
	return 0;
}

static int load(const char *path, const char *text, struct token_list *ret, struct errmsg *err)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
	*ret = (struct token_list){0};
	return token_list_load(ret, path, err);
}

static bool has(const struct token_list *list, const char *token)
{
	return token_list_has(list, token, strlen(token));
}

static void a_file_gives_its_tokens(void **state)
{
	struct token_list list;
	struct errmsg err;

	assert_int_equal(load(*state, "# first\nabc\r\n\nA-Z._~+/0==\n#x\nlast", &list, &err), 0);
	assert_int_equal(list.count, 3);
	assert_true(has(&list, "abc"));
	assert_true(has(&list, "A-Z._~+/0=="));
	assert_true(has(&list, "last"));
	assert_false(has(&list, ""));
	assert_false(has(&list, "ab"));
	assert_false(has(&list, "abcd"));
	assert_false(has(&list, "ABC"));
	assert_false(has(&list, "# first"));
	assert_false(has(&list, "#x"));
	token_list_free(&list);
	assert_false(has(&list, "abc"));
	token_list_free(&list);
}

static void what_is_no_token_is_named_by_its_line_only(void **state)
{
	static const char *const lines[] = {"two words", "s3cret!",  "=",
					    "a=b",       "\xc3\xa4", "tab\t"};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct token_list list;
		struct errmsg err = {""};
		char text[64];

		(void)snprintf(text, sizeof(text), "good\n%s\n", lines[i]);
		assert_int_equal(load(*state, text, &list, &err), -EINVAL);
		assert_non_null(strstr(err.text, ":2: "));
		assert_null(strstr(err.text, lines[i][0] == '=' ? "'='" : lines[i]));
		assert_null(list.digests);
	}
}

/* Its end would let in whoever sends that. */
static void a_long_comment_is_no_token(void **state)
{
	char text[1200];
	struct token_list list;
	struct errmsg err = {""};

	(void)snprintf(text, sizeof(text), "#%01100d\nabc\n", 0);
	assert_int_equal(load(*state, text, &list, &err), 0);
	assert_int_equal(list.count, 1);
	assert_true(has(&list, "abc"));
	token_list_free(&list);
	(void)snprintf(text, sizeof(text), "#%01100d\n\ntwo words\n", 0);
	assert_int_equal(load(*state, text, &list, &err), -EINVAL);
	assert_non_null(strstr(err.text, ":3: "));
}

static void a_token_has_a_length(void **state)
{
	char text[TOKEN_BYTES_MAX + 3];
	struct token_list list;
	struct errmsg err;

	memset(text, 'a', sizeof(text));
	text[TOKEN_BYTES_MAX] = '\n';
	text[TOKEN_BYTES_MAX + 1] = '\0';
	assert_int_equal(load(*state, text, &list, &err), 0);
	assert_true(token_list_has(&list, text, TOKEN_BYTES_MAX));
	assert_false(token_list_has(&list, text, TOKEN_BYTES_MAX - 1));
	token_list_free(&list);
	text[TOKEN_BYTES_MAX] = 'a';
	assert_int_equal(load(*state, text, &list, &err), -EINVAL);
}

static void a_file_without_a_token_is_a_mistake(void **state)
{
	struct token_list list;
	struct errmsg err;

	assert_int_equal(load(*state, "", &list, &err), -EINVAL);
	assert_int_equal(load(*state, "# none\n\n", &list, &err), -EINVAL);
	assert_non_null(strstr(err.text, "no token"));
	assert_int_equal(token_list_load(&list, "/nowhere/at/all", &err), -ENOENT);
	assert_int_equal(token_list_load(&list, "/tmp", &err), -EISDIR);
}

static void a_credential_is_looked_for_where_systemd_puts_it(void **state)
{
	const char *name = strrchr(*state, '/') + 1;
	struct token_list list;
	struct errmsg err;
	char credential[64];

	(void)snprintf(credential, sizeof(credential), "credential:%s", name);
	assert_int_equal(load(*state, "abc\n", &list, &err), 0);
	token_list_free(&list);
	(void)unsetenv("CREDENTIALS_DIRECTORY");
	assert_int_equal(token_list_load(&list, credential, &err), -ENOENT);
	assert_non_null(strstr(err.text, "LoadCredential"));
	(void)setenv("CREDENTIALS_DIRECTORY", "/tmp", 1);
	assert_int_equal(token_list_load(&list, credential, &err), 0);
	assert_true(has(&list, "abc"));
	token_list_free(&list);
	(void)unsetenv("CREDENTIALS_DIRECTORY");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_gives_its_tokens, begin, end),
		cmocka_unit_test_setup_teardown(what_is_no_token_is_named_by_its_line_only, begin,
						end),
		cmocka_unit_test_setup_teardown(a_long_comment_is_no_token, begin, end),
		cmocka_unit_test_setup_teardown(a_token_has_a_length, begin, end),
		cmocka_unit_test_setup_teardown(a_file_without_a_token_is_a_mistake, begin, end),
		cmocka_unit_test_setup_teardown(a_credential_is_looked_for_where_systemd_puts_it,
						begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
