// SPDX-License-Identifier: MIT
/* net/listen_socket.c: own sockets do not stand in the way of new ones, and what an address
 * means. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "base/fd.h"
#include "net/listen_socket.h"
#include "net/listen_way_out.h"
#include "tests/unit/fd_count.h"
#include "tests/unit/parsed_endpoint.h"

#define UNUSED_ADDRESS "192.0.2.77" /* TEST-NET-1, RFC 5737: no machine has it */

/* A socket that listens at a free port, as the only one of its own. */
struct first {
	struct listen_sockets sockets;
	struct own_sockets own;
	char port[8];
	char dir[32];
	int fds;
};

static struct endpoint at_port(const struct first *first, const char *host)
{
	char text[ENDPOINT_TEXT_BYTES];

	snprintf(text, sizeof(text), "tcp:%s:%s", host, first->port);
	return parsed(text);
}

static void open_first(struct first *first, const char *text)
{
	struct endpoint endpoint = parsed(text);
	char local[ENDPOINT_TEXT_BYTES];
	struct errmsg err = {0};

	if (listen_sockets_open(&endpoint, 8, NULL, &first->sockets, &err) < 0)
		fail_msg("%s", err.text);
	first->own =
		(struct own_sockets){.list = first->sockets.list, .count = first->sockets.count};
	endpoint_print_local(local, sizeof(local), first->sockets.list[0].fd);
	snprintf(first->port, sizeof(first->port), "%s", strrchr(local, ':') + 1);
}

static int set_up(void **state)
{
	struct first *first = calloc(1, sizeof(*first));

	assert_non_null(first);
	snprintf(first->dir, sizeof(first->dir), "/tmp/relay-test-XXXXXX");
	assert_non_null(mkdtemp(first->dir));
	assert_int_equal(chdir(first->dir), 0);
	first->fds = count_fds();
	*state = first;
	return 0;
}

static int tear_down(void **state)
{
	struct first *first = *state;

	listen_sockets_close(&first->sockets);
	assert_int_equal(count_fds(), first->fds);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(first->dir), 0);
	free(first);
	return 0;
}

/* Like listen_sockets_open(), with a message when it fails against expectation. */
static void open_beside(const struct first *first, const struct endpoint *endpoint,
			struct listen_sockets *ret)
{
	struct errmsg err = {0};

	if (listen_sockets_open(endpoint, 8, &first->own, ret, &err) < 0)
		fail_msg("%s", err.text);
}

static int number(int fd, int level, int option)
{
	int value = -1;
	socklen_t bytes = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &bytes), 0);
	return value;
}

/* A stranger, as every other program is, cannot get in. */
static void expect_in_use(const struct endpoint *endpoint)
{
	struct listen_sockets sockets;

	assert_int_equal(listen_sockets_open(endpoint, 8, NULL, &sockets, NULL), -EADDRINUSE);
	assert_int_equal(sockets.count, 0);
}

static void own_socket_is_no_obstacle(void **state)
{
	static const struct {
		const char *first, *then;
	} rows[] = {
		{"tcp:127.0.0.1:0", "*"},       {"tcp:127.0.0.1:0", "0.0.0.0"},
		{"tcp:127.0.0.1:0", "[::]"},    {"tcp:*:0", "127.0.0.1"},
		{"tcp:0.0.0.0:0", "127.0.0.1"}, {"tcp:0.0.0.0:0", "*"},
		{"tcp:[::]:0", "0.0.0.0"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct first *first = *state;
		struct endpoint endpoint;
		struct listen_sockets then;

		open_first(first, rows[i].first);
		endpoint = at_port(first, rows[i].then);
		expect_in_use(&endpoint);
		open_beside(first, &endpoint, &then);
		assert_int_equal(then.count, 1);
		/* Nobody else is let in by what was done for this. */
		assert_int_equal(number(first->sockets.list[0].fd, SOL_SOCKET, SO_REUSEPORT), 0);
		assert_int_equal(number(then.list[0].fd, SOL_SOCKET, SO_REUSEPORT), 0);
		expect_in_use(&endpoint);
		/* Given up again, the first one is as it was. */
		listen_sockets_close(&then);
		expect_in_use(&endpoint);
		assert_int_equal(number(first->sockets.list[0].fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
		listen_sockets_close(&first->sockets);
	}
}

static void same_address_is_the_same_socket(void **state)
{
	struct first *first = *state;
	uint64_t cookies[2] = {0};
	struct listen_sockets then;
	struct endpoint endpoint;

	open_first(first, "tcp:127.0.0.1:0");
	endpoint = at_port(first, "127.0.0.1");
	open_beside(first, &endpoint, &then);
	for (size_t i = 0; i < 2; i++) {
		socklen_t bytes = sizeof(cookies[0]);
		int fd = i ? then.list[0].fd : first->sockets.list[0].fd;

		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookies[i], &bytes), 0);
	}
	assert_true(cookies[0] == cookies[1]);
	listen_sockets_close(&then);
}

static void another_program_stays_an_obstacle(void **state)
{
	struct first *first = *state;
	struct own_sockets nothing = {0};
	struct listen_sockets sockets;
	struct endpoint endpoint;
	struct errmsg err = {0};
	char way_out[512], expected[64];

	open_first(first, "tcp:127.0.0.1:0");
	endpoint = at_port(first, "*");
	assert_int_equal(listen_sockets_open(&endpoint, 8, &nothing, &sockets, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, ": Address already in use"));
	snprintf(expected, sizeof(expected), "ss -ltnp sport = :%s", first->port);
	assert_non_null(
		strstr(listen_way_out(&endpoint, -EADDRINUSE, way_out, sizeof(way_out)), expected));
}

static void both_families_apart(void **state)
{
	struct first *first = *state;
	struct listen_sockets then;
	struct endpoint endpoint;

	open_first(first, "tcp:0.0.0.0:0");
	endpoint = at_port(first, "[::]");
	expect_in_use(&endpoint);
	endpoint.is_ipv6_only = true;
	assert_int_equal(listen_sockets_open(&endpoint, 8, NULL, &then, NULL), 0);
	assert_int_equal(number(then.list[0].fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	listen_sockets_close(&then);
}

static void absent_address_is_listened_on(void **state)
{
	struct endpoint endpoint = parsed("tcp:" UNUSED_ADDRESS ":0");
	struct first *first = *state;

	assert_int_equal(listen_sockets_open(&endpoint, 8, NULL, &first->sockets, NULL), 0);
	assert_true(first->sockets.is_absent);
	listen_sockets_close(&first->sockets);
	endpoint = parsed("tcp:127.0.0.1:0");
	assert_int_equal(listen_sockets_open(&endpoint, 8, NULL, &first->sockets, NULL), 0);
	assert_false(first->sockets.is_absent);
}

static void clashes_are_known_beforehand(void **state)
{
	static const struct {
		const char *a, *b;
		bool a_is_ipv6_only, clash;
	} rows[] = {
		{"tcp:127.0.0.1:7", "tcp:127.0.0.1:7", false, true},
		{"tcp:127.0.0.1:7", "tcp:127.0.0.1:8", false, false},
		{"tcp:127.0.0.1:7", "tcp:127.0.0.2:7", false, false},
		{"tcp:0.0.0.0:7", "tcp:127.0.0.2:7", false, true},
		{"tcp:[::]:7", "tcp:127.0.0.2:7", false, true},
		{"tcp:[::]:7", "tcp:127.0.0.2:7", true, false},
		{"tcp:[::]:7", "tcp:0.0.0.0:7", true, false},
		{"tcp:[::]:7", "tcp:[::1]:7", true, true},
		{"tcp:0.0.0.0:7", "tcp:[::1]:7", false, false},
		{"tcp:[::1]:7", "tcp:127.0.0.1:7", false, false},
		{"tcp:127.0.0.1:0", "tcp:127.0.0.1:0", false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct endpoint a = parsed(rows[i].a), b = parsed(rows[i].b);
		struct endpoint_address a_address, b_address;

		assert_int_equal(listen_addresses(&a, &a_address, 1, NULL), 1);
		assert_int_equal(listen_addresses(&b, &b_address, 1, NULL), 1);
		if (listen_addresses_clash(&a_address, rows[i].a_is_ipv6_only, &b_address, false) !=
			    rows[i].clash ||
		    listen_addresses_clash(&b_address, false, &a_address, rows[i].a_is_ipv6_only) !=
			    rows[i].clash)
			fail_msg("%s and %s", rows[i].a, rows[i].b);
	}
}

static void file_has_its_rights_and_is_made_anew(void **state)
{
	struct endpoint endpoint = parsed("unix:s");
	struct first *first = *state;
	struct listen_sockets then;
	struct stat st;

	endpoint.mode = 0600;
	assert_int_equal(listen_sockets_open(&endpoint, 8, NULL, &first->sockets, NULL), 0);
	first->own = (struct own_sockets){.list = first->sockets.list, .count = 1};
	assert_int_equal(stat("s", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(listen_socket_has_file(&first->sockets.list[0], &endpoint));

	/* The same path is the same socket, with the rights that are wanted now. */
	endpoint.mode = 0666;
	open_beside(first, &endpoint, &then);
	assert_int_equal(stat("s", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	listen_sockets_close(&then);

	assert_int_equal(unlink("s"), 0);
	assert_false(listen_socket_has_file(&first->sockets.list[0], &endpoint));
	open_beside(first, &endpoint, &then);
	assert_true(listen_socket_has_file(&then.list[0], &endpoint));
	assert_false(listen_socket_has_file(&first->sockets.list[0], &endpoint));
	listen_sockets_close(&then);
	endpoint_unlink(&endpoint);
}

static void unknown_group_is_named(void **state)
{
	struct endpoint endpoint = parsed("unix:s");
	struct listen_sockets sockets;
	struct errmsg err = {0};

	(void)state;
	snprintf(endpoint.group, sizeof(endpoint.group), "no-such-group");
	assert_int_equal(listen_sockets_open(&endpoint, 8, NULL, &sockets, &err), -ENOENT);
	assert_string_equal(err.text, "listen unix:s: there is no group 'no-such-group'");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(own_socket_is_no_obstacle),
		TEST(same_address_is_the_same_socket),
		TEST(another_program_stays_an_obstacle),
		TEST(both_families_apart),
		TEST(absent_address_is_listened_on),
		TEST(clashes_are_known_beforehand),
		TEST(file_has_its_rights_and_is_made_anew),
		TEST(unknown_group_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
