// SPDX-License-Identifier: MIT
/*
 * What the first bytes on an ingest port say of who has connected: the head of another protocol
 * than a bare stream.
 *
 * A web page can make any browser send a request to any port, and a crawler, a health check or a
 * program that was told the wrong port do the same. None of that is what a publisher sends.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "table/close_reason.h"

enum {
	FIRST_BYTES_MAX = 4096, /* a first line that goes on behind so many is taken as it is */
};

enum first_bytes {
	FIRST_BYTES_STREAM,  /* a publisher's, as far as can be told */
	FIRST_BYTES_FOREIGN, /* *ret_reason says of which protocol */
	FIRST_BYTES_MORE,    /* so far they may be either */
};

/* HTTP requests of every method (also SOURCE of Icecast and NTRIP, and the preface of HTTP/2), TLS
 * (RFC 8446, 5.1), SSH (RFC 4253, 4.2), and both heads of the PROXY protocol. count > 0. */
enum first_bytes first_bytes_look(const uint8_t *bytes, size_t count,
				  enum close_reason *ret_reason);
