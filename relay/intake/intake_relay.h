// SPDX-License-Identifier: MIT
/* Intake of another relay's packets; for intake/ only. */
#pragma once

#include "intake/intake.h"

enum intake_result intake_take_relay(struct intake *intake, const struct source *source,
				     int *ret_err);
