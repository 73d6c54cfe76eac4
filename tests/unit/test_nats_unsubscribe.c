// SPDX-License-Identifier: MIT
/* A subscription ends while messages come for it: until libnats 3.6 its reading thread does
 * not hold it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nats/nats_connection.h"
#include "tests/unit/leave_out.h"

#define SUBJECT "x"

enum {
	ENDS = 1000,     // freed at once, relay died in 10 of 10 runs
	TRIES = 10000,   // of 1 ms, until the server listens
	WAIT_MS = 10000, // for one message of a flood
};

struct scene {
	struct backbone_params params;
	struct nats_connection connection;
	pid_t server;
	pthread_t publisher;
	_Atomic bool must_end;
};

// One that nobody listens at.
static int find_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
	assert_int_equal(close(fd), 0);
	return ntohs(address.sin_port);
}

// It ends with this process.
static void run_server(const char *port)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)execlp("nats-server", "nats-server", "-a", "127.0.0.1", "-p", port, "-l", "/dev/null",
		     NULL);
	_exit(127);
}

static void start_server(struct scene *scene)
{
	char port[8];

	(void)snprintf(port, sizeof(port), "%d", find_port());
	(void)snprintf(scene->params.servers, sizeof(scene->params.servers), "nats://127.0.0.1:%s",
		       port);
	scene->server = fork();
	assert_true(scene->server >= 0);
	if (scene->server == 0)
		run_server(port);
}

static void connect_to_server(struct scene *scene)
{
	struct errmsg err = {.text = ""};

	for (int i = 0; i < TRIES; i++) {
		if (nats_connection_open(&scene->connection, &scene->params, "test", &err) == 0)
			return;
		if (waitpid(scene->server, NULL, WNOHANG) != 0)
			leave_out("no nats-server");
		(void)poll(NULL, 0, 1);
	}
	fail_msg("%s", err.text);
}

static void *publish(void *arg)
{
	struct scene *scene = arg;
	natsConnection *connection = NULL;

	if (natsConnection_ConnectTo(&connection, scene->params.servers) != NATS_OK)
		return NULL;
	while (!atomic_load(&scene->must_end) &&
	       natsConnection_PublishString(connection, SUBJECT, "some text") == NATS_OK)
		;
	natsConnection_Destroy(connection);
	return NULL;
}

static void it_ends_under_a_flood(void **state)
{
	struct scene scene = {.must_end = false};

	(void)state;
	start_server(&scene);
	connect_to_server(&scene);
	assert_int_equal(pthread_create(&scene.publisher, NULL, publish, &scene), 0);
	for (int i = 0; i < ENDS; i++) {
		natsSubscription *subscription = NULL;
		natsMsg *message = NULL;

		assert_int_equal(natsConnection_SubscribeSync(&subscription,
							      scene.connection.connection, SUBJECT),
				 NATS_OK);
		assert_int_equal(natsSubscription_NextMsg(&message, subscription, WAIT_MS),
				 NATS_OK);
		natsMsg_Destroy(message);
		nats_connection_unsubscribe(&scene.connection, &subscription);
		assert_null(subscription);
		assert_string_equal(nats_connection_why_lost(&scene.connection), "");
	}
	atomic_store(&scene.must_end, true);
	assert_int_equal(pthread_join(scene.publisher, NULL), 0);
	nats_connection_close(&scene.connection);
	assert_int_equal(kill(scene.server, SIGKILL), 0);
	assert_int_equal(waitpid(scene.server, NULL, 0), scene.server);
	nats_Close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_ends_under_a_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
