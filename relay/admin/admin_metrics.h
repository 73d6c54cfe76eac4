// SPDX-License-Identifier: MIT
/*
 * /metrics, as Prometheus reads it (text format 0.0.4).
 *
 * Names: relay_ and relay_feed_ before those of metrics.def, base units, _total behind counters.
 * Labels have few values: feeds, workers, listeners, reasons; never a subscriber.
 */
#pragma once

#include "admin/admin_answer.h"

void admin_get_metrics(const struct admin_request *request);
