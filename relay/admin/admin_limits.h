// SPDX-License-Identifier: MIT
/* /limits.json: what bounds relay here, as seen from inside its sandbox. */
#pragma once

#include "admin/admin_answer.h"

/* budget (struct budget, by the names of its members), rlimits, sysctls (null: cannot be read),
 * pipes_open, kernel. */
void admin_get_limits(const struct admin_request *request);
