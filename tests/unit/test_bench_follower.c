// SPDX-License-Identifier: MIT
/*
 * The load of the benchmarks, on itself: what it calls torn must be torn, and what is torn it must
 * call so. Streams of each dialect, as a server writes them, with what a server says between
 * messages; cut at every byte, compared or only counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/follower.h"
#include "tests/bench/text.h"

#define MESSAGES        6
#define PACKET          2 /* messages in one */
#define SIZE_MAX_TESTED 300
#define STREAM_BYTES    4096

struct bytes {
	uint8_t at[STREAM_BYTES];
	size_t count;
};

/* As a server writes: what stands around a payload of `size` bytes, and around a packet of such
 * messages, and what it says between two packets. */
struct server {
	const char *dialect;
	size_t size;
	struct text head, tail;
	const char *packet; /* for put_packet_head(); NULL: it knows no packets */
	struct text packet_tail, notice;
};

#define PING TEXT("\x89\0")

static const struct server servers[] = {
	{.dialect = "relay", .size = 40, .head = TEXT("\0\0\0\x28")},
	{.dialect = "relay-http",
	 .size = 40,
	 .head = TEXT("\0\0\0\x28"),
	 .packet = "^\r\n",
	 .packet_tail = TEXT("\r\n")},
	{.dialect = "relay-websocket",
	 .size = 40,
	 .head = TEXT("\0\0\0\x28"),
	 .packet = "\x82#",
	 .notice = PING},
	{.dialect = "relay-websocket",
	 .size = 64,
	 .head = TEXT("\0\0\0\x40"),
	 .packet = "\x82\x7e\xff#",
	 .notice = PING},
	{.dialect = "relay-messages",
	 .size = 40,
	 .head = TEXT("\x82\x2c\0\0\0\x28"),
	 .notice = PING},
	{.dialect = "relay-messages",
	 .size = 300,
	 .head = TEXT("\x82\x7e\1\x30\0\0\1\x2c"),
	 .notice = PING},
	{.dialect = "redis",
	 .size = 40,
	 .head = TEXT("*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$40\r\n"),
	 .tail = TEXT("\r\n")},
	{.dialect = "nats",
	 .size = 40,
	 .head = TEXT("MSG b 1 40\r\n"),
	 .tail = TEXT("\r\n"),
	 .notice = TEXT("PING\r\n")},
	{.dialect = "mqtt", .size = 40, .head = TEXT("\x30\x2b\0\1b")},
	{.dialect = "mqtt", .size = 300, .head = TEXT("\x30\xaf\2\0\1b")},
	{.dialect = "websocket", .size = 40, .head = TEXT("\x82\x28")},
	{.dialect = "websocket", .size = 300, .head = TEXT("\x82\x7e\1\x2c")},
	{.dialect = "icecast", .size = 40, .head = TEXT("\0\0\0\x28")},
	{.dialect = "zmq", .size = 40, .head = TEXT("\0\x28")},
	{.dialect = "zmq", .size = 300, .head = TEXT("\2\0\0\0\0\0\0\1\x2c")},
	{.dialect = "nng", .size = 40, .head = TEXT("\0\0\0\0\0\0\0\x28")},
};

static void put(struct bytes *to, const void *bytes, size_t count)
{
	assert_true(to->count + count <= STREAM_BYTES);
	if (count)
		memcpy(to->at + to->count, bytes, count);
	to->count += count;
}

/* In the form, ^ stands for the bytes of the packet in hexadecimal, # for them as a byte, and 0xff
 * for the byte before that one. */
static void put_packet_head(struct bytes *to, const char *form, size_t packet)
{
	char digits[32];

	for (; *form; form++) {
		size_t count = 1;

		digits[0] = *form == '#'      ? (char)packet
			    : *form == '\xff' ? (char)(packet >> 8)
					      : *form;
		if (*form == '^')
			count = (size_t)snprintf(digits, sizeof(digits), "%zx", packet);
		put(to, digits, count);
	}
}

static void put_message(const struct server *server, uint64_t number, struct bytes *to)
{
	uint8_t payload[SIZE_MAX_TESTED];

	reader_fill(payload, server->size);
	memcpy(payload, &number, sizeof(number));
	put(to, server->head.at, server->head.count);
	put(to, payload, server->size);
	put(to, server->tail.at, server->tail.count);
}

/* Messages from `first` on, without number `left_out`, and a notice after each packet. */
static void put_stream(const struct server *server, uint64_t first, uint64_t left_out,
		       struct bytes *to)
{
	for (uint64_t number = first; number < MESSAGES; number += PACKET) {
		struct bytes packet = {.count = 0};

		for (uint64_t i = number; i < number + PACKET && i < MESSAGES; i++)
			if (i != left_out)
				put_message(server, i, &packet);
		if (server->packet)
			put_packet_head(to, server->packet, packet.count);
		put(to, packet.at, packet.count);
		put(to, server->packet_tail.at, server->packet_tail.count);
		put(to, server->notice.at, server->notice.count);
	}
}

/* What the socket of a follower holds: the bytes up to `end`. */
struct socket {
	const struct bytes *bytes;
	size_t at, end;
};

/* Reads until nothing is left that could be read. Returns 0, or -EPROTO at what is no packet. */
static int read_all(struct stream *stream, struct follower *follower, struct socket *socket)
{
	while (socket->at < socket->end) {
		struct follower_wish wish = follower_wish(stream, follower);
		size_t left = socket->end - socket->at;
		size_t count = left < wish.bytes ? left : wish.bytes;
		int64_t r = follower_take(stream, follower, wish, socket->bytes->at + socket->at,
					  count);

		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return (int)r;
		if (wish.how != FOLLOWER_LOOK)
			socket->at += count;
	}
	return 0;
}

static struct stream new_stream(const struct server *server, const uint8_t *pattern)
{
	return (struct stream){.dialect = dialect_find(server->dialect),
			       .pattern = pattern,
			       .size = server->size,
			       .compares = true};
}

/*
 * Attaches with the first message, as broadcast mode does; then the rest, in two pieces cut at
 * `cut`: the first one only counted, if `counts`. Returns how often the stream was torn.
 */
static uint64_t listen_to(const struct server *server, const struct bytes *bytes, size_t attached,
			  size_t cut, bool counts, struct follower *follower)
{
	uint8_t pattern[SIZE_MAX_TESTED];
	struct stream stream;
	struct socket socket = {.bytes = bytes, .end = attached};

	reader_fill(pattern, server->size);
	stream = new_stream(server, pattern);
	follower_init(follower, &stream, -1);
	assert_int_equal(read_all(&stream, follower, &socket), 0);
	assert_true(follower->is_reached);
	if (counts) {
		stream.compares = false;
		follower->reads = 1;
	}
	socket.end = cut;
	if (read_all(&stream, follower, &socket) == 0) {
		stream.compares = true;
		socket.end = bytes->count;
		(void)read_all(&stream, follower, &socket);
	}
	follower->place = stream.frame ? follower->place / stream.frame : 0;
	return stream.torn + follower->is_adrift;
}

/* The first packet of the stream, with the notice behind it. */
static size_t first_packet(const struct server *server)
{
	struct bytes first = {.count = 0};

	put_stream(server, MESSAGES - PACKET, MESSAGES, &first);
	return first.count;
}

static void test_whole(void **state)
{
	struct follower follower;

	(void)state;
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		const struct server *server = &servers[i];
		struct bytes bytes = {.count = 0};
		size_t attached = first_packet(server);

		put_stream(server, 0, MESSAGES, &bytes);
		for (size_t cut = attached; cut <= bytes.count; cut++) {
			for (int counts = 0; counts < 2; counts++) {
				uint64_t torn =
					listen_to(server, &bytes, attached, cut, counts, &follower);

				if (torn || follower.place != MESSAGES)
					fail_msg("%s, cut at %zu of %zu, %s: torn %llu, %llu of %d "
						 "messages",
						 server->dialect, cut, bytes.count,
						 counts ? "counted" : "compared",
						 (unsigned long long)torn,
						 (unsigned long long)follower.place, MESSAGES);
			}
		}
	}
}

/* What a server leaves out, as for a slow subscriber, is none of a tear; the place is right again
 * at the next stamp. */
static void test_skip(void **state)
{
	struct follower follower;

	(void)state;
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		const struct server *server = &servers[i];
		struct bytes bytes = {.count = 0};
		size_t attached = first_packet(server);

		put_stream(server, 0, PACKET, &bytes);
		for (size_t cut = attached; cut <= bytes.count; cut++) {
			assert_int_equal(listen_to(server, &bytes, attached, cut, false, &follower),
					 0);
			assert_int_equal(follower.place, MESSAGES);
			assert_int_equal(listen_to(server, &bytes, attached, cut, true, &follower),
					 0);
			/* A whole packet, with its stamps, is compared. */
			if (cut + attached <= bytes.count)
				assert_int_equal(follower.place, MESSAGES);
		}
	}
}

/* A byte that is wrong, wherever it stands, is found, except in a stamp: a later one is a skip. */
static void test_wrong_byte(void **state)
{
	struct follower follower;

	(void)state;
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		const struct server *server = &servers[i];
		struct bytes bytes = {.count = 0};
		size_t attached = first_packet(server), payload = server->head.count;

		put_stream(server, 0, MESSAGES, &bytes);
		/* The length of a packet takes as many bytes as it has in the form, or two
		 * digits. */
		payload += server->packet ? strlen(server->packet) + (*server->packet == '^') : 0;
		/* The first message behind the packet that was attached with. */
		for (size_t at = READER_STAMP_BYTES; at < server->size; at++) {
			size_t place = attached + payload + at;

			bytes.at[place] ^= 1;
			assert_int_not_equal(
				listen_to(server, &bytes, attached, place, false, &follower), 0);
			bytes.at[place] ^= 1;
		}
	}
}

/* A byte that is missing or doubled is found, also where it was only counted. */
static void test_shift(void **state)
{
	struct follower follower;

	(void)state;
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		const struct server *server = &servers[i];
		size_t attached = first_packet(server);

		/* In packets, a shift makes heads of payload, which is -EPROTO. */
		for (size_t at = attached + 1; at < 2 * attached; at++) {
			for (int counts = 0; counts < 2 && !server->packet; counts++) {
				struct bytes bytes = {.count = 0};

				put_stream(server, 0, MESSAGES, &bytes);
				memmove(bytes.at + at, bytes.at + at + 1, bytes.count - at - 1);
				bytes.count--;
				if (!listen_to(server, &bytes, attached, 2 * attached, counts,
					       &follower))
					fail_msg("%s: that byte %zu is missing was not found, %s",
						 server->dialect, at,
						 counts ? "counted" : "compared");
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_wrong_byte),
		cmocka_unit_test(test_shift),
	};

	return cmocka_run_group_tests_name("bench_follower", tests, NULL, NULL);
}
