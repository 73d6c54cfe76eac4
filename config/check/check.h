// SPDX-License-Identifier: MIT
/*
 * Whether a configuration makes sense as a whole: what belongs together is there, and nothing
 * contradicts anything else.
 */
#pragma once

#include "config/config.h"

/* Add all that is wrong to *errors. Every value by itself is taken to have been checked; values
 * that were refused are at their defaults, or NULL. Sections without a name are passed over: their
 * headers were refused. is_partial: there were headers that could not be read, so nothing is said
 * about sections that seem to be missing.  0, or -ENOMEM: not all has been checked. */
must_check int config_check_all(const struct config *config, bool is_partial,
				struct config_errors *errors);
