// SPDX-License-Identifier: MIT
/*
 * What clients say to the servers that isolation mode compares: relay's raw format behind u32be
 * prefixes, RESP (Redis), the NATS text protocol, MQTT 3.1.1 with QoS 0, and WebSocket (Nchan).
 * Each is as much of its protocol as one topic named "b" needs. A dialect is constant; the state of
 * a connection is the caller's.
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

/* "relay", "redis", "nats", "mqtt" or "websocket"; NULL for anything else. */
const struct dialect *dialect_find(const char *name);

/*
 * Connects and goes through the handshake, blocking, until the server has confirmed the
 * subscription (or the publisher's connection). Returns a non-blocking fd, which is the caller's,
 * or -errno; -EPROTO when the server said something else.
 */
int dialect_connect(const struct dialect *dialect, const struct sockaddr_in *address,
		    bool is_publisher);

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

#endif
