// SPDX-License-Identifier: MIT
/*
 * File descriptors: closing them once, making them non-blocking, and how many there may be.
 *
 * A descriptor variable is -1 when it holds none; fd_close leaves it so. Creating descriptors is
 * left to the modules that know what they are (with O_CLOEXEC, always).
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

/* Close *fd and set it to -1. NULL and -1 are fine; errno is kept, so this can stand on an error
 * path. */
void fd_close(int *fd);

/* Set O_NONBLOCK. Returns 0 or -errno (fcntl(2)). */
int fd_set_nonblock(int fd) must_check;

/* Opens what is not open of the descriptors 0 to 2, so that no other descriptor gets such a number
 * and takes what is meant for standard error. To be called first of all in main(). They stay open
 * over an exec. Reading 0 finds the end; writing to 1 or 2 is an error, as it was before. */
void fd_hold_standard(void);

/* The limit of a process for which nobody has set one. */
#define FD_LIMIT_UNKNOWN 1024

/* Raise the soft limit of open descriptors to the hard one (RLIMIT_NOFILE, getrlimit(2)) and return
 * the result in *ret_soft_raised. Returns 0 or -errno. On an error it has not changed, and
 * *ret_soft_raised is the limit there is; or FD_LIMIT_UNKNOWN where a sandbox does not tell it. */
int fd_limit(uint64_t *ret_soft_raised) must_check;
