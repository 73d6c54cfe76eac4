// SPDX-License-Identifier: MIT
/* base/cidr.c and net/access.c: truth tables of what is written, who is in it, and who may come in.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/cidr.h"
#include "base/compiler.h"
#include "net/access.h"

/* IPv4 as the kernel gives it on a dual-stack socket. */
static struct in6_addr address_of(const char *text)
{
	struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	const char *zone = strchr(text, '%');
	char plain[64];

	(void)snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "%"), text);
	if (!strchr(plain, ':'))
		assert_int_equal(inet_pton(AF_INET, plain, &address.s6_addr[12]), 1);
	else
		assert_int_equal(inet_pton(AF_INET6, plain, &address), 1);
	if (zone)
		cidr_set_zone(&address, if_nametoindex(zone + 1));
	return address;
}

static void networks_contain_what_they_say(void **state)
{
	static const struct {
		const char *network, *address;
		bool is_in;
	} rows[] = {
		{"10.0.0.0/8", "10.0.0.0", true},
		{"10.0.0.0/8", "10.255.255.255", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.0.0.0/8", "9.255.255.255", false},
		{"10.0.0.0/8", "::ffff:10.1.2.3", true},
		{"10.0.0.0/8", "::10.1.2.3", false},
		{"10.1.2.128/25", "10.1.2.127", false},
		{"10.1.2.128/25", "10.1.2.200", true},
		{"10.1.2.3", "10.1.2.3", true},
		{"10.1.2.3", "10.1.2.2", false},
		{"10.1.2.3/32", "10.1.2.3", true},
		{"0.0.0.0/0", "255.1.2.3", true},
		{"0.0.0.0/0", "::1", false},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"128.0.0.0/1", "200.1.1.1", true},
		{"128.0.0.0/1", "100.1.1.1", false},
		{"2001:db8::/32", "2001:db8:ffff::1", true},
		{"2001:db8::/32", "2001:db9::1", false},
		{"2001:db8::/33", "2001:db8:8000::1", false},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"::1", "::1", true},
		{"::1", "::2", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "10.1.2.3", false},
		{"::/1", "10.1.2.3", false},
		{"::ffff:10.0.0.0/104", "10.1.2.3", true},
		{"::ffff:10.0.0.0/104", "11.1.2.3", false},
		{"::ffff:0:0/96", "11.1.2.3", true},
		{"fe80::/10", "fe80::1", true},
		{"fe80::/10", "fec0::1", false},
		{"fe80::/10", "fe80::1%lo", true},
		{"fe80::1", "fe80::1%lo", true},
		{"fe80::1%lo", "fe80::1%lo", true},
		{"fe80::1%lo", "fe80::2%lo", false},
		{"fe80::%lo/10", "fe80::2%lo", true},
		{"fe80::1%lo", "fe80::1", false},
		{"fe80::1%no-such", "fe80::1%lo", false},
		{"192.0.2.0/24", "64:ff9b::192.0.2.1", true},
		{"192.0.2.0/24", "64:ff9b::192.0.3.1", false},
		{"64:ff9b::/96", "64:ff9b::192.0.2.1", true},
		{"64:ff9b::/96", "192.0.2.1", false},
		{"2000::/3", "64:ff9b::192.0.2.1", false},
		{"192.0.2.0/24", "64:ff9b:1::192.0.2.1", false},
		{"10.0.0.0/8", "64:ff9b::10.0.0.1", false},
		{"127.0.0.0/8", "64:ff9b::127.0.0.1", false},
		{"0.0.0.0/0", "64:ff9b::192.168.1.1", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct in6_addr address = address_of(rows[i].address);
		const char *rest = rows[i].network;
		struct errmsg err = {""};
		struct cidr cidr;

		if (cidr_parse_next(&rest, &cidr, &err) != 1)
			fail_msg("%s: %s", rows[i].network, err.text);
		assert_int_equal(cidr_parse_next(&rest, &cidr, &err), 0);
		if (cidr_contains(&cidr, &address) != rows[i].is_in)
			fail_msg("%s, %s", rows[i].network, rows[i].address);
	}
}

static void wrong_lists_are_refused(void **state)
{
	static const char *const rows[] = {
		"x",
		"localhost",
		"10.0.0",
		"10.0.0.0.0",
		"10.0.0.256",
		"010.0.0.0/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/+8",
		"10.0.0.0/8/8",
		"10.0.0.0/255.0.0.0",
		"10.0.0.1/8",
		"10.0.0.0 /8",
		"10.0.0.0/99999999999999999999",
		"0.0.0.1/0",
		"2001:db8::/129",
		"2001:db8::1/64",
		"2001:db8::1::",
		"[::1]",
		"fe80::1%",
		"fe80::1%an-interface-of-16",
		"::1%lo",
		"10.0.0.1%lo",
		"fe80::1/128%lo",
		"::ffff:10.0.0.0/90",
		",",
		",10.0.0.0/8",
		"10.0.0.0/8,",
		"10.0.0.0/8, ",
		"10.0.0.0/8,,11.0.0.0/8",
		"10.0.0.0/8 11.0.0.0/8",
		"10.0.0.0/8;11.0.0.0/8",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct errmsg err = {""};
		struct access access;

		if (access_init(&access, rows[i], "", &err) != -EINVAL)
			fail_msg("'%s' is taken", rows[i]);
		assert_true(err.text[0]);
		assert_null(access.allow.networks);
		assert_int_equal(access_init(&access, "10.0.0.0/8", rows[i], &err), -EINVAL);
		assert_null(access.allow.networks);
	}
}

static void deny_comes_first_and_allow_closes_the_rest(void **state)
{
	static const struct {
		const char *allow, *deny, *address;
		bool may;
	} rows[] = {
		{"", "", "10.1.2.3", true},
		{"", "", "2001:db8::1", true},
		{"10.0.0.0/8", "", "10.1.2.3", true},
		{"10.0.0.0/8", "", "11.1.2.3", false},
		{"10.0.0.0/8", "", "2001:db8::1", false},
		{"10.0.0.0/8, 2001:db8::/32", "", "2001:db8::1", true},
		{"", "10.0.0.0/8", "10.1.2.3", false},
		{"", "10.0.0.0/8", "11.1.2.3", true},
		{"", "10.0.0.0/8", "2001:db8::1", true},
		{"10.0.0.0/8", "10.1.2.3", "10.1.2.3", false},
		{"10.0.0.0/8", "10.1.2.3", "10.1.2.4", true},
		{"10.1.2.3", "10.0.0.0/8", "10.1.2.3", false},
		{"", "0.0.0.0/0,::/0", "::1", false},
		{" 127.0.0.1 ,\t::1 ", "", "::1", true},
		{" 127.0.0.1 ,\t::1 ", "", "127.0.0.1", true},
		{" 127.0.0.1 ,\t::1 ", "", "127.0.0.2", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct in6_addr address = address_of(rows[i].address);
		struct errmsg err = {""};
		struct access access;

		if (access_init(&access, rows[i].allow, rows[i].deny, &err) < 0)
			fail_msg("%s", err.text);
		if (access_is_allowed(&access, &address) != rows[i].may)
			fail_msg("allow '%s' deny '%s': %s", rows[i].allow, rows[i].deny,
				 rows[i].address);
		assert_int_equal(access_is_open(&access), !*rows[i].allow && !*rows[i].deny);
		access_fini(&access);
		access_fini(&access);
		assert_true(access_is_allowed(&access, &address));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks_contain_what_they_say),
		cmocka_unit_test(wrong_lists_are_refused),
		cmocka_unit_test(deny_comes_first_and_allow_closes_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
