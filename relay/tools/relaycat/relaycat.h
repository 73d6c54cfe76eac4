// SPDX-License-Identifier: MIT
/* relaycat, behind its command line. */
#pragma once

#include "tools/relaycat/relaycat_options.h"

/* Subscribes until there is a reason to end.  Returns the exit status. */
int relaycat_run(const struct relaycat_options *options);
