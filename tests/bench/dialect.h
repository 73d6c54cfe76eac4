// SPDX-License-Identifier: MIT
/*
 * What clients say to the servers that are compared: relay's raw format behind u32be prefixes, RESP
 * (Redis), the NATS text protocol, MQTT 3.1.1 with QoS 0, WebSocket (Nchan), the HTTP of Icecast
 * with the same prefixes inside, ZMTP 3.0 (ZeroMQ), and SP over TCP (nng). Each is as much of its
 * protocol as one topic named "b" needs. A dialect is constant; the state of a connection is the
 * caller's.
 */
#ifndef BENCH_DIALECT_H
#define BENCH_DIALECT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* Longest head of a frame that any dialect needs to see at once. */
#define DIALECT_HEAD_BYTES 512

/* Room that a message needs beside its payload. */
#define DIALECT_WRAP_BYTES 64

struct dialect_frame {
	uint32_t head;    /* bytes before the payload */
	uint64_t payload; /* bytes of it that follow */
	uint32_t tail;    /* bytes after it that end the frame */
	bool is_message;  /* of the topic; everything else is skipped */
};

struct dialect;

/* "relay", "relay-http", "relay-websocket", "relay-messages", "redis", "nats", "mqtt", "websocket",
 * "icecast", "zmq" or "nng"; NULL for anything else. */
const struct dialect *dialect_find(const char *name);

/*
 * Connects and says what makes a subscriber or a publisher of it. congestion: "" = the system's.
 * Returns a blocking fd, which is the caller's, or -errno.
 */
int dialect_open(const struct dialect *dialect, const struct sockaddr_in *address,
		 bool is_publisher, const char *congestion);

/*
 * Waits until the server has confirmed that, and makes the fd non-blocking. Returns 0 or -errno;
 * -EPROTO when the server said something else. The fd remains the caller's.
 */
int dialect_confirm(const struct dialect *dialect, int fd, bool is_publisher);

/*
 * Looks at the beginning of a frame, count bytes of it. Returns 1 with *ret set, 0 when more bytes
 * are needed, -EPROTO when it is none.
 */
int dialect_parse(const struct dialect *dialect, const uint8_t *head, uint32_t count,
		  struct dialect_frame *ret);

/*
 * Writes a message of `size` payload bytes, left as they are, to `wire`, which has room for size +
 * DIALECT_WRAP_BYTES. Returns the bytes of all; *ret_payload is where the payload stands.
 */
uint64_t dialect_wrap(const struct dialect *dialect, uint64_t size, uint8_t *wire,
		      uint64_t *ret_payload);

/* What this server may say between messages without having been asked, and its bytes; 0 = nothing.
 */
const char *dialect_notice(const struct dialect *dialect, uint64_t *ret_bytes);

/* Does the server put messages together in packets, each with a head, and perhaps a tail, of its
 * own? */
bool dialect_has_packets(const struct dialect *dialect);

/*
 * Looks at the beginning of a packet of such a server: is_message says whether its payload is of
 * the stream that dialect_parse() takes apart. Returns as dialect_parse().
 */
int dialect_parse_packet(const struct dialect *dialect, const uint8_t *head, uint32_t count,
			 struct dialect_frame *ret);

#endif
