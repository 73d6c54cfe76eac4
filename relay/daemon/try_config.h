// SPDX-License-Identifier: MIT
/*
 * What a configuration needs of the machine, tried beforehand: addresses, names, files, groups and
 * directories.  Nothing is kept, nobody is connected to, and nothing is listened on.
 */
#pragma once

#include "config/config.h"

enum try_for {
	TRY_START,    /* relay -t: a relay that serves the same file may be running */
	TRY_HANDOVER, /* for the process that started this one, which hands its sockets over */
};

/* Adds all that cannot be had to *errors, each with its line and the way out.  What may be had
 * later is written to standard error as a warning.  With TRY_HANDOVER, no name server is asked for
 * where to connect: relay tries that again and again. */
void try_config(const struct config *config, enum try_for purpose, struct config_errors *errors);
