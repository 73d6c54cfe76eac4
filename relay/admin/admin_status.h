// SPDX-License-Identifier: MIT
/*
 * What relay says of itself as JSON, and whether it is well.
 *
 * status.json has a version; within one, members are added but never change their meaning.  Every
 * counter of metrics.def is there under its own name.  Buckets have counts of their own, not sums;
 * the last one has no bound ("le": null).
 */
#pragma once

#include "admin/admin_answer.h"

void admin_get_status(const struct admin_request *request);

/* ?feed=F (all), ?slow=1 (blocked ones only), ?sort=lag|age|delivered|id (lag), ?limit=N (100, at
 * most 1000). */
void admin_get_subscribers(const struct admin_request *request);

/* 200 as long as the control thread and every worker go round: an answer proves it. */
void admin_get_healthz(const struct admin_request *request);

/* 200 when a new subscriber would be served something: relay is not draining, and at least one feed
 * has its source.  With ?feed=F: that feed has.  Else 503. */
void admin_get_readyz(const struct admin_request *request);

/* The configuration in effect, as `relay -T` prints it. */
void admin_get_config(const struct admin_request *request);
