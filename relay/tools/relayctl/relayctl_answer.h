// SPDX-License-Identifier: MIT
/* What relay answers, as JSON (jansson), and the fields of it that relayctl reads.
 *
 * A field that is missing or of another type reads as 0, "" or an empty list: relay may have come
 * later or earlier than this relayctl. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"
#include "tools/relayctl/relayctl_options.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum relayctl_exit {
	RELAYCTL_DONE = 0,
	RELAYCTL_REFUSED = 1, // by relay; or doctor found something
	RELAYCTL_USAGE = 2,
	RELAYCTL_UNREACHABLE = 3, // or not understood
};

/* Asks relay.  RELAYCTL_DONE with the answer in *ret_json, to be freed by json_decref(); or
 * another, with *ret_json its answer or NULL, and one line in `error`.  An answer that is not JSON
 * is put into {"text": ...}. */
must_check enum relayctl_exit relayctl_ask(const struct relayctl_options *options,
					   const char *method, const char *target,
					   json_t **ret_json, struct errmsg *error);

/* The same for status.json, whose version must be ours. */
must_check enum relayctl_exit relayctl_ask_status(const struct relayctl_options *options,
						  json_t **ret_json, struct errmsg *error);

/* {"subscribers": [...]} as the options say, those that lag most first. */
must_check enum relayctl_exit relayctl_ask_subscribers(const struct relayctl_options *options,
						       uint64_t limit, json_t **ret_json,
						       struct errmsg *error);

const char *answer_text(const json_t *object, const char *key);
uint64_t answer_count(const json_t *object, const char *key);
double answer_number(const json_t *object, const char *key);
bool answer_flag(const json_t *object, const char *key);
