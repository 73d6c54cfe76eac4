// SPDX-License-Identifier: MIT
/*
 * An HTTP server and its peer, which runs in the same thread: what it does next is decided between
 * turns of the loop.  Every function fails the running test when something is not as it should be.
 */
#pragma once

#include <stdbool.h>

#include "http/http_connection.h"
#include "tests/unit/loop_ceiling.h"

/* So long that no test meets it by accident. */
#define LONG_MS 60000

#define ANSWER  "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"

enum what {
	WHAT_ANSWER,
	WHAT_TAKE,
	WHAT_DROP,
	WHAT_NOTHING,
};

struct http_rig {
	struct ev_loop *loop;
	ev_timer ceiling;
	struct http_server server;
	struct access trusted; /* of the proxies */
	int peer;
	int fds_at_start;
	enum what what;        /* is done with a request */
	const uint8_t *answer; /* with WHAT_ANSWER: ANSWER, or a long one of the rig's */
	size_t answer_bytes;
	uint8_t *long_answer;

	int requests;
	struct http_connection *connection; /* the last one */
	enum http_method method;
	char path[128], body[256], from[ENDPOINT_TEXT_BYTES];
	int taken_fd;
	uint8_t rest[HTTP_REST_BYTES];
	size_t rest_bytes;

	char got[16384];
	size_t got_bytes;
	bool is_over; /* the peer has seen the end */

	/* What callbacks of single tests have. */
	ev_timer trickle;
	int status, turned_away;
	char reason[128];
};

/* Setup and teardown: *state is a struct http_rig *. */
int http_rig_set_up(void **state);
int http_rig_tear_down(void **state);

#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, http_rig_set_up, http_rig_tear_down)

/* GET and POST, two connections, no deadline. */
struct http_server_params http_rig_params(struct http_rig *rig);

/* Starts the server, with the parameters above where params is NULL. */
void http_rig_begin(struct http_rig *rig, const struct http_server_params *params);

/* The same, behind proxies of these networks. */
void http_rig_begin_behind_proxy(struct http_rig *rig, const char *networks);

/* Gives the server a socket that is connected and does not block. */
void http_rig_adopt(struct http_rig *rig, int fd);

/* A connection of which the server has got one end; returns the other, which does not block. */
int http_rig_join_unix(struct http_rig *rig);
int http_rig_join_tcp(struct http_rig *rig);

void http_rig_say(int fd, const char *text);

/* The peer reads all that is there; or all, up to the end. */
void http_rig_hear(struct http_rig *rig);
void http_rig_hear_all(struct http_rig *rig);

/* The peer closes, and what it has read is forgotten.  Then the next one may come. */
void http_rig_end_peer(struct http_rig *rig);

/* The same, and until the server has closed, too. */
void http_rig_wait_for_end(struct http_rig *rig);

/* Makes the answer so long, of bytes by which a place in it is known. */
void http_rig_make_long_answer(struct http_rig *rig, size_t bytes);

/* The peer reads what is there: bytes of the answer, from *at on, which goes on behind them. */
void http_rig_hear_answer(struct http_rig *rig, size_t *at);
