// SPDX-License-Identifier: MIT
/*
 * Networks as people write them: 10.0.0.0/8, 2001:db8::/32, fe80::1%eth0, or one address without a
 * length.
 *
 * All are kept as IPv6, with IPv4 at ::ffff:0:0/96 (RFC 4291, 2.5.5.2), so an IPv4 peer of a
 * dual-stack socket is the same as one of an IPv4 socket.  A network is of one family: ::/0 has no
 * IPv4 address in it.  Two kinds of addresses say more than they show:
 *
 * - An IPv4 client that comes through a translator, from 64:ff9b::/96 (RFC 6052, 2.1), is in the
 *   networks of its IPv6 address and in those of its IPv4 address.
 * - A link-local address, of fe80::/10, means something in its zone only, that is at one interface.
 *   Its number is kept in bytes 4 to 7, which are zero in the address itself (RFC 4291, 2.5.6).
 *
 * What a list of networks permits is left to others.
 */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"

#define CIDR_LIST_EXPECTED                                                                         \
	"networks such as 10.0.0.0/8 or 2001:db8::/32, or addresses, separated by commas"

struct cidr {
	struct in6_addr network;
	unsigned bits;          /* 0 to 128, IPv4 from 96 */
	char zone[IF_NAMESIZE]; /* of a link-local one: the interface; "": any */
};

/* Reads the network at the start of *rest, a list with commas, and moves *rest behind it.  Returns
 * 1; 0 at the end of the list; -EINVAL with what is wrong in *err (*rest and *ret have not
 * changed). Bits behind the length must be zero: 10.0.0.1/8 is more likely a mistake than
 * 10.0.0.0/8. */
int cidr_parse_next(const char **rest, struct cidr *ret, struct errmsg *err) must_check;

/* `address`: IPv4 and zones as above.  An interface that a network names need not be there. */
bool cidr_contains(const struct cidr *cidr, const struct in6_addr *address);

/* Puts the number of its interface into a link-local address; others stay as they are. */
void cidr_set_zone(struct in6_addr *address, uint32_t interface);

/* Takes it out again, and returns it; 0: there is none. */
uint32_t cidr_take_zone(struct in6_addr *address);

/* True when `address` is that of an IPv4 client behind a translator: *ret is its IPv4 address, as
 * above.  Private addresses, and others that nobody may send from elsewhere, are never meant by
 * 64:ff9b::/96 (RFC 6052, 3.1): they could be made up to get into somebody's network. */
bool cidr_is_translated(const struct in6_addr *address, struct in6_addr *ret);
