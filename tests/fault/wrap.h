// SPDX-License-Identifier: MIT
/*
 * System calls that fail or come back short on demand, for tests linked with -Wl,--wrap=CALL.
 *
 * Each wrapped call follows at most one failure rule and one cap; without either it goes straight
 * to the kernel.  Calls are counted and their last length and flags kept, so that a test can also
 * assert what was asked.  One process, one thread.  Start every test with wrap_reset().
 */
#ifndef TESTS_FAULT_WRAP_H
#define TESTS_FAULT_WRAP_H

#include <stddef.h>

enum wrap_call {
	WRAP_SPLICE_IN,   // destination is a pipe
	WRAP_SPLICE_PAIR, // the same, and the source is one end of a socket pair of relay's own
	WRAP_SPLICE_OUT,  // destination is a socket
	WRAP_SPLICE_ELSE, // destination is something else, /dev/null
	WRAP_TEE,
	WRAP_VMSPLICE,
	WRAP_PIPE2,
	WRAP_SOCKETPAIR, // that relay opens: close-on-exec and non-blocking
	WRAP_RECV,
	WRAP_SEND_PAIR, // send(2) into such a pair
	WRAP_SENDMSG,
	WRAP_ACCEPT4,
	WRAP_PREAD,
	WRAP_SENDFILE,
	WRAP_MINCORE,      // failing only; with errno 0 it says that nothing is in the page cache
	WRAP_REALLOC,      // failing only
	WRAP_DEFLATE_INIT, // of zlib; failing only: it has no memory
	WRAP_DIGEST,       // of libcrypto; the same
	WRAP_CALL_COUNT
};

// Forgets all rules, counts and records.
void wrap_reset(void);

// Fails the nth call from now (1 is the next one) with errno err, and no other.
void wrap_fail_once(enum wrap_call call, unsigned nth, int err);

// Fails so many calls from the nth on.
void wrap_fail_times(enum wrap_call call, unsigned nth, unsigned times, int err);

// Fails the nth call from now and all after it with errno err.
void wrap_fail_from(enum wrap_call call, unsigned nth, int err);

// Lets a call move at most max_bytes at once; 0 takes the cap off.  Not for pipe2, socketpair and
// accept4.
void wrap_cap(enum wrap_call call, size_t max_bytes);

// Since wrap_reset(), failed ones included.
unsigned wrap_count(enum wrap_call call);

// What the last call asked for, before any cap.
size_t wrap_last_bytes(enum wrap_call call);
unsigned wrap_last_flags(enum wrap_call call);

#endif
