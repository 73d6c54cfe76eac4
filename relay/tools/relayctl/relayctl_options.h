// SPDX-License-Identifier: MIT
/* The command line of relayctl, checked. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum relayctl_command {
#define COMMAND(id, ...) COMMAND_##id,
#include "tools/relayctl/relayctl_command.def"
};

struct relayctl_options {
	enum relayctl_command command;
	const char *argument; // behind the command; NULL when there is none
	const char *file;     // of history export
	const char *folder;   // of history verify and export; NULL: not said, so relay is asked
	bool looks;           // the command changes nothing
	const char *socket;   // of the admin server, or http://HOST:PORT; NULL: the unit's
	const char *unit;     // of relay; NULL: not said
	const char *feed;     // NULL: all
	bool help;
	bool json;
	bool slow;
	bool names;
	uint64_t since_ns;    // history export: wall clock; 0: all
	uint64_t until_ns;    // the same
	uint64_t spread_ms;   // drain: 0: at once
	bool cancel;          // drain: take a slow one back
	uint64_t limit;       // subscribers
	uint64_t interval_ms; // of top
	uint64_t timeout_ms;  // of one request
};

/* 0, or -EINVAL with the reason in `error`; json is right then too.  The texts are argv's.  With
 * help asked for, nothing else counts. */
must_check int relayctl_options_parse(int argc, char **argv, struct relayctl_options *ret_options,
				      struct errmsg *error);

/* Prints the text of --help.  0, or -errno of writing. */
must_check int relayctl_options_print_usage(FILE *out);
