// SPDX-License-Identifier: MIT
/* Relay's answers as pages for a person: tables, human units, colours if wanted.
 *
 * All return 0, or -ENOMEM with part of the page missing.  They only write into `out`. */
#pragma once

#include "base/compiler.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct view {
	FILE *out; // the caller's
	bool has_colours;
	size_t columns; // that a page of top is to keep to; 0: any
};

/* The line about relay itself: version, uptime, subscribers, draining. */
void view_relay(const struct view *view, const json_t *status);

/* All of status.json. */
must_check int view_status(const struct view *view, const json_t *status);

/* The feeds of status.json. */
must_check int view_feeds(const struct view *view, const json_t *status);

/* [{"feed": name, "history": that of status.json}]; those without one are left out. */
must_check int view_histories(const struct view *view, const json_t *histories);

/* The subscribers of subscribers.json, and how many there are in all. */
must_check int view_subscribers(const struct view *view, const json_t *answer);

/* Both as top shows them: what fits into 80 columns.  A subscriber has a rate if it has a member
 * "rate". */
must_check int view_top_feeds(const struct view *view, const json_t *status);
must_check int view_top_subscribers(const struct view *view, const json_t *answer);

/* Any object: a line for each number or text in it, under its path with dots. */
must_check int view_object(const struct view *view, const json_t *object);
