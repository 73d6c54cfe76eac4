// SPDX-License-Identifier: MIT
/*
 * Collecting what the workers have counted, and holding them to max_pinned together.  Each function
 * asks every worker once and waits; a worker answers between two turns of its loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "fanout/census.h"
#include "loop/loop_lag.h"

struct service;
struct served_feed;

/* Brings served->report of every feed up to date; with_subscribers as in feed_report_add(), and
 * served->origin, too. */
void collect_reports(struct service *service, bool with_subscribers);

/* Once a second: the rates of every feed. */
void collect_rates(struct service *service, uint64_t now_ms);

/* Once a second: what slow subscribers hold together; above `max_bytes` those that hold most are
 * closed.  Returns what they hold after that. */
uint64_t collect_pinned(struct service *service, uint64_t max_bytes);

/* Fills `ret`, which has been initialised, with the subscribers of one feed, or of all (NULL), and
 * sorts it.  Each worker walks over all of its subscribers in one turn: see census.h.  0 or
 * -ENOMEM, with what there is then. */
int collect_census(struct service *service, const struct served_feed *feed,
		   struct census *ret) must_check;

/* The same for every feed by itself: `list` has one for each, in the order of service->feeds. */
int collect_each_census(struct service *service, struct census *list, size_t count) must_check;

/* Closes the subscriber of the feed that has this id (reason KICKED).  False: there is none. */
bool collect_kick(struct service *service, const struct served_feed *feed, uint64_t id);

/* Of the worker with this index. */
void collect_loop_lag(struct service *service, unsigned index, struct loop_lag_counts *ret);

/* Messages that are published, as of the last collect, and not recorded yet; of
 * another session, all. */
struct recorder_report;
uint64_t collect_unrecorded(const struct served_feed *served, const struct recorder_report *report);
