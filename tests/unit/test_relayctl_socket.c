// SPDX-License-Identifier: MIT
/*
 * Which relay relayctl takes, by what runs under a directory: sockets in a temporary one stand for
 * relays.
 *
 * The tools are programs, not part of the library, so the files under test are included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay/tools/relayctl/relayctl_socket.c"
#include "relay/tools/relayctl/relayctl_text.c"

enum {
	RELAYS_MAX = 4,
};

struct place {
	char directory[64];
	int fds[RELAYS_MAX];
	size_t count;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	if (!place)
		return -1;
	(void)snprintf(place->directory, sizeof place->directory, "/tmp/relayctl_socket.XXXXXX");
	*state = place;
	return mkdtemp(place->directory) && unsetenv("RUNTIME_DIRECTORY") == 0 ? 0 : -1;
}

static void remove_one(const struct place *place, const char *instance)
{
	char path[400];

	(void)snprintf(path, sizeof path, "%s/%s/admin.sock", place->directory, instance);
	(void)unlink(path);
	(void)snprintf(path, sizeof path, "%s/%s", place->directory, instance);
	(void)rmdir(path);
}

static int tear_down(void **state)
{
	struct place *place = *state;

	for (size_t i = 0; i < place->count; i++)
		fd_close(&place->fds[i]);
	remove_one(place, "fx");
	remove_one(place, "a\033b");
	remove_one(place, "");
	free(place);
	return unsetenv("RUNTIME_DIRECTORY");
}

/* A relay of relay@INSTANCE, or of relay.service for "". */
static void run_relay(struct place *place, const char *instance)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct relayctl_socket at;
	char path[400];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)snprintf(path, sizeof path, "%s/%s", place->directory, instance);
	(void)mkdir(path, 0700);
	assert_int_equal(set_path(&at, place->directory, strlen(place->directory), instance, NULL),
			 0);
	memcpy(address.sun_path, at.path, sizeof address.sun_path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 1), 0);
	place->fds[place->count++] = fd;
}

static void expect_path(const struct place *place, const char *unit, const char *instance)
{
	struct relayctl_socket found, expected;
	struct errmsg error = {.text = ""};

	assert_int_equal(relayctl_socket_find(place->directory, unit, &found, &error), 0);
	assert_int_equal(
		set_path(&expected, place->directory, strlen(place->directory), instance, NULL), 0);
	assert_string_equal(found.path, expected.path);
}

/* Nobody was named, and nobody is there. */
static bool is_missing(const struct place *place, const char *unit)
{
	struct relayctl_socket found;
	struct errmsg error;

	assert_int_equal(relayctl_socket_find(place->directory, unit, &found, &error), 0);
	return found.is_missing;
}

static void a_unit_has_its_directory(void **state)
{
	static const char *const wrong[] = {"", "relay@", ".", "..", "a/b", "relay@../x"};
	const struct place *place = *state;
	struct relayctl_socket found;
	struct errmsg error;
	char name[300];

	expect_path(place, "relay", "");
	expect_path(place, "relay.service", "");
	expect_path(place, "relay@fx", "fx");
	expect_path(place, "relay@fx.service", "fx");
	expect_path(place, "fx", "fx");
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(relayctl_socket_find(place->directory, wrong[i], &found, &error),
				 -EINVAL);
		assert_string_equal(error.text, "--unit: expected relay, relay@NAME or NAME");
	}
	memset(name, 'x', sizeof name);
	name[120] = '\0';
	assert_int_equal(relayctl_socket_find(place->directory, name, &found, &error),
			 -ENAMETOOLONG);
	name[120] = 'x';
	name[sizeof name - 1] = '\0';
	assert_int_equal(relayctl_socket_find(place->directory, name, &found, &error), -EINVAL);
}

static void the_one_that_runs_is_taken(void **state)
{
	struct place *place = *state;

	expect_path(place, NULL, "");
	assert_true(is_missing(place, NULL));
	assert_false(is_missing(place, "relay"));
	run_relay(place, "fx");
	assert_false(is_missing(place, NULL));
	expect_path(place, NULL, "fx");
	fd_close(&place->fds[0]); // its file stays
	assert_true(is_missing(place, NULL));
	expect_path(place, NULL, "");
	run_relay(place, "");
	expect_path(place, NULL, "");
}

static void of_several_none_is_taken(void **state)
{
	struct place *place = *state;
	struct relayctl_socket found;
	struct errmsg error;

	run_relay(place, "fx");
	run_relay(place, "");
	run_relay(place, "a\033b");
	assert_int_equal(relayctl_socket_find(place->directory, NULL, &found, &error), -ENOTUNIQ);
	assert_string_equal(error.text, "3 relays run here, say which with --unit: relay, "
					"relay@a\\x1bb, relay@fx");
	expect_path(place, "relay", "");
	expect_path(place, "fx", "fx");
}

/* No connection comes to those that are looked at. */
static void looking_disturbs_nobody(void **state)
{
	struct place *place = *state;

	run_relay(place, "fx");
	expect_path(place, NULL, "fx");
	assert_int_equal(accept(place->fds[0], NULL, NULL), -1);
}

static void a_command_of_a_service_has_its_own(void **state)
{
	struct place *place = *state;
	struct relayctl_socket found;

	run_relay(place, "fx");
	run_relay(place, "");
	assert_int_equal(setenv("RUNTIME_DIRECTORY", "/run/relay/md:/run/more", 1), 0);
	assert_int_equal(relayctl_socket_find(place->directory, NULL, &found, NULL), 0);
	assert_string_equal(found.path, "/run/relay/md/admin.sock");
	expect_path(place, "fx", "fx");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_unit_has_its_directory),           TEST(the_one_that_runs_is_taken),
		TEST(of_several_none_is_taken),           TEST(looking_disturbs_nobody),
		TEST(a_command_of_a_service_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
