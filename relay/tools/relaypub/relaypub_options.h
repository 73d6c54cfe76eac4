// SPDX-License-Identifier: MIT
/* The command line of relaypub, checked. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"
#include "tools/relaypub/message_source.h"
#include "tools/shared/connect_address.h"
#include "tools/shared/delimiter.h"

#include <stdbool.h>
#include <stdint.h>

struct relaypub_options {
	struct connect_address address;
	struct message_source_params source;
	enum delimiter framing;
	uint64_t rate;       // messages a second; 0: as fast as they are taken
	uint64_t count;      // 0: no limit
	uint64_t connect_ms; // --connect-retry
	bool reads_lines;    // of files, which have their ends already: framing is none
	bool reconnects;
	bool listens;
	bool quiet;
	bool help;
};

/* 0, or -EINVAL with the reason in `error`.  File names point into argv.  With help asked for,
 * nothing else is set. */
must_check int relaypub_options_parse(int argc, char **argv, struct relaypub_options *ret_options,
				      struct errmsg *error);

/* The text of --help. */
const char *relaypub_options_usage(void);
