// SPDX-License-Identifier: MIT
/*
 * Tokens in requests, as a table: where they are found, and which place counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "web/request_token.h"

#define LONG    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONGEST LONG LONG LONG LONG LONG LONG LONG LONG

static void tokens_are_found(void **state)
{
	static const struct {
		const char *path, *fields;
		const char *token; /* NULL: none was brought; "": one that is no good */
		bool is_cookie;
	} cases[] = {
		{"/a", "", NULL, false},
		{"/a", "Authorization: Bearer abc\r\n", "abc", false},
		{"/a", "authorization: BEARER  abc=\r\n", "abc=", false},
		{"/a", "Authorization: Bearer\r\n", NULL, false},
		{"/a", "Authorization: Bearerabc\r\n", NULL, false},
		{"/a", "Authorization: Digest x\r\n", NULL, false},
		{"/a", "Authorization: Bearer " LONGEST "\r\n", LONGEST, false},
		{"/a", "Authorization: Bearer " LONGEST "x\r\n", "", false},
		/* user:abc, :abc, abc:, no colon, a:b:c, with a byte of zero, no base64 */
		{"/a", "Authorization: Basic dXNlcjphYmM=\r\n", "abc", false},
		{"/a", "authorization: basic OmFiYw==\r\n", "abc", false},
		{"/a", "Authorization: Basic YWJjOg==\r\n", "", false},
		{"/a", "Authorization: Basic YWJj\r\n", "", false},
		{"/a", "Authorization: Basic YTpiOmM=\r\n", "b:c", false},
		{"/a", "Authorization: Basic YTpiAGM=\r\n", "", false},
		{"/a", "Authorization: Basic abc\r\n", "", false},
		{"/a", "Authorization: Basic !!!!\r\n", "", false},
		{"/a", "Authorization: Basic ====\r\n", "", false},
		{"/a", "Authorization: Basic \r\n", NULL, false},
		{"/a", "Sec-WebSocket-Protocol: relay, relay.bearer.abc\r\n", "abc", false},
		{"/a", "Sec-WebSocket-Protocol: relay.bearer.\r\n", NULL, false},
		{"/a?access_token=abc", "", "abc", false},
		{"/a?burst=1k&access_token=a%62c&x", "", "abc", false},
		{"/a?access_token=abc&access_token=x", "", "abc", false},
		{"/a?access_token=", "", "", false},
		{"/a?access_token=%zz", "", "", false},
		{"/a?access_token=" LONGEST, "", LONGEST, false},
		{"/a?access_token=" LONGEST "x", "", "", false},
		{"/a?access_tokens=abc&token=abc", "", NULL, false},
		{"/a", "Cookie: access_token=abc\r\n", "abc", true},
		{"/a", "Cookie: a=b; access_token=abc;c=d\r\n", "abc", true},
		{"/a", "Cookie: a=b; xaccess_token=abc; access_tokens=c\r\n", NULL, false},
		{"/a", "Cookie: access_token=\r\n", "", true},
		/* the first place counts, even when it is no good */
		{"/a?access_token=q", "Authorization: Bearer x\r\nCookie: access_token=c\r\n", "x",
		 false},
		{"/a?access_token=q", "Authorization: Digest x\r\n", NULL, false},
		{"/a?access_token=q", "Sec-WebSocket-Protocol: relay.bearer.x\r\n", "x", false},
		{"/a?access_token=q", "Cookie: access_token=c\r\n", "q", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_request request;
		struct request_token token;
		char head[4096];
		int length = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n",
				      cases[i].path, cases[i].fields);

		http_request_init(&request, HTTP_GET, 0);
		assert_int_equal(http_request_parse(&request, head, (size_t)length),
				 HTTP_PARSE_WHOLE);
		request_token_find(&request, &token);
		if (token.is_there != (cases[i].token != NULL) ||
		    token.is_cookie != cases[i].is_cookie)
			fail_msg("%s %s", cases[i].path, cases[i].fields);
		assert_string_equal(token.text, cases[i].token ? cases[i].token : "");
		request_token_forget(&token);
		assert_string_equal(token.text, "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
