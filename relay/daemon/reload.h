// SPDX-License-Identifier: MIT
/*
 * Loading the configuration, at the start and again: what SIGHUP and relayctl do.  What is wrong
 * goes to the log and to who asked.
 */
#pragma once

#include <stddef.h>

#include "admin/admin_actions.h"
#include "base/compiler.h"
#include "base/errmsg.h"
#include "config/config.h"

struct relay;

/* Where a configuration comes from; the texts live as long as the process. */
struct config_source {
	const char *path;
	const struct config_override *overrides;
	size_t override_count;
};

/* Loads it; all that is wrong with it goes into *errors, which must be empty and is the caller's to
 * tell and to free.  NULL on failure. */
struct config *reload_load(const struct config_source *source, struct config_errors *errors);

/* Applies the first configuration, which is relay's from here on.  NULL: what is in the file is no
 * good, *err says why.  When it is, or cannot be applied, relay goes on with the configuration of
 * the process before, if that one has left everything to it: no connection is lost for an edit.
 * The log says so, and the status from then on.
 *
 * 0; or -errno with a message, and *where as relay_apply(). */
int reload_start(struct relay *relay, struct config *config, struct errmsg *err,
		 struct errmsg *where) must_check;

/* Loads the configuration again and applies it to relay.  The service manager is told.  The report
 * (NULL for none) and the result are as struct admin_actions says. */
int reload(struct relay *relay, const struct config_source *source, struct reload_report *report);
