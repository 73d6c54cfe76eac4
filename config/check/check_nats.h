// SPDX-License-Identifier: MIT
/*
 * Whether [nats] and the feeds that are read from there make sense together.
 */
#pragma once

#include "config/check/check_report.h"

/* Report all that is wrong. */
void check_nats(const struct check *check);
