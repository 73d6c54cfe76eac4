// SPDX-License-Identifier: MIT
/*
 * Who may connect, by address: two lists of networks.
 *
 * Who is on the deny list may not; of the others, everybody may when there is no allow list, else
 * only who is on it.  Peers without an IP address (unix sockets) are not asked here: for them there
 * are file permissions.
 */
#pragma once

#include <stddef.h>

#include "base/cidr.h"

struct access_list {
	struct cidr *networks; /* owned */
	size_t count;
};

/* All zero lets everybody in. */
struct access {
	struct access_list allow, deny;
};

/* Reads both lists as they stand in the configuration; "" is none.  0; -EINVAL or -ENOMEM
 * with the reason.  After a failure *ret is all zero. */
int access_init(struct access *ret, const char *allow, const char *deny,
		struct errmsg *err) must_check;

/* Idempotent; leaves it all zero. */
void access_fini(struct access *access);

/* Is there nothing to ask? */
bool access_is_open(const struct access *access);

/* `address`: IPv4 as in cidr.h. */
bool access_is_allowed(const struct access *access, const struct in6_addr *address);
