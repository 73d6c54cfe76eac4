// SPDX-License-Identifier: MIT
/* Which relay is meant, and where its admin socket is: `[admin] socket = auto` puts it into the
 * runtime directory of the unit, /run/relay for relay.service and /run/relay/NAME for
 * relay@NAME.service. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"

#include <stdbool.h>
#include <sys/un.h>

#define RELAYCTL_RUN_DIRECTORY "/run/relay"

/* Where relay.ini has the admin page by default.  One can only look there. */
#define RELAYCTL_PAGE "http://127.0.0.1:7090"

struct relayctl_socket {
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
	bool is_missing; // it was looked for under the run directory, and nobody listens
};

/* The socket of `unit`: relay, relay@NAME or NAME, each with .service or without.  When that is
 * NULL: of the service that we are called in ($RUNTIME_DIRECTORY); else of the one relay that runs
 * with a socket under `run_directory`; when none does, where that of relay.service would be.
 * 0, or the reason and -EINVAL (no name of a unit), -ENOTUNIQ (several run; `error` names them),
 * or -ENAMETOOLONG. */
must_check int relayctl_socket_find(const char *run_directory, const char *unit,
				    struct relayctl_socket *ret_socket, struct errmsg *error);
