// SPDX-License-Identifier: MIT
/* A file that only relay should read: tokens, logins. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/compiler.h"
#include "base/errmsg.h"

struct secret_file {
	FILE *file;      /* the caller's to close */
	char path[4096]; /* for messages */
	bool is_for_all; /* everybody on this machine can read it */
};

/* Opens it.  `name` is a path, or "credential:NAME" for a file in $CREDENTIALS_DIRECTORY (systemd.exec(5),
 * LoadCredential=).  0, or -errno with a message that names the file; *ret has not changed then. */
int secret_file_open(const char *name, struct secret_file *ret, struct errmsg *err) must_check;
