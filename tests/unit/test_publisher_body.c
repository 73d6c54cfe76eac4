// SPDX-License-Identifier: MIT
/*
 * Bodies of publishers by HTTP: the stream in them is the same however it is cut, with the head or
 * behind it, and however little there is room for; where it breaks a rule, it ends there for that
 * reason; and the answer says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "tests/unit/parse_rig.h"
#include "web/publisher_body.h"

enum {
	WIRE_MAX = 512,
	GUARD = 0xa5, // behind the room that is given
	GUARD_BYTES = 32,
	ENDED = CLOSE_PEER_CLOSED, // as it should
	ON = CLOSE_REASON_COUNT,   // it may have more
};

struct row {
	enum publisher_body_kind kind;
	uint64_t bytes; // LENGTH
	bool ends_lines;
	const char *wire, *stream;
	int end;         // of enum close_reason
	bool is_cut_off; // the connection ends behind it
};

#define LENGTH(bytes, wire, ...)                                                                   \
	{                                                                                          \
		PUBLISHER_LENGTH, bytes, false, wire, __VA_ARGS__                                  \
	}
#define CHUNKED(wire, ...)                                                                         \
	{                                                                                          \
		PUBLISHER_CHUNKED, 0, false, wire, __VA_ARGS__                                     \
	}
#define WEBSOCKET(wire, ...)                                                                       \
	{                                                                                          \
		PUBLISHER_WEBSOCKET, 0, false, wire, __VA_ARGS__                                   \
	}
#define WEBSOCKET_LINES(wire, ...)                                                                 \
	{                                                                                          \
		PUBLISHER_WEBSOCKET, 0, true, wire, __VA_ARGS__                                    \
	}
#define TO_END(wire, stream, is_ended)                                                             \
	{                                                                                          \
		PUBLISHER_TO_END, 0, false, wire, stream, is_ended, true                           \
	}

static const struct row rows[] = {
	TO_END("'hello'", "hello", ENDED),
	TO_END("", "", ENDED),
	LENGTH(5, "'hello'", "hello", ENDED, false),
	LENGTH(5, "'hello and more'", "hello", ENDED, false),
	LENGTH(0, "", "", ENDED, false),
	LENGTH(5, "'hel'", "hel", ON, false),
	LENGTH(5, "'hel'", "hel", CLOSE_CUT_BODY, true),
	CHUNKED("'5' 0d0a 'hello' 0d0a '0' 0d0a 0d0a", "hello", ENDED, false),
	CHUNKED("'3;a=b' 0d0a 'hel' 0d0a '2' 0d0a 'lo' 0d0a '0' 0d0a 'X: y' 0d0a 0d0a", "hello",
		ENDED, false),
	CHUNKED("'0' 0d0a 0d0a", "", ENDED, false),
	CHUNKED("'5' 0d0a 'hello' 0d0a", "hello", ON, false),
	CHUNKED("'5' 0d0a 'hel'", "hel", CLOSE_CUT_BODY, true),
	CHUNKED("'5' 0d0a 'hello' 0d0a '0' 0d0a", "hello", CLOSE_CUT_BODY, true),
	CHUNKED("'5' 0d0a 'hello!'", "hello", CLOSE_BAD_BODY, false),
	CHUNKED("'x' 0d0a", "", CLOSE_BAD_BODY, false),
	CHUNKED("'+5' 0d0a 'hello'", "", CLOSE_BAD_BODY, false),
	WEBSOCKET("82 85 K 'hello';", "hello", ON, false),
	WEBSOCKET("81 83 K 'hel'; 82 80 K; 82 82 K 'lo';", "hello", ON, false),
	WEBSOCKET("01 82 K 'he'; 89 81 K 'p'; 00 80 K; 80 83 K 'llo';", "hello", ON, false),
	WEBSOCKET("82 85 K 'hello'; 88 82 K 03e8; 82 81 K '!';", "hello", ENDED, false),
	WEBSOCKET("82 85 K 'hello'; 88 80 K;", "hello", ENDED, false),
	WEBSOCKET("82 85 K 'hello';", "hello", CLOSE_CUT_BODY, true),
	WEBSOCKET("82 85 K 'hel';", "hel", CLOSE_CUT_BODY, true),
	WEBSOCKET("82 81 K 'a'; 82 01 'b'", "a", CLOSE_BAD_FRAME, false),
	WEBSOCKET("82 81 K 'a'; c2 81 K 'b';", "a", CLOSE_BAD_FRAME, false),
	WEBSOCKET("82 81 K 'a'; 80 81 K 'b';", "a", CLOSE_BAD_FRAME, false),
	WEBSOCKET("82 81 K 'a'; 88 81 K 03;", "a", CLOSE_BAD_FRAME, false),
	WEBSOCKET("82 81 K 'a'; 81 81 K ff;", "a", CLOSE_INPUT_NOT_TEXT, false),
	WEBSOCKET_LINES("81 81 K 'a'; 81 82 K 'b' 0a; 81 80 K; 81 81 K 0a;", "a\nb\n\n\n", ON,
			false),
	WEBSOCKET_LINES("01 81 K 'a'; 80 80 K; 01 81 K 'b'; 80 81 K 0a;", "a\nb\n", ON, false),
	WEBSOCKET_LINES("01 82 K 'c' 0a; 80 80 K; 01 82 K 'd' 0a; 80 81 K 'e';", "c\nd\ne\n", ON,
			false),
	WEBSOCKET_LINES("01 81 K 'a'; 89 81 K 'p'; 80 81 K 'b'; 88 80 K;", "ab\n", ENDED, false),
	WEBSOCKET_LINES("81 81 K 'a'; 81 81 K 'b'; 81 81 K 'c'; 81 81 K 'd';", "a\nb\nc\nd\n", ON,
			false),
};

static const uint8_t nothing[1]; // has come with the head

struct reading {
	struct source_body *body;
	int fds[2]; // relay's end, the publisher's
	size_t room;
	uint8_t stream[WIRE_MAX];
	size_t count;
	int end;
};

static void begin(struct reading *reading, const struct row *row, const uint8_t *rest, size_t count,
		  size_t room)
{
	static const struct stream_answer answer;
	static const struct endpoint_address peer;
	const struct publisher_body_params params = {
		.kind = row->kind,
		.bytes = row->bytes,
		.ends_lines = row->ends_lines,
		.rest = rest,
		.rest_bytes = count,
		.answer = &answer,
		.peer = &peer,
	};

	*reading = (struct reading){.room = room, .end = ON};
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, reading->fds),
		0);
	reading->body = publisher_body_new(&params);
	assert_non_null(reading->body);
}

/* As long as something comes.  The room is on the heap, with a guard behind it. */
static void read_on(struct reading *reading)
{
	struct pollfd readable = {.fd = reading->fds[0], .events = POLLIN};
	uint8_t *room = malloc(reading->room + GUARD_BYTES);

	assert_non_null(room);
	memset(room + reading->room, GUARD, GUARD_BYTES);
	while (reading->end == ON) {
		ssize_t got = reading->body->functions->read(reading->body, reading->fds[0], room,
							     reading->room);

		if (got > 0) {
			assert_true(reading->count + (size_t)got <= sizeof(reading->stream));
			memcpy(reading->stream + reading->count, room, (size_t)got);
			reading->count += (size_t)got;
		} else if (got == 0) {
			reading->end = ENDED;
		} else if (errno == EBADMSG) {
			reading->end = reading->body->fault;
		} else {
			assert_int_equal(errno, EAGAIN);
			if (!reading->body->is_ready && poll(&readable, 1, 0) == 0)
				break;
		}
	}
	for (size_t i = 0; i < GUARD_BYTES; i++)
		assert_int_equal(room[reading->room + i], GUARD);
	free(room);
}

static void say(struct reading *reading, const uint8_t *bytes, size_t count)
{
	if (count)
		assert_int_equal(send(reading->fds[1], bytes, count, MSG_NOSIGNAL), count);
	read_on(reading);
}

static void end(struct reading *reading)
{
	(void)reading->body->functions->end(reading->body, reading->fds[0], CLOSE_PEER_RESET);
	fd_close(&reading->fds[0]);
	fd_close(&reading->fds[1]);
}

// So many bytes come with the head, and so many in the first piece behind it.
static void check(const struct row *row, const uint8_t *wire, size_t count, size_t with_head,
		  size_t first, size_t room)
{
	struct reading reading;

	begin(&reading, row, wire, with_head, room);
	say(&reading, wire + with_head, first);
	say(&reading, wire + with_head + first, count - with_head - first);
	if (row->is_cut_off) {
		assert_int_equal(shutdown(reading.fds[1], SHUT_WR), 0);
		read_on(&reading);
	}
	if (reading.end != row->end || reading.count != strlen(row->stream) ||
	    memcmp(reading.stream, row->stream, reading.count) != 0)
		fail_msg("row %zu, cut at %zu and %zu, room %zu: \"%.*s\", end %d", row - rows,
			 with_head, with_head + first, room, (int)reading.count,
			 (const char *)reading.stream, reading.end);
	end(&reading);
}

static void the_stream_is_the_same_however_it_is_cut(void **state)
{
	static const size_t rooms[] = {2, 3, 7, 4096};
	uint8_t wire[WIRE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t count = parse_rig_read_hex(rows[i].wire, wire, sizeof(wire));

		for (size_t with_head = 0; with_head <= count; with_head++) {
			for (size_t first = 0; with_head + first <= count; first++) {
				for (size_t room = 0; room < ARRAY_LEN(rooms); room++)
					check(&rows[i], wire, count, with_head, first, rooms[room]);
			}
		}
	}
}

static void what_has_come_behind_a_body_is_none_of_it(void **state)
{
	static const struct row row = LENGTH(5, "", "", ENDED, false);
	struct reading reading;

	(void)state;
	begin(&reading, &row, (const uint8_t *)"helloGET /", 10, 100);
	assert_false(reading.body->is_bare);
	read_on(&reading);
	assert_int_equal(reading.count, 5);
	assert_int_equal(reading.end, ENDED);
	end(&reading);
}

static void bare_bytes_are_left_to_the_kernel(void **state)
{
	static const struct row length = LENGTH(5, "", "", ENDED, false);
	static const struct row to_end = TO_END("", "", ENDED);
	static const struct row chunked = CHUNKED("", "", ENDED, false);
	struct reading reading;

	(void)state;
	begin(&reading, &length, nothing, 0, 100);
	assert_true(reading.body->is_bare);
	assert_int_equal(reading.body->left_bytes, 5);
	end(&reading);
	begin(&reading, &to_end, (const uint8_t *)"x", 1, 100);
	assert_false(reading.body->is_bare);
	read_on(&reading);
	assert_true(reading.body->is_bare);
	end(&reading);
	begin(&reading, &chunked, nothing, 0, 100);
	assert_false(reading.body->is_bare);
	end(&reading);
}

// --- the answers

static void pings_are_answered(void **state)
{
	static const struct row row = WEBSOCKET("", "", ON, false);
	uint8_t wire[WIRE_MAX], heard[WIRE_MAX];
	size_t count = parse_rig_read_hex("89 82 K 'hi'; 89 80 K;", wire, sizeof(wire));
	struct reading reading;

	(void)state;
	begin(&reading, &row, nothing, 0, 100);
	say(&reading, wire, count);
	assert_int_equal(recv(reading.fds[1], heard, sizeof(heard), 0), 6);
	assert_memory_equal(heard, "\x8a\x02hi\x8a\x00", 6);
	end(&reading);
}

static void the_end_has_an_answer(void **state)
{
	static const struct {
		enum publisher_body_kind kind;
		bool has_begun;
		enum close_reason reason;
		const char *begins_with; // ""; it is told nothing
	} answers[] = {
		{PUBLISHER_LENGTH, false, CLOSE_PEER_CLOSED, "HTTP/1.1 204 "},
		{PUBLISHER_CHUNKED, true, CLOSE_PEER_CLOSED, "HTTP/1.1 204 "},
		{PUBLISHER_CHUNKED, false, CLOSE_BAD_BODY, "HTTP/1.1 400 "},
		{PUBLISHER_LENGTH, false, CLOSE_CUT_BODY, "HTTP/1.1 400 "},
		{PUBLISHER_LENGTH, false, CLOSE_DENIED, "HTTP/1.1 403 "},
		{PUBLISHER_LENGTH, false, CLOSE_REMOVED, "HTTP/1.1 404 "},
		{PUBLISHER_LENGTH, false, CLOSE_SOURCE_TIMEOUT, "HTTP/1.1 408 "},
		{PUBLISHER_LENGTH, false, CLOSE_REJECTED, "HTTP/1.1 409 "},
		{PUBLISHER_CHUNKED, true, CLOSE_TAKEN_OVER, "HTTP/1.1 409 "},
		{PUBLISHER_LENGTH, false, CLOSE_TOO_LONG, "HTTP/1.1 413 "},
		{PUBLISHER_LENGTH, false, CLOSE_NO_MEMORY, "HTTP/1.1 503 "},
		{PUBLISHER_LENGTH, false, CLOSE_PEER_RESET, ""},
		{PUBLISHER_LENGTH, false, CLOSE_NETWORK, ""},
		{PUBLISHER_TO_END, true, CLOSE_TOO_LONG, ""},
		{PUBLISHER_TO_END, false, CLOSE_REJECTED, "HTTP/1.1 409 "},
		{PUBLISHER_WEBSOCKET, false, CLOSE_REJECTED, "HTTP/1.1 409 "},
		{PUBLISHER_WEBSOCKET, true, CLOSE_PEER_CLOSED, "\x88\x02\x03\xe8"},
		{PUBLISHER_WEBSOCKET, true, CLOSE_NO_MEMORY, "\x88\x0f\x03\xf3out of memory"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		const struct row row = {.kind = answers[i].kind, .bytes = 5};
		const char *expected = answers[i].begins_with;
		char heard[1024] = "";
		struct reading reading;
		ssize_t got;
		bool is_told;

		begin(&reading, &row, nothing, 0, 100);
		if (answers[i].has_begun)
			publisher_body_note_begun(reading.body);
		assert_int_equal(send(reading.fds[1], "unread", 6, 0), 6);
		is_told = reading.body->functions->end(reading.body, reading.fds[0],
						       answers[i].reason);
		got = recv(reading.fds[1], heard, sizeof(heard) - 1, 0);
		if (is_told != (*expected != '\0') || (got > 0) != is_told ||
		    strncmp(heard, expected, strlen(expected)) != 0)
			fail_msg("answer %zu: \"%s\"", i, heard);
		if (strncmp(expected, "HTTP/1.1 503", 12) == 0)
			assert_non_null(strstr(heard, "\r\nRetry-After: 1\r\n"));
		// What it had said has been read, or its end would be a reset that overtakes this.
		if (is_told)
			assert_int_equal(recv(reading.fds[0], heard, 1, 0), -1);
		fd_close(&reading.fds[0]);
		fd_close(&reading.fds[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_stream_is_the_same_however_it_is_cut),
		cmocka_unit_test(what_has_come_behind_a_body_is_none_of_it),
		cmocka_unit_test(bare_bytes_are_left_to_the_kernel),
		cmocka_unit_test(pings_are_answered),
		cmocka_unit_test(the_end_has_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
