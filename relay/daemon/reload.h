// SPDX-License-Identifier: MIT
/*
 * Loading the configuration, at the start and again: what SIGHUP and relayctl do.
 * What is wrong goes to the log and to who asked.
 */
#pragma once

#include <stdbool.h>

#include "config/config.h"

struct relay;

/* Where a configuration comes from; the texts live as long as the process. */
struct config_source {
	const char *path;
	const struct config_override *overrides;
	size_t override_count;
};

/* What a reload did, or why it did nothing: one text for each change, or each error. */
struct reload_report {
	char **lines; /* owned */
	size_t count;
};

/* Loads it; writes all that is wrong with it to standard error and into *errors, which must be
 * empty and is the caller's to free.  NULL on failure. */
struct config *reload_load(const struct config_source *source, struct config_errors *errors);

/* Loads relay's configuration again and applies it; the service manager is told.  `report`, when
 * not NULL, gets the lines, as far as there is memory for them.  Returns 0; -EBUSY while draining;
 * -EIO when a feed could not be made anew, all else has changed then; or another -errno, nothing
 * has. */
int reload(struct relay *relay, struct reload_report *report);

/* Leaves it empty. */
void reload_report_free(struct reload_report *report);
