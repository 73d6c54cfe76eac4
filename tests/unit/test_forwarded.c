// SPDX-License-Identifier: MIT
/*
 * Who sent a request, by what proxies say in it, as a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "http/http_request.h"
#include "web/forwarded.h"

#define PROXY "10.0.0.1"
#define X     "X-Forwarded-For: "
#define F     "Forwarded: "

static void set_peer(struct endpoint_address *peer, const char *text)
{
	struct sockaddr_in *address = (struct sockaddr_in *)&peer->storage;

	*peer = (struct endpoint_address){.bytes = sizeof(*address)};
	address->sin_family = AF_INET;
	assert_int_equal(inet_pton(AF_INET, text, &address->sin_addr), 1);
}

static void the_last_one_that_is_no_proxy_counts(void **state)
{
	static const struct {
		const char *fields, *peer; /* NULL: they contradict one another */
	} cases[] = {
		{"", "tcp:" PROXY ":0"},
		{X "192.0.2.1\r\n", "tcp:192.0.2.1:0"},
		{X "192.0.2.1, 10.0.0.9\r\n", "tcp:192.0.2.1:0"},
		{X "203.0.113.9, 192.0.2.1\r\n", "tcp:192.0.2.1:0"},
		{X "203.0.113.9\r\n" X "192.0.2.1\r\n", "tcp:192.0.2.1:0"},
		{X "10.0.0.7, 10.0.0.8\r\n", "tcp:10.0.0.7:0"},
		{X "192.0.2.1:4711\r\n", "tcp:192.0.2.1:0"},
		{X "2001:db8::7\r\n", "tcp:[2001:db8::7]:0"},
		{X "[2001:db8::7]:99\r\n", "tcp:[2001:db8::7]:0"},
		{X "unknown\r\n", "tcp:" PROXY ":0"},
		{X "192.0.2.1, unknown\r\n", "tcp:" PROXY ":0"},
		{X "192.0.2.1, unknown, 10.0.0.9\r\n", "tcp:10.0.0.9:0"},
		{X "300.1.1.1\r\n", "tcp:" PROXY ":0"},
		{X "\r\n", "tcp:" PROXY ":0"},
		{F "for=192.0.2.1\r\n", "tcp:192.0.2.1:0"},
		{F "proto=https; For=\"192.0.2.1:80\";by=203.0.113.9\r\n", "tcp:192.0.2.1:0"},
		{F "for=203.0.113.9, for=\"[2001:db8::7]:80\"\r\n", "tcp:[2001:db8::7]:0"},
		{F "for=_hidden\r\n", "tcp:" PROXY ":0"},
		{F "by=203.0.113.9\r\n", "tcp:" PROXY ":0"},
		{F "for=192.0.2.1\r\n" X "192.0.2.1\r\n", "tcp:192.0.2.1:0"},
		{F "for=203.0.113.9\r\n" X "192.0.2.1\r\n", NULL},
	};
	struct access trusted;
	struct errmsg err;

	(void)state;
	assert_int_equal(access_init(&trusted, "10.0.0.0/8", "", &err), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_request request;
		struct endpoint_address peer;
		char head[512], text[ENDPOINT_TEXT_BYTES];
		const char *wrong;
		int length = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n",
				      cases[i].fields);

		http_request_init(&request, HTTP_GET, 0);
		assert_int_equal(http_request_parse(&request, head, (size_t)length),
				 HTTP_PARSE_WHOLE);
		set_peer(&peer, PROXY);
		assert_true(forwarded_is_trusted(&trusted, &peer));
		wrong = forwarded_find_peer(&request.fields, &trusted, &peer);
		endpoint_print_address(text, sizeof(text), &peer);
		if ((wrong != NULL) != (cases[i].peer == NULL))
			fail_msg("%s: %s", cases[i].fields, wrong ? wrong : text);
		assert_string_equal(text, cases[i].peer ? cases[i].peer : "tcp:" PROXY ":0");
	}
	access_fini(&trusted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_one_that_is_no_proxy_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
