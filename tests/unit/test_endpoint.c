// SPDX-License-Identifier: MIT
/* net/endpoint.c: what is read, what is refused and why, what is printed, and listening. */
#include <errno.h>
#include <fcntl.h>
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
#include "net/endpoint.h"
#include "net/listen_socket.h"
#include "tests/unit/fd_count.h"
#include "tests/unit/parsed_endpoint.h"

/* Every test starts in an empty directory of its own and must give back every descriptor. */
struct place {
	char dir[32];
	int fds;
};

static void print_peer(char *buf, size_t size, int fd)
{
	struct endpoint_address address;

	endpoint_peer(fd, &address);
	endpoint_print_address(buf, size, &address);
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	snprintf(place->dir, sizeof(place->dir), "/tmp/relay-test-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	assert_int_equal(chdir(place->dir), 0);
	place->fds = count_fds();
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	assert_int_equal(count_fds(), place->fds);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(place->dir), 0); /* nothing was left behind */
	free(place);
	return 0;
}

/* The first socket of an endpoint.  After a failure *ret_fd has not changed. */
static int listen_on(const struct endpoint *endpoint, int *ret_fd, struct errmsg *err)
{
	struct listen_sockets sockets;
	int r = listen_sockets_open(endpoint, 8, NULL, &sockets, err);

	if (r < 0)
		return r;
	*ret_fd = sockets.list[0].fd;
	sockets.list[0].fd = -1;
	listen_sockets_close(&sockets);
	return 0;
}

static int connect_to(const char *text)
{
	struct endpoint endpoint = parsed(text);
	struct endpoint_address address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	endpoint_unix_address(&endpoint, &address);
	if (connect(fd, (struct sockaddr *)&address.storage, address.bytes) == 0)
		return fd;
	fd_close(&fd);
	return -errno;
}

static void reads_what_it_prints(void **state)
{
	static const struct {
		const char *text, *printed;
	} rows[] = {
		{"tcp:127.0.0.1:5555", "tcp:127.0.0.1:5555"},
		{"tcp:[::1]:0", "tcp:[::1]:0"},
		{"tcp:[fe80::1%eth0]:65535", "tcp:[fe80::1%eth0]:65535"},
		{"tcp:feed-1.example.org:9000", "tcp:feed-1.example.org:9000"},
		{"tcp:*:9000", "tcp:*:9000"},
		{"tcp::9000", "tcp:*:9000"},
		{"unix:/run/relay/a", "unix:/run/relay/a"},
		{"unix:@relay", "unix:@relay"},
		{"systemd:relay-in", "systemd:relay-in"},
	};
	char printed[ENDPOINT_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct endpoint endpoint = parsed(rows[i].text);

		endpoint_print(printed, sizeof(printed), &endpoint);
		assert_string_equal(printed, rows[i].printed);
	}
}

static void tells_what_is_wrong(void **state)
{
	static const struct {
		const char *text, *reason;
	} rows[] = {
		{"", "expected tcp:HOST:PORT"},
		{"udp:a:1", "expected tcp:HOST:PORT"},
		{"127.0.0.1:5555", "expected tcp:HOST:PORT"},
		{"tcp:", "expected tcp:HOST:PORT"},
		{"tcp:host", "expected tcp:HOST:PORT"},
		{"tcp:host:", "port from 0 to 65535"},
		{"tcp:host:http", "port from 0 to 65535"},
		{"tcp:host:65536", "port from 0 to 65535"},
		{"tcp:host:+1", "port from 0 to 65535"},
		{"tcp:[::1]", "port from 0 to 65535"},
		{"tcp:::1:80", "must stand in brackets"},
		{"tcp:[::g]:80", "IPv6 address between the brackets"},
		{"tcp:[]:80", "IPv6 address between the brackets"},
		{"tcp:a b:80", "not a host name"},
		{"tcp:[::1:80", "must stand in brackets"},
		{"unix:", "expected a path"},
		{"unix:@", "expected a path"},
		{"systemd:", "expected a name"},
	};
	char too_long[400] = "unix:";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct endpoint untouched = {.port = "x"};
		struct errmsg err = {0};

		assert_int_equal(endpoint_parse(rows[i].text, &untouched, &err), -EINVAL);
		assert_string_equal(untouched.port, "x");
		if (!strstr(err.text, rows[i].reason))
			fail_msg("\"%s\": %s", rows[i].text, err.text);
		assert_int_equal(endpoint_parse(rows[i].text, &untouched, NULL), -EINVAL);
	}
	memset(too_long + 5, 'x', 108);
	assert_int_equal(endpoint_parse(too_long, &(struct endpoint){0}, NULL), -EINVAL);
	too_long[5 + 107] = '\0';
	assert_int_equal(endpoint_parse(too_long, &(struct endpoint){0}, NULL), 0);
	snprintf(too_long, sizeof(too_long), "tcp:%0300d:1", 0);
	assert_int_equal(endpoint_parse(too_long, &(struct endpoint){0}, NULL), -EINVAL);
	snprintf(too_long, sizeof(too_long), "systemd:%0256d", 0);
	assert_int_equal(endpoint_parse(too_long, &(struct endpoint){0}, NULL), -EINVAL);
}

static void listens_on_tcp_with_the_real_port(void **state)
{
	static const char *const hosts[] = {"tcp:127.0.0.1:0", "tcp:*:0", "tcp:localhost:0"};
	char local[ENDPOINT_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct endpoint endpoint = parsed(hosts[i]), real;
		struct errmsg err = {0};
		int fd = -1, second_fd = -1;

		assert_int_equal(listen_on(&endpoint, &fd, &err), 0);
		endpoint_print_local(local, sizeof(local), fd);
		real = parsed(local);
		assert_string_not_equal(real.port, "0");

		assert_int_equal(listen_on(&real, &second_fd, &err), -EADDRINUSE);
		assert_string_equal(strrchr(err.text, ':'), ": Address already in use");
		assert_memory_equal(err.text, "listen tcp:", 11);
		assert_int_equal(second_fd, -1);
		fd_close(&fd);
	}
}

static void any_address_takes_both_families(void **state)
{
	struct endpoint endpoint = parsed("tcp:*:0"), real;
	char text[ENDPOINT_TEXT_BYTES];
	struct sockaddr_storage storage;
	socklen_t bytes = sizeof(storage);
	int listening_fd, peer_fd, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(listen_on(&endpoint, &listening_fd, NULL), 0);
	endpoint_print_local(text, sizeof(text), listening_fd);
	real = parsed(text);

	/* connecting to 0.0.0.0 reaches this machine by IPv4 */
	assert_int_equal(getsockname(fd, (struct sockaddr *)&storage, &bytes), 0);
	((struct sockaddr_in *)&storage)->sin_port = htons((uint16_t)strtoul(real.port, NULL, 10));
	assert_int_equal(connect(fd, (struct sockaddr *)&storage, bytes), 0);
	peer_fd = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer_fd >= 0);
	print_peer(text, sizeof(text), peer_fd);
	assert_memory_equal(text, "tcp:127.0.0.1:", 14);
	fd_close(&peer_fd);
	fd_close(&fd);
	fd_close(&listening_fd);
}

static void errors_name_the_address(void **state)
{
	static const struct {
		const char *text, *message;
		int r;
	} rows[] = {
		{"unix:/nonexistent/x", "listen unix:/nonexistent/x: No such file or directory",
		 -ENOENT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct endpoint endpoint = parsed(rows[i].text);
		struct errmsg err = {0};
		int fd = -1;

		assert_int_equal(listen_on(&endpoint, &fd, &err), rows[i].r);
		assert_string_equal(err.text, rows[i].message);
		assert_int_equal(fd, -1);
	}
}

static void replaces_only_a_dead_socket_file(void **state)
{
	struct endpoint endpoint = parsed("unix:s");
	mode_t before = umask(077);
	struct stat st;
	int fd, second_fd = -1;

	(void)state;
	assert_int_equal(listen_on(&endpoint, &fd, NULL), 0);
	assert_int_equal(stat("s", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	umask(before);

	assert_int_equal(listen_on(&endpoint, &second_fd, NULL), -EADDRINUSE);
	endpoint_unlink(&endpoint);
	assert_int_equal(access("s", F_OK), 0); /* still served */

	fd_close(&fd); /* as a crash would */
	assert_int_equal(connect_to("unix:s"), -ECONNREFUSED);
	assert_int_equal(listen_on(&endpoint, &fd, NULL), 0);
	fd_close(&fd);
	endpoint_unlink(&endpoint);
	assert_int_equal(access("s", F_OK), -1);
}

static void leaves_other_files_alone(void **state)
{
	struct endpoint endpoint = parsed("unix:precious");
	FILE *file = fopen("precious", "we");
	int fd = -1;

	(void)state;
	assert_non_null(file);
	fclose(file);
	assert_int_equal(listen_on(&endpoint, &fd, NULL), -EADDRINUSE);
	endpoint_unlink(&endpoint);
	assert_int_equal(unlink("precious"), 0);
}

static void prints_unix_peers(void **state)
{
	char name[64], text[ENDPOINT_TEXT_BYTES];
	struct endpoint endpoint;
	int fd, listening_fd;

	(void)state;
	snprintf(name, sizeof(name), "unix:@relay-test-endpoint-%d", getpid());
	endpoint = parsed(name);
	assert_int_equal(listen_on(&endpoint, &listening_fd, NULL), 0);
	fd = connect_to(name);
	assert_true(fd >= 0);
	print_peer(text, sizeof(text), fd);
	assert_string_equal(text, name);
	endpoint_print_local(text, sizeof(text), fd);
	assert_string_equal(text, "unix:");
	print_peer(text, sizeof(text), listening_fd);
	assert_string_equal(text, "unknown");
	fd_close(&fd);
	fd_close(&listening_fd);
}

static void listens_on_a_duplicate_of_what_was_passed(void **state)
{
	struct endpoint made = parsed("unix:passed"), endpoint = parsed("systemd:x");
	int fd;

	(void)state;
	assert_int_equal(endpoint.passed_fd, -1);
	assert_int_equal(listen_on(&made, &endpoint.passed_fd, NULL), 0);
	assert_int_equal(listen_on(&endpoint, &fd, NULL), 0);
	assert_int_not_equal(fd, endpoint.passed_fd);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	fd_close(&fd);
	endpoint_unlink(&endpoint);
	fd = connect_to("unix:passed");
	assert_true(fd >= 0);
	fd_close(&fd);
	fd_close(&endpoint.passed_fd);
	endpoint_unlink(&made);
}

static void refuses_what_was_passed_and_cannot_listen(void **state)
{
	struct endpoint endpoint = parsed("systemd:x");
	struct errmsg err;
	int ends[2];

	(void)state;
	assert_int_equal(listen_on(&endpoint, &ends[0], &err), -EINVAL);
	assert_string_equal(err.text, "listen systemd:x: what was passed is not open");
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	endpoint.passed_fd = ends[0];
	assert_int_equal(listen_on(&endpoint, &ends[0], &err), -EINVAL);
	assert_string_equal(err.text, "listen systemd:x: what was passed is not a socket");
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	endpoint.passed_fd = ends[0];
	assert_int_equal(listen_on(&endpoint, &ends[0], &err), -EINVAL);
	assert_non_null(strstr(err.text, "the socket does not listen; expected Accept=no"));
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	endpoint.passed_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_int_equal(listen_on(&endpoint, &ends[0], &err), -EINVAL);
	assert_non_null(strstr(err.text, "neither IPv4, IPv6 nor unix"));
	fd_close(&endpoint.passed_fd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_what_it_prints),
		TEST(tells_what_is_wrong),
		TEST(listens_on_tcp_with_the_real_port),
		TEST(any_address_takes_both_families),
		TEST(errors_name_the_address),
		TEST(replaces_only_a_dead_socket_file),
		TEST(leaves_other_files_alone),
		TEST(prints_unix_peers),
		TEST(listens_on_a_duplicate_of_what_was_passed),
		TEST(refuses_what_was_passed_and_cannot_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
