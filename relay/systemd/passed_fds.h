// SPDX-License-Identifier: MIT
/* The descriptors that the service manager passes at the start, by name (sd_listen_fds(3)): the
 * sockets of socket units, for `systemd:NAME` in the configuration.
 *
 * They stay open until the end; listeners listen on duplicates of them.  So a listener may go and
 * come back over reloads, and the service manager's socket is never unlinked or shut down.
 * What is in a descriptor is for the user to check. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "config/config.h"
#include "net/endpoint.h"

struct passed_fd {
	char *name; /* FileDescriptorName= of its unit */
	int fd;
};

/* The name of the one that [admin] socket = auto takes when it was passed. */
#define PASSED_FDS_ADMIN "admin"

/* All zero: nothing was passed. */
struct passed_fds {
	struct passed_fd *list;
	size_t count;
};

/* Takes over what was passed to this process, and makes it close-on-exec; clears the environment
 * of it, so that a second call finds nothing.  A failure is logged and leaves *passed empty.
 * Before there is a second thread. */
void passed_fds_collect(struct passed_fds *passed);

/* Takes the one of this name out, to be the caller's; -1: there is none. */
int passed_fds_take(struct passed_fds *passed, const char *name);

/* Adds one from a hand-over, unless one of this name is there; `fd` is taken over.  0 or -ENOMEM.
 */
int passed_fds_add(struct passed_fds *passed, const char *name, int fd) must_check;

/* Gives an endpoint of kind ENDPOINT_PASSED its descriptor, which stays owned by *passed; any other
 * endpoint is left alone.  0; -ENOENT when no socket of this name was passed, and -ENOTUNIQ when
 * several were, with all that was passed in *err. */
int passed_fds_resolve(const struct passed_fds *passed, struct endpoint *endpoint,
		       struct errmsg *err) must_check;

/* Is there one for [admin] socket = auto: of the name PASSED_FDS_ADMIN, which no address of
 * `config` names? */
bool passed_fds_is_for_auto(const struct passed_fds *passed, const struct config *config);

/* Logs the names that neither a feed nor a listener of `config` listens on. */
void passed_fds_warn_unused(const struct passed_fds *passed, const struct config *config);

/* Closes and forgets all.  Idempotent. */
void passed_fds_close(struct passed_fds *passed);
