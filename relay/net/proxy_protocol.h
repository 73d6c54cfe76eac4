// SPDX-License-Identifier: MIT
/*
 * The PROXY protocol, versions 1 and 2: who the peer is, told by a proxy in front of relay
 * (https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt).
 *
 * Pure.  Whether a header is to be expected at all, and from whom, is left to the caller: it is
 * never guessed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/compiler.h"

/* The longest header that is read.  A line of version 1 has at most 107 bytes; of version 2, whose
 * own limit is 64 KiB, this leaves 304 bytes for extensions beside the longest addresses. */
#define PROXY_HEADER_BYTES 536

enum proxy_parse {
	PROXY_PARSE_MORE,
	PROXY_PARSE_WHOLE,
	PROXY_PARSE_ERROR,
};

struct proxy_header {
	size_t header_bytes; /* whole: what belongs to the connection follows */
	/* whole: where the peer is, AF_INET, AF_INET6 or AF_UNIX (then perhaps without a path).
	 * AF_UNSPEC: the proxy does not say (UNKNOWN, UNSPEC) or speaks for itself (LOCAL), and
	 * the address of the connection counts. */
	struct sockaddr_storage source;
	socklen_t source_bytes;
	bool is_local;      /* whole: LOCAL; so a proxy looks if relay is there */
	const char *reason; /* error: one line, static */
};

/* bytes: all that has come so far, from the first byte of the connection.  Returns an error as soon
 * as the bytes cannot become a header that is accepted, whatever follows; the answer does not
 * depend on how they were cut.  *ret is set anew by each call.  Refused, beyond what the text asks
 * for: addresses and ports not in their usual form, datagrams, headers over PROXY_HEADER_BYTES, a
 * broken list of extensions.  A checksum among them has to be right; the others are skipped. */
enum proxy_parse proxy_protocol_parse(const uint8_t *bytes, size_t count,
				      struct proxy_header *ret) must_check;
