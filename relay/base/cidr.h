// SPDX-License-Identifier: MIT
/*
 * Networks as people write them: 10.0.0.0/8, 2001:db8::/32, or one address without a length.
 *
 * All are kept as IPv6, with IPv4 at ::ffff:0:0/96 (RFC 4291, 2.5.5.2), so an IPv4 peer of a
 * dual-stack socket is the same as one of an IPv4 socket.  A network is of one family: ::/0 has no
 * IPv4 address in it.  What a list of them permits is left to others.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "base/errmsg.h"

#define CIDR_LIST_EXPECTED                                                                         \
	"networks such as 10.0.0.0/8 or 2001:db8::/32, or addresses, separated by commas"

struct cidr {
	struct in6_addr network;
	unsigned bits; /* 0 to 128, IPv4 from 96 */
};

/* Reads the network at the start of *rest, a list with commas, and moves *rest behind it.  Returns
 * 1; 0 at the end of the list; -EINVAL with what is wrong in *err (*rest and *ret have not
 * changed). Bits behind the length must be zero: 10.0.0.1/8 is more likely a mistake than
 * 10.0.0.0/8. */
int cidr_parse_next(const char **rest, struct cidr *ret, struct errmsg *err) must_check;

/* `address`: IPv4 as above. */
bool cidr_contains(const struct cidr *cidr, const struct in6_addr *address);
