// SPDX-License-Identifier: MIT
/* The command line of relaycat, checked. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"
#include "tools/relaycat/feed_token.h"
#include "tools/relaycat/http_feed.h"
#include "tools/shared/connect_address.h"
#include "tools/shared/delimiter.h"

#include <stdbool.h>
#include <stdint.h>

struct relaycat_options {
	struct connect_address address;
	bool help;
	bool framed;
	bool verify;
	bool stats;
	bool headers;
	bool quiet;
	bool positions;
	uint64_t seed;          // of positions
	enum delimiter framing; // of the messages in the payload; none: not looked at
	uint64_t count;         // 0: no limit
	uint64_t bytes;         // 0: no limit
	uint64_t timeout_ms;    // 0: none
	uint64_t connect_ms;    // --connect-retry
	bool reconnects;
	bool is_http; // the address is a URL
	struct http_feed_url url;
	struct http_feed_range range;
	char token[FEED_TOKEN_BYTES]; // of the URL; "": none
	uint64_t until_ns;            // wall clock; 0: not said
};

/* 0, or -errno with the reason in `error`: -EINVAL for what is wrong on the line or in a file
 * of it, as feed_token_read() for a file that cannot be read.  With help asked for, nothing
 * else is set. */
must_check int relaycat_options_parse(int argc, char **argv, struct relaycat_options *ret_options,
				      struct errmsg *error);

/* The text of --help. */
const char *relaycat_options_usage(void);
