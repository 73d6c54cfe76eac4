// SPDX-License-Identifier: MIT
/*
 * What relay asks an HTTP origin for.  Pure.
 *
 *	http://HOST[:PORT]/PATH     what serves an endless body: Icecast, an HTTP streamer, a relay
 *	ntrip://HOST[:PORT]/MOUNT   a caster of GNSS corrections, NTRIP 1 or 2
 *
 * Another relay is asked for its framed stream, and to begin where the feed is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum {
	PULL_URL_BYTES = 1024,           /* with its zero byte */
	PULL_AUTHORIZATION_BYTES = 1024, /* "Basic ..." or "Bearer ...", with its zero byte */
	PULL_REQUEST_BYTES = 4096,
};

/* The message that a stream is to begin with. */
struct pull_place {
	bool is_known; /* false: with the next one, or as the query of the URL says */
	uint32_t session;
	uint64_t sequence;
};

struct pull_request {
	const char *url;           /* well formed (config/address.h) */
	bool is_framed;            /* the packets of another relay */
	struct pull_place place;   /* is_framed */
	const char *authorization; /* "": none */
	const char *gga;           /* ntrip://: where the rover is (gga.h); "": not told */
};

bool pull_url_is_ntrip(const char *url);

/* Prints it, terminated; returns its length. */
size_t pull_request_print(const struct pull_request *request, char buf[PULL_REQUEST_BYTES]);
