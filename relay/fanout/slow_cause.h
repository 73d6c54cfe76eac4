// SPDX-License-Identifier: MIT
/*
 * Why a subscriber is slow, as its socket tells; slow_cause.def is the only list.
 *
 * What is so at this moment counts more than what was so for most of the connection's life, so it
 * should be asked while the socket is full, not once it has room again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum slow_cause {
#define CAUSE(id, name, text) CAUSE_##id,
#include "fanout/slow_cause.def"
	SLOW_CAUSE_COUNT
};

/* What a TCP socket says about itself (tcp(7), TCP_INFO; SIOCOUTQ).  Times are sums over the
 * connection's life. */
struct slow_signs {
	bool is_tcp;
	uint64_t queued_bytes;   /* taken from relay, not yet acknowledged: sent or not */
	uint64_t unsent_bytes;   /* of these, not yet sent                     */
	uint64_t window_bytes;   /* the receive window that was announced last */
	uint64_t segment_bytes;  /* what is sent at once at most (MSS)         */
	uint64_t lost_segments;  /* believed lost and not yet sent again       */
	unsigned retransmits;    /* timeouts in a row without any answer       */
	unsigned window_probes;  /* probes of a closed window without answer   */
	uint64_t busy_us;        /* with something to send                     */
	uint64_t window_us;      /* of these, held up by the receive window    */
	uint64_t send_buffer_us; /* of these, held up by the send buffer       */
};

/* The stable word; never NULL. */
const char *slow_cause_name(enum slow_cause cause);

/* Pure: nothing at all can be sent before the subscriber reads.  What is on its way is the
 * network's affair first, unless the subscriber has said since that it takes nothing. */
bool slow_signs_is_window_shut(const struct slow_signs *signs);

/* Whether the kernel holds bytes for `fd` that it has not sent yet (SIOCOUTQNSD, tcp(7)); false
 * where it is no TCP socket.  One system call. */
bool slow_signs_has_unsent(int fd);

/* Pure. */
enum slow_cause slow_cause_judge(const struct slow_signs *signs);

/* Reads the signs of `fd`; all zero where it is no TCP socket.  Two system calls. */
void slow_cause_read(int fd, struct slow_signs *ret);

/* Both. */
enum slow_cause slow_cause_of(int fd);
