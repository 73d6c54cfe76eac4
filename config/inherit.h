// SPDX-License-Identifier: MIT
/*
 * What a listener takes from its feed.
 */
#pragma once

#include "config/config.h"

/* Fill in what listeners have from their feeds; listeners of unknown feeds stay as they are.  0 or
 * -ENOMEM. */
must_check int config_inherit(struct config *config);
