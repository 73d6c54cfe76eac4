// SPDX-License-Identifier: MIT
/* relayctl upgrade: begins an upgrade and waits for its end.
 *
 * The process that takes over is known by its number, see admin_get_upgrade() in admin/admin_act.h.
 * While it takes over nobody answers, or a connection ends without an answer; that is asked again.
 */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"
#include "tools/relayctl/relayctl_answer.h"
#include "tools/relayctl/relayctl_options.h"

/* RELAYCTL_DONE: the new program has taken over, and *ret_json is what it says of itself.
 * RELAYCTL_REFUSED: nothing has changed, and *ret_json may have a list of "errors".
 * RELAYCTL_UNREACHABLE: how it ended is not known; *ret_json is NULL.  In both cases `error` says
 * why.  *ret_json is to be freed by json_decref(). */
must_check enum relayctl_exit relayctl_upgrade(const struct relayctl_options *options,
					       json_t **ret_json, struct errmsg *error);
