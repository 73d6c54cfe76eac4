// SPDX-License-Identifier: MIT
/*
 * What the tests and the fuzz targets of the parsers in net/ share: feeding bytes in pieces, and
 * what came out as one line of text, so that two ways of feeding can be compared.
 *
 * Every piece lies in an allocation of just its size, so a sanitizer build shows any look beyond
 * it and any pointer into a buffer that has moved.  What must hold whatever the bytes are (lengths
 * within bounds, texts within the buffer, known statuses and codes) is checked here, by abort().
 */
#ifndef TESTS_UNIT_PARSE_RIG_H
#define TESTS_UNIT_PARSE_RIG_H

#include <stddef.h>
#include <stdint.h>

// Pieces of `first` bytes, then of `step` each.
struct parse_rig_cut {
	size_t first;
	size_t step;
};

#define PARSE_RIG_WHOLE    ((struct parse_rig_cut){SIZE_MAX, SIZE_MAX})
#define PARSE_RIG_BYTES    ((struct parse_rig_cut){1, 1})
#define PARSE_RIG_SPLIT(n) ((struct parse_rig_cut){(n), SIZE_MAX})

// Parsing what, and under which rules.
enum parse_rig_kind {
	PARSE_RIG_SUBSCRIBER, // a request with GET or HEAD, without a body
	PARSE_RIG_ADMIN,     // a request with any method that is served, a body of up to 1000 bytes
	PARSE_RIG_HANDSHAKE, // a request for WebSocket, and what the handshake says
	PARSE_RIG_WEBSOCKET, // frames, messages of at most PARSE_RIG_MESSAGE_BYTES
	PARSE_RIG_PROXY,
	PARSE_RIG_PUBLISHER, // a request with any method, whose body is left to its owner
	PARSE_RIG_CHUNKS,
};

enum {
	PARSE_RIG_MESSAGE_BYTES = 70000,
	PARSE_RIG_TEXT_BYTES = 4096 // room for the line; what is longer is cut
};

/* Feeds the bytes and writes what came out into out[PARSE_RIG_TEXT_BYTES]:
 *
 *	request    "more", "400 reason", "GET /path [name=value] 1.1 host=H fields=N body=N head=N"
 *	           of a publisher, the body is NONE, LENGTH of N, CHUNKED or TO_END, with + where
 *	           100 is awaited
 *	handshake  "101 ACCEPT", "426 reason", and the above where the request itself is at fault
 *	websocket  events with a blank behind each: text(Hello) binary(#70000) ping() pong(a)
 *	           close(1000,bye) error(1002,reason); data of unfinished messages is not told
 *	proxy      "more", "error reason", "none N", "1.2.3.4 56 N", "[::1] 56 N", "unix PATH N";
 *	           N: bytes of the header
 *	chunks     "more", "end" or "broken", a blank, and the payload */
void parse_rig_run(enum parse_rig_kind kind, const uint8_t *bytes, size_t count,
		   struct parse_rig_cut cut, char *out);

/* Whole, byte by byte, and in two at every place (of more than 2,000 bytes: every place near the
 * ends and some between): all must give the same, which is in out[] afterwards.  Returns NULL, or
 * what came out of the way of feeding that differs, in a static buffer. */
const char *parse_rig_run_every_way(enum parse_rig_kind kind, const uint8_t *bytes, size_t count,
				    char *out);

/* Reads frames written in hex, with blanks wherever they help: "81 85 K 48656c6c6f;".  What stands
 * between K and ; is masked with 37fa213d, which K itself puts there.  "61*130" is that byte 130
 * times, "'abc'" are these letters.  Returns the bytes written to out[], which has room for `size`.
 */
size_t parse_rig_read_hex(const char *text, uint8_t *out, size_t size);

#endif
