// SPDX-License-Identifier: MIT
/*
 * Whether the options of a listener agree with each other, and with those of the feeds that it
 * serves.
 */
#pragma once

#include "config/check/check_report.h"

/* Report all that is wrong. is_partial: some sections could not be read, so nothing is said about a
 * feed that seems to be missing. */
void check_listener(const struct check *check, const struct config_listener *listener,
		    bool is_partial);

/* Report a feed that no listener serves, or that nobody can publish to. */
void check_is_served(const struct check *check, const struct config_feed *feed);
