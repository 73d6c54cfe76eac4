// SPDX-License-Identifier: MIT
/*
 * net/resolver.c and connector.c with names of many addresses: getaddrinfo(3) is this file's own.
 */
#include <arpa/inet.h>
#include <ev.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "base/fd.h"
#include "net/connector.h"
#include "net/listener.h"
#include "net/resolver.h"

enum {
	V6_COUNT = 3, /* ::1 and others on which nobody is */
	V4_COUNT = 20,
	ALL = V6_COUNT + V4_COUNT,
	LOOKUPS = 1000,
};

/* ::1 to ::3, then 127.0.1.1 to 127.0.1.20. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	struct addrinfo *list = calloc(ALL, sizeof(*list));
	struct sockaddr_storage *addresses = calloc(ALL, sizeof(*addresses));

	if (!list || !addresses || hints->ai_flags & AI_NUMERICHOST) {
		free(list);
		free(addresses);
		return EAI_NONAME;
	}
	(void)host;
	for (int i = 0; i < ALL; i++) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addresses[i];
		struct sockaddr_in *v4 = (struct sockaddr_in *)&addresses[i];
		bool is_v6 = i < V6_COUNT;

		list[i].ai_addr = (struct sockaddr *)&addresses[i];
		list[i].ai_addrlen = is_v6 ? sizeof(*v6) : sizeof(*v4);
		list[i].ai_next = i + 1 < ALL ? &list[i + 1] : NULL;
		if (is_v6) {
			v6->sin6_family = AF_INET6;
			v6->sin6_addr.s6_addr[15] = (uint8_t)(i + 1);
			v6->sin6_port = htons((uint16_t)atoi(port));
		} else {
			v4->sin_family = AF_INET;
			v4->sin_addr.s_addr = htonl(0x7f000100 + (uint32_t)(i - V6_COUNT + 1));
			v4->sin_port = htons((uint16_t)atoi(port));
		}
	}
	*ret = list;
	return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
	free(list->ai_addr);
	free(list);
}

static const struct endpoint name = {.kind = ENDPOINT_TCP, .host = "feed.example", .port = "7"};

/* ---- the order ---- */

struct seen {
	struct ev_loop *loop;
	unsigned first[ALL + 1]; /* how often each IPv4 address came first of its family */
};

static void on_answer(void *owner, struct resolver_answer *answer)
{
	struct seen *seen = owner;
	uint64_t met = 0;

	assert_int_equal(answer->count, ALL);
	for (size_t i = 0; i < ALL; i++) {
		const struct sockaddr_in *v4 =
			(const struct sockaddr_in *)&answer->addresses[i].storage;
		const struct sockaddr_in6 *v6 =
			(const struct sockaddr_in6 *)&answer->addresses[i].storage;
		bool is_v6 = v4->sin_family == AF_INET6;
		unsigned last =
			is_v6 ? v6->sin6_addr.s6_addr[15] : ntohl(v4->sin_addr.s_addr) & 0xff;

		assert_int_equal(is_v6, i < V6_COUNT);
		met |= UINT64_C(1) << (is_v6 ? last : V6_COUNT + last);
		if (i == V6_COUNT)
			seen->first[last]++;
	}
	assert_int_equal(met, (UINT64_C(1) << (ALL + 1)) - 2);
	ev_break(seen->loop, EVBREAK_ALL);
}

/* Families stay in their order; within one, each address comes first now and then. */
static void all_addresses_come_in_any_order(void **state)
{
	struct seen seen = {.loop = ev_loop_new(EVFLAG_NOENV)};
	struct resolver resolver;

	(void)state;
	assert_non_null(seen.loop);
	resolver_init(&resolver, seen.loop, on_answer, &seen);
	for (int i = 0; i < LOOKUPS; i++) {
		assert_int_equal(resolver_start(&resolver, &name), 0);
		ev_run(seen.loop, 0);
	}
	for (int i = 1; i <= V4_COUNT; i++)
		assert_true(seen.first[i] > 0);
	ev_loop_destroy(seen.loop);
}

/* ---- connecting ---- */

struct rig {
	struct ev_loop *loop;
	struct connector connector;
	int connected;
};

static void on_connected(void *owner, int fd, size_t index)
{
	struct rig *rig = owner;

	(void)index;
	rig->connected++;
	fd_close(&fd);
}

static void on_connecting(void *owner, size_t index)
{
	(void)owner;
	(void)index;
}

static void on_failed(void *owner, size_t index, const char *error, uint64_t suppressed)
{
	(void)owner;
	(void)index;
	(void)suppressed;
	assert_true(*error);
}

static void on_more_failed(void *owner, size_t index, uint64_t suppressed)
{
	(void)owner;
	(void)index;
	assert_true(suppressed > 0);
}

static const struct connector_events connector_events = {
	.on_connected = on_connected,
	.on_better = on_connected,
	.on_connecting = on_connecting,
	.on_failed = on_failed,
	.on_more_failed = on_more_failed,
};

static void on_accept(void *owner, int fd, const struct endpoint_address *peer)
{
	(void)owner;
	(void)peer;
	fd_close(&fd);
}

static const struct listener_events listener_events = {.on_accept = on_accept};

static void begin(struct rig *rig, const struct endpoint *endpoint)
{
	*rig = (struct rig){.loop = ev_loop_new(EVFLAG_NOENV)};
	assert_non_null(rig->loop);
	connector_init(&rig->connector, rig->loop, endpoint, 1, &connector_events, rig);
}

static void run_until_state(struct rig *rig, enum connector_state wanted)
{
	while (rig->connector.state != wanted)
		ev_run(rig->loop, EVRUN_ONCE);
}

static void end(struct rig *rig)
{
	connector_stop(&rig->connector);
	ev_loop_destroy(rig->loop);
}

/* Of 23 addresses one answers, wherever it stands. */
static void the_one_that_answers_is_found(void **state)
{
	struct endpoint there = name;
	struct listen_sockets sockets;
	struct listener listener;
	struct endpoint here;
	struct errmsg err;
	struct rig rig;

	(void)state;
	assert_int_equal(endpoint_parse("tcp:127.0.1.20:0", &here, &err), 0);
	begin(&rig, &there);
	listener_init(&listener, rig.loop, &listener_events, NULL);
	assert_int_equal(listen_sockets_open(&here, 4, NULL, &sockets, &err), 0);
	listener_open(&listener, &here, &sockets);
	(void)snprintf(there.port, sizeof(there.port), "%s",
		       strrchr(listener_address(&listener), ':') + 1);
	rig.connector.targets[0].endpoint = there;
	connector_start(&rig.connector);
	run_until_state(&rig, CONNECTOR_CONNECTING);
	run_until_state(&rig, CONNECTOR_CONNECTED);
	assert_int_equal(rig.connected, 1);
	listener_close(&listener);
	end(&rig);
}

/* Nobody answers: all are tried, or as many as there is time for, and at least one. */
static void an_attempt_ends(void **state)
{
	static const struct {
		uint32_t attempt_ms;
		size_t tried;
	} rows[] = {{600000, ALL}, {0, 1}};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		begin(&rig, &name);
		rig.connector.pace.attempt_ms = rows[i].attempt_ms;
		connector_start(&rig.connector);
		run_until_state(&rig, CONNECTOR_CONNECTING);
		run_until_state(&rig, CONNECTOR_WAITING);
		assert_int_equal(rig.connector.next_address, rows[i].tried);
		assert_int_equal(rig.connected, 0);
		end(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_addresses_come_in_any_order),
		cmocka_unit_test(the_one_that_answers_is_found),
		cmocka_unit_test(an_attempt_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
