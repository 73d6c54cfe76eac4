// SPDX-License-Identifier: MIT
/*
 * Whether the options of a feed agree with each other, and with those of the feeds before it.
 */
#pragma once

#include "config/check/check_report.h"

/* Report all that is wrong. The feed lies in check->config. */
void check_feed(const struct check *check, const struct config_feed *feed);
