// SPDX-License-Identifier: MIT
/*
 * Whether each address that is listened on is there once.
 */
#pragma once

#include "config/check/check_report.h"

/* Report each address that an earlier one takes already.  0, or -ENOMEM: nothing was reported. */
must_check int check_addresses(const struct check *check);
