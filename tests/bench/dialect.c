// SPDX-License-Identifier: MIT
/*
 * The dialects, one table entry and one or two functions each. Subscribing is one burst of bytes,
 * and the answer is looked for by its last bytes: nothing follows it before somebody publishes.
 */
#include "dialect.h"

#include "text.h"
#include "wire.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HANDSHAKE_LIMIT_S 10

struct dialect {
	const char *name;
	struct text subscribe, subscribed; /* what to say, and what in the answer ends it */
	struct text after; /* what a subscriber has to say after that answer, not before */
	struct text publish, published;
	int (*parse)(const uint8_t *head, uint32_t count, struct dialect_frame *ret);
	uint64_t (*wrap)(uint64_t size, uint8_t *wire); /* writes the head, returns its bytes */
	struct text tail;
	struct text notice;
	int (*parse_packet)(const uint8_t *head, uint32_t count, struct dialect_frame *ret);
};

/* --- relay: a u32be before each message ------------------------------------------------------- */

static int parse_relay(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	uint32_t length;

	if (count < sizeof(length))
		return 0;
	memcpy(&length, head, sizeof(length));
	*ret = (struct dialect_frame){sizeof(length), ntohl(length), 0, true};
	return 1;
}

static uint64_t wrap_relay(uint64_t size, uint8_t *wire)
{
	uint32_t length = htonl((uint32_t)size);

	memcpy(wire, &length, sizeof(length));
	return sizeof(length);
}

/* --- text protocols --------------------------------------------------------------------------- */

/* The line that begins at `from`: its bytes with CR LF, or 0 when it is not complete. */
static uint32_t line_bytes(const uint8_t *head, uint32_t count, uint32_t from)
{
	const uint8_t *lf = from < count ? memchr(head + from, '\n', count - from) : NULL;

	return lf ? (uint32_t)(lf - head) + 1 - from : 0;
}

/* A decimal number that CR ends; the caller knows that the line is complete. */
static uint64_t read_number(const uint8_t *digits)
{
	uint64_t number = 0;

	while (*digits >= '0' && *digits <= '9')
		number = number * 10 + (uint64_t)(*digits++ - '0');
	return number;
}

static int parse_redis(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	static const char start[] = "*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$";
	uint32_t fixed = sizeof(start) - 1;
	uint32_t line = line_bytes(head, count, fixed);

	if (memcmp(head, start, count < fixed ? count : fixed) != 0)
		return -EPROTO;
	if (!line)
		return 0;
	*ret = (struct dialect_frame){fixed + line, read_number(head + fixed), 2, true};
	return 1;
}

static uint64_t wrap_redis(uint64_t size, uint8_t *wire)
{
	return (uint64_t)sprintf((char *)wire, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nb\r\n$%llu\r\n",
				 (unsigned long long)size);
}

/* MSG b 1 SIZE; or what a server says of itself, such as PING, which may go unanswered for minutes.
 */
static int parse_nats(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	static const char start[] = "MSG b 1 ";
	static const char *const others[] = {"PING\r\n", "PONG\r\n", "+OK\r\n", "INFO ", "-ERR "};
	uint32_t fixed = sizeof(start) - 1;
	uint32_t line = line_bytes(head, count, 0);

	if (!line)
		return 0;
	if (line > fixed && memcmp(head, start, fixed) == 0) {
		*ret = (struct dialect_frame){line, read_number(head + fixed), 2, true};
		return 1;
	}
	*ret = (struct dialect_frame){.head = line};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (line >= strlen(others[i]) && memcmp(head, others[i], strlen(others[i])) == 0)
			return 1;
	return -EPROTO;
}

static uint64_t wrap_nats(uint64_t size, uint8_t *wire)
{
	return (uint64_t)sprintf((char *)wire, "PUB b %llu\r\n", (unsigned long long)size);
}

/* --- MQTT 3.1.1: type, length in groups of 7 bits, topic ------------------------------------- */

#define MQTT_PUBLISH     0x30
#define MQTT_TOPIC       "\0\1b"
#define MQTT_TOPIC_BYTES 3

static int parse_mqtt(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	uint64_t length = 0;
	uint32_t at = 1;

	do {
		if (at >= count)
			return 0;
		if (at > 4)
			return -EPROTO;
		length |= (uint64_t)(head[at] & 0x7f) << (7 * (at - 1));
	} while (head[at++] & 0x80);
	/* Nothing else comes to a subscriber with QoS 0 that asks for nothing. */
	if (head[0] != MQTT_PUBLISH || length < MQTT_TOPIC_BYTES)
		return -EPROTO;
	if (count < at + MQTT_TOPIC_BYTES)
		return 0;
	*ret = (struct dialect_frame){at + MQTT_TOPIC_BYTES, length - MQTT_TOPIC_BYTES, 0, true};
	return memcmp(head + at, MQTT_TOPIC, MQTT_TOPIC_BYTES) == 0 ? 1 : -EPROTO;
}

static uint64_t wrap_mqtt(uint64_t size, uint8_t *wire)
{
	uint64_t left = size + MQTT_TOPIC_BYTES, at = 1;

	wire[0] = MQTT_PUBLISH;
	do {
		wire[at++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
		left >>= 7;
	} while (left);
	memcpy(wire + at, MQTT_TOPIC, MQTT_TOPIC_BYTES);
	return at + MQTT_TOPIC_BYTES;
}

/* --- WebSocket (RFC 6455): binary frames, masked towards the server, by a mask of zeros --------
 */

#define WS_FIN_BINARY 0x82
#define WS_MASKED     0x80
#define WS_RESERVED   0x70
#define WS_DATA_LAST  2
#define WS_CLOSE      8
#define WS_LAST       10

static int parse_websocket(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	uint32_t opcode = head[0] & 0x0f;
	uint64_t length = 0;
	uint32_t extra;

	if ((head[0] & WS_RESERVED) || (opcode > WS_DATA_LAST && opcode < WS_CLOSE) ||
	    opcode > WS_LAST)
		return -EPROTO;
	if (count < 2)
		return 0;
	extra = head[1] == 127 ? 8 : head[1] == 126 ? 2 : 0;
	if (count < 2 + extra)
		return 0;
	if (head[1] & WS_MASKED)
		return -EPROTO;
	for (uint32_t i = 0; i < extra; i++)
		length = length << 8 | head[2 + i];
	*ret = (struct dialect_frame){2 + extra, extra ? length : head[1], 0,
				      opcode == 1 || opcode == 2};
	return 1;
}

static uint64_t wrap_websocket(uint64_t size, uint8_t *wire)
{
	uint64_t length = htobe64(size);
	uint64_t at = 2;

	wire[0] = WS_FIN_BINARY;
	if (size < 126) {
		wire[1] = (uint8_t)(WS_MASKED | size);
	} else if (size <= UINT16_MAX) {
		wire[1] = WS_MASKED | 126;
		memcpy(wire + at, (uint8_t *)&length + 6, 2);
		at += 2;
	} else {
		wire[1] = WS_MASKED | 127;
		memcpy(wire + at, &length, sizeof(length));
		at += sizeof(length);
	}
	memset(wire + at, 0, 4);
	return at + 4;
}

/* --- ZeroMQ (ZMTP 3.0, RFC 23 of ZeroMQ) and nng (SP over TCP, "SP TCP mapping" of nanomsg) ------
 */

#define ZMQ_LONG      2
#define ZMQ_COMMAND   4
#define SP_HEAD_BYTES 8

/* A frame: flags, length in 1 byte or in 8, most significant first. Commands are not messages. */
static int parse_zmq(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	uint32_t bytes = head[0] & ZMQ_LONG ? 8 : 1;
	uint64_t length = 0;

	if (head[0] & ~(ZMQ_LONG | ZMQ_COMMAND))
		return -EPROTO;
	if (count < 1 + bytes)
		return 0;
	for (uint32_t i = 0; i < bytes; i++)
		length = length << 8 | head[1 + i];
	*ret = (struct dialect_frame){1 + bytes, length, 0, !(head[0] & ZMQ_COMMAND)};
	return 1;
}

static uint64_t wrap_zmq(uint64_t size, uint8_t *wire)
{
	uint64_t length = htobe64(size);

	wire[0] = size > UINT8_MAX ? ZMQ_LONG : 0;
	wire[1] = (uint8_t)size;
	if (size <= UINT8_MAX)
		return 2;
	memcpy(wire + 1, &length, sizeof(length));
	return 1 + sizeof(length);
}

static int parse_nng(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	uint64_t length;

	if (count < SP_HEAD_BYTES)
		return 0;
	memcpy(&length, head, sizeof(length));
	*ret = (struct dialect_frame){SP_HEAD_BYTES, be64toh(length), 0, true};
	return 1;
}

static uint64_t wrap_nng(uint64_t size, uint8_t *wire)
{
	uint64_t length = htobe64(size);

	memcpy(wire, &length, sizeof(length));
	return sizeof(length);
}

/* The greeting of 64 bytes: signature, version 3.0, mechanism NULL; then READY with the type of our
 * socket, whose name has `size` bytes. */
#define ZEROS_8                      "\0\0\0\0\0\0\0\0"
#define ZEROS_24                     ZEROS_8 ZEROS_8 ZEROS_8
#define ZMQ_GREETING                 "\xff" ZEROS_8 "\x7f\3\0NULL" ZEROS_24 ZEROS_24
#define ZMQ_READY(bytes, size, type) "\4" bytes "\5READY\13Socket-Type\0\0\0" size type
/* A message that subscribes to everything. */
#define ZMQ_SUBSCRIBE "\0\1\1"
/* The protocol's number: 80 push, 81 pull, 32 pub, 33 sub. */
#define SP_HELLO(protocol) "\0SP\0\0" protocol "\0\0"

#define UPGRADE(place)                                                                             \
	TEXT("GET /" place " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"               \
	     "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                                 \
	     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")

/* --- relay by HTTP and WebSocket: its messages as above, in packets. A message of less than 16 MiB
 * begins with a byte 0, and no head of a packet does. ------------------------------------------ */

/* A chunk: its length in hexadecimal, CR LF, the payload, CR LF (RFC 9112, 7.1). */
static int parse_chunk(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	uint64_t length = 0;
	uint32_t at = 0;

	for (; at < count && isxdigit(head[at]) && at < 16; at++)
		length = length << 4 |
			 (uint64_t)(head[at] <= '9' ? head[at] - '0' : (head[at] | 32) - 'a' + 10);
	if (at + 2 > count)
		return at < 16 ? 0 : -EPROTO;
	if (at == 0 || memcmp(head + at, "\r\n", 2) != 0)
		return -EPROTO;
	*ret = (struct dialect_frame){at + 2, length, 2, true};
	return 1;
}

static int parse_relay_http(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	const uint8_t *end;

	if (!head[0])
		return parse_relay(head, count, ret);
	end = memchr(head, '\n', count);
	if (end)
		*ret = (struct dialect_frame){.head = (uint32_t)(end - head) + 1};
	return end ? 1 : count < DIALECT_HEAD_BYTES ? 0 : -EPROTO;
}

/* A message of relay's that is longer than a packet goes on in frames with opcode 0. */
static int parse_stream_frame(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	int r = parse_websocket(head, count, ret);

	if (r == 1)
		ret->is_message = (head[0] & 0x0f) <= WS_DATA_LAST;
	return r;
}

static int parse_relay_websocket(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	int r;

	if (!head[0])
		return parse_relay(head, count, ret);
	r = parse_stream_frame(head, count, ret);
	if (r == 1 && ret->is_message)
		*ret = (struct dialect_frame){.head = ret->head};
	return r;
}

/* One of relay's messages in each: the length that it has anyway is the start of the payload. */
static int parse_relay_messages(const uint8_t *head, uint32_t count, struct dialect_frame *ret)
{
	const uint32_t prefix = sizeof(uint32_t);
	int r = parse_websocket(head, count, ret);

	if (r < 1 || !ret->is_message)
		return r;
	if (ret->payload < prefix)
		return -EPROTO;
	ret->head += prefix;
	ret->payload -= prefix;
	return count < ret->head ? 0 : 1;
}

#define NATS_CONNECT "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true}\r\n"
/* The password is that of tests/bench/peers/icecast.xml, in base64 behind "source:". */
#define ICECAST_PUT                                                                                \
	"PUT /b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic c291cmNlOmJlbmNo\r\n"          \
	"Content-Type: application/octet-stream\r\n\r\n"
/* Protocol 3.1.1, clean session, no keep-alive, an empty client id. */
#define MQTT_CONNECT "\x10\x0c\0\4MQTT\4\2\0\0\0\0"

/* --- the table -------------------------------------------------------------------------------- */

static const struct dialect dialects[] = {
	{
		.name = "relay",
		.parse = parse_relay,
		.wrap = wrap_relay,
	},
	{
		.name = "relay-http",
		.subscribe = TEXT("GET /b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		.subscribed = TEXT("\r\n\r\n"),
		.parse = parse_relay_http,
		.parse_packet = parse_chunk,
		.wrap = wrap_relay,
	},
	{
		.name = "relay-websocket",
		.subscribe = UPGRADE("b"),
		.subscribed = TEXT("\r\n\r\n"),
		.parse = parse_relay_websocket,
		.parse_packet = parse_stream_frame,
		.wrap = wrap_relay,
	},
	{
		.name = "relay-messages",
		.subscribe = UPGRADE("b?messages=message"),
		.subscribed = TEXT("\r\n\r\n"),
		.parse = parse_relay_messages,
		.wrap = wrap_relay,
		.notice = TEXT("\x89\0"), /* a ping, after a second of silence */
	},
	{
		.name = "redis",
		.subscribe = TEXT("*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nb\r\n"),
		.subscribed = TEXT(":1\r\n"),
		.parse = parse_redis,
		.wrap = wrap_redis,
		.tail = TEXT("\r\n"),
	},
	{
		.name = "nats",
		.subscribe = TEXT(NATS_CONNECT "SUB b 1\r\nPING\r\n"),
		.subscribed = TEXT("PONG\r\n"),
		.publish = TEXT(NATS_CONNECT "PING\r\n"),
		.published = TEXT("PONG\r\n"),
		.parse = parse_nats,
		.wrap = wrap_nats,
		.tail = TEXT("\r\n"),
		.notice = TEXT("PING\r\n"),
	},
	{
		.name = "mqtt",
		.subscribe = TEXT(MQTT_CONNECT "\x82\6\0\1\0\1b\0"),
		.subscribed = TEXT("\x90\3\0\1\0"),
		.publish = TEXT(MQTT_CONNECT),
		.published = TEXT("\x20\2\0\0"),
		.parse = parse_mqtt,
		.wrap = wrap_mqtt,
	},
	{
		.name = "websocket",
		.subscribe = UPGRADE("sub"),
		.subscribed = TEXT("\r\n\r\n"),
		.publish = UPGRADE("pub"),
		.published = TEXT("\r\n\r\n"),
		.parse = parse_websocket,
		.wrap = wrap_websocket,
	},
	{
		.name = "zmq",
		.subscribe = TEXT(ZMQ_GREETING ZMQ_READY("\31", "\3", "SUB")),
		.subscribed = TEXT("\0\0\0\3PUB"),
		.after = TEXT(ZMQ_SUBSCRIBE),
		.publish = TEXT(ZMQ_GREETING ZMQ_READY("\32", "\4", "PUSH")),
		.published = TEXT("\0\0\0\4PULL"),
		.parse = parse_zmq,
		.wrap = wrap_zmq,
	},
	{
		.name = "nng",
		.subscribe = TEXT(SP_HELLO("!")),
		.subscribed = TEXT(SP_HELLO(" ")),
		.publish = TEXT(SP_HELLO("P")),
		.published = TEXT(SP_HELLO("Q")),
		.parse = parse_nng,
		.wrap = wrap_nng,
	},
	{
		.name = "icecast",
		.subscribe = TEXT("GET /b HTTP/1.0\r\n\r\n"),
		.subscribed = TEXT("\r\n\r\n"),
		.publish = TEXT(ICECAST_PUT),
		.published = TEXT("\r\n\r\n"),
		.parse = parse_relay,
		.wrap = wrap_relay,
	},
};

const struct dialect *dialect_find(const char *name)
{
	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++)
		if (strcmp(name, dialects[i].name) == 0)
			return &dialects[i];
	return NULL;
}

int dialect_open(const struct dialect *dialect, const struct sockaddr_in *address,
		 bool is_publisher, const char *congestion)
{
	struct text hello = is_publisher ? dialect->publish : dialect->subscribe;
	struct timeval limit = {.tv_sec = HANDSHAKE_LIMIT_S};
	int fd = wire_connect(address, 0, congestion);
	int r = 0;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_SETFL, O_RDWR) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		r = -errno;
	else if (hello.count && send(fd, hello.at, hello.count, MSG_NOSIGNAL) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

int dialect_confirm(const struct dialect *dialect, int fd, bool is_publisher)
{
	struct text ending = is_publisher ? dialect->published : dialect->subscribed;
	char answer[4096];
	size_t count = 0;

	while (ending.count && !memmem(answer, count, ending.at, ending.count)) {
		ssize_t n = recv(fd, answer + count, sizeof(answer) - count, 0);

		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		count += (size_t)n;
	}
	if (!is_publisher && dialect->after.count &&
	    send(fd, dialect->after.at, dialect->after.count, MSG_NOSIGNAL) < 0)
		return -errno;
	return fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0 ? -errno : 0;
}

const char *dialect_notice(const struct dialect *dialect, uint64_t *ret_bytes)
{
	*ret_bytes = dialect->notice.count;
	return dialect->notice.at;
}

bool dialect_has_packets(const struct dialect *dialect)
{
	return dialect->parse_packet != NULL;
}

int dialect_parse_packet(const struct dialect *dialect, const uint8_t *head, uint32_t count,
			 struct dialect_frame *ret)
{
	return count ? dialect->parse_packet(head, count, ret) : 0;
}

int dialect_parse(const struct dialect *dialect, const uint8_t *head, uint32_t count,
		  struct dialect_frame *ret)
{
	return count ? dialect->parse(head, count, ret) : 0;
}

uint64_t dialect_wrap(const struct dialect *dialect, uint64_t size, uint8_t *wire,
		      uint64_t *ret_payload)
{
	*ret_payload = dialect->wrap(size, wire);
	if (dialect->tail.count)
		memcpy(wire + *ret_payload + size, dialect->tail.at, dialect->tail.count);
	return *ret_payload + size + dialect->tail.count;
}
