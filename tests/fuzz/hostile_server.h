// SPDX-License-Identifier: MIT
/*
 * A server that answers a tool of relay's with whatever it likes.
 *
 * The tool runs as it is, in this process.  Only its calls to the network end here: the target is
 * linked with --wrap=connect_address_open and so on (tests/rules.mk).  So no time is spent, and
 * each run ends: when the server has no more connections, the tool is asked to stop.
 */
#ifndef TESTS_FUZZ_HOSTILE_SERVER_H
#define TESTS_FUZZ_HOSTILE_SERVER_H

#include <stddef.h>
#include <stdint.h>

// Stands in the bytes between two connections.
#define HOSTILE_SERVER_NEXT "<next>"

/* The next run is served with these bytes; they are not copied.  A receive gets `most` of them at
 * most, 0: all that are there.  Each connection ends by FIN or by reset, as its bytes say. */
void hostile_server_begin(const uint8_t *bytes, size_t count, size_t most);

/* What the run has written to standard output and, in lines of their own, to standard error;
 * malloc'ed. */
struct hostile_server_output {
	char *out, *errors;
	size_t out_bytes, error_bytes;
};
struct hostile_server_output hostile_server_end(void);

#endif
