// SPDX-License-Identifier: MIT
/*
 * Media types and fields that an operator gives to HTTP answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "config/answer_field.h"

static void media_types_are_known(void **state)
{
	static const char *const good[] = {
		"audio/mpeg",
		"application/vnd.rtcm+x",
		"text/plain; charset=utf-8",
		"text/plain;charset=utf-8;a=\"b c\"",
	};
	static const char *const bad[] = {
		"",
		"audio",
		"audio/",
		"/mpeg",
		"audio/mp eg",
		"audio/mpeg;",
		"audio/mpeg; charset",
		"audio/mpeg; a=",
		"audio/mpeg; a=\"b",
		"audio/mpeg\r\nSet-Cookie: a=b",
		"audio/mpeg; a=\"\r\n\"",
		"audio/mpeg, audio/ogg",
	};
	char text[MEDIA_TYPE_BYTES + 2] = "a/";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(media_type_is_valid(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(media_type_is_valid(bad[i]));
	memset(text + 2, 'b', MEDIA_TYPE_BYTES - 2);
	assert_true(media_type_is_valid(text));
	text[MEDIA_TYPE_BYTES] = 'b';
	assert_false(media_type_is_valid(text));
}

static void check_next(const char **rest, const char *name, const char *value)
{
	struct answer_field field;
	struct errmsg err = {""};

	assert_int_equal(answer_field_parse_next(rest, &field, &err), 1);
	assert_int_equal(field.name_bytes, strlen(name));
	assert_memory_equal(field.name, name, field.name_bytes);
	assert_int_equal(field.value_bytes, strlen(value));
	assert_memory_equal(field.value, value, field.value_bytes);
}

static void lists_are_read(void **state)
{
	const char *rest = " icy-name: Radio 1 |Link:<http://a:80>; rel=b|X-A:\tb \t";
	struct answer_field field;
	struct errmsg err;

	(void)state;
	check_next(&rest, "icy-name", "Radio 1");
	check_next(&rest, "Link", "<http://a:80>; rel=b");
	check_next(&rest, "X-A", "b");
	assert_int_equal(answer_field_parse_next(&rest, &field, &err), 0);
	rest = "";
	assert_int_equal(answer_field_parse_next(&rest, &field, &err), 0);
}

static void what_may_not_be_sent_is_refused(void **state)
{
	static const struct {
		const char *list, *words;
	} rows[] = {
		{"a", "name and a colon"},
		{": b", "name and a colon"},
		{"a b: c", "name and a colon"},
		{"a : c", "name and a colon"},
		{"(a): c", "name and a colon"},
		{"a\r\nb: c", "name and a colon"},
		{"| a: b", "name and a colon"},
		{"a:", "has no value"},
		{"a: | b: c", "has no value"},
		{"a: b |", "last '|'"},
		{"a: b\r\nc: d", "byte 0x0d"},
		{"a: b\x7f", "byte 0x7f"},
		{"a: \xc3\xa4", "byte 0xc3"},
		{"content-type: a/b", "content_type"},
		{"Connection: keep-alive", "by itself"},
		{"transfer-encoding: gzip", "by itself"},
		{"CONTENT-LENGTH: 5", "by itself"},
		{"Access-Control-Allow-Origin: *", "by itself"},
		{"Relay-Session: 1", "by itself"},
		{"sec-websocket-accept: x", "by itself"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *rest = rows[i].list;
		struct errmsg err = {""};
		struct answer_field field;

		/* A list may be wrong behind its first field. */
		int r = answer_field_parse_next(&rest, &field, &err);

		while (r > 0)
			r = answer_field_parse_next(&rest, &field, &err);
		assert_int_equal(r, -EINVAL);
		assert_non_null(strstr(err.text, rows[i].words));
	}
}

/* Names that only begin like those of relay's own. */
static void other_fields_may_be_sent(void **state)
{
	const char *rest = "Content-Type-Hint: a | Relayed: b | Dates: c | Access: d";

	(void)state;
	check_next(&rest, "Content-Type-Hint", "a");
	check_next(&rest, "Relayed", "b");
	check_next(&rest, "Dates", "c");
	check_next(&rest, "Access", "d");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(media_types_are_known),
		cmocka_unit_test(lists_are_read),
		cmocka_unit_test(what_may_not_be_sent_is_refused),
		cmocka_unit_test(other_fields_may_be_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
