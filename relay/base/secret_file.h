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
	unsigned line;   /* the number of the one that was read last; 0: none */
};

/* Opens it.  `name` is a path, or "credential:NAME" for a file in $CREDENTIALS_DIRECTORY
 * (systemd.exec(5), LoadCredential=).  0, or -errno with a message that names the file; *ret has
 * not changed then. */
int secret_file_open(const char *name, struct secret_file *ret, struct errmsg *err) must_check;

/* The next line that is neither empty nor a comment (#), without its LF or CR LF.  1; 0: there is
 * none; -EINVAL: it does not fit, or has a zero byte in it; another -errno: it cannot be read.  But
 * for 1, `line` is empty. */
int secret_file_next_line(struct secret_file *file, char *line, size_t size) must_check;

/* What a file with one secret has to hold, for who reads its errors. */
struct secret_kind {
	const char *what, *expected;        /* "token", "up to 80 letters" */
	bool (*is_right)(const char *line); /* never "" */
};

/* Reads a file with one secret, which is its first line as above.  0; or -errno with a message that
 * names the file and has no byte of the secret, and `line` is empty then. */
int secret_file_read(const char *name, const struct secret_kind *kind, char *line, size_t size,
		     struct errmsg *err) must_check;
