// SPDX-License-Identifier: MIT
/* The files of histories: whether they are as they were written, and what of them
 * is wanted elsewhere. */
#pragma once

#include "base/errmsg.h"
#include "tools/relayctl/relayctl_answer.h"
#include "tools/relayctl/relayctl_options.h"
#include "tools/relayctl/relayctl_view.h"

/* history verify and history export.  Where no folder is said, relay is asked; its files are read
 * here.  RELAYCTL_REFUSED: something is wrong with them, which has been told, or else
 * is in `error`. */
must_check enum relayctl_exit relayctl_history(const struct relayctl_options *options,
					       const struct view *view, struct errmsg *error);
