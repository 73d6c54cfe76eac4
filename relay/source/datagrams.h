// SPDX-License-Identifier: MIT
/*
 * A UDP socket of this machine or of a multicast group, and the datagrams that come to it: received
 * many at a time, and taken one by one.
 */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "intake/intake.h"
#include "net/access.h"
#include "net/endpoint.h"

struct udp_params {
	/* in numbers: an address of this machine, or a group; "": any */
	char host[INET6_ADDRSTRLEN];
	uint16_t port;
	char interface[IF_NAMESIZE];   /* where the group is joined; "": as routes say */
	char sender[INET6_ADDRSTRLEN]; /* of a group: datagrams of this one alone; "": of all */
};

/* Where it is bound.  0; -ENODEV: there is no such interface; -EINVAL. */
int udp_socket_address(const struct udp_params *params, struct endpoint_address *ret) must_check;

/* Opens it; it does not block.  The kernel counts what it drops for want of room, and tells it with
 * the next datagram (SO_RXQ_OVFL, socket(7)).  A group can be joined by several sockets of one
 * port.  An address that is not a group has one socket only.  0 and *ret_fd, which is the caller's;
 * or -errno with a message that names the address. */
int udp_socket_open(const struct udp_params *params, int *ret_fd, struct errmsg *err) must_check;

/* Datagrams that the kernel has dropped since the socket was made (SO_MEMINFO, Linux 4.12). */
uint32_t udp_socket_dropped(int fd);

struct datagrams;

enum {
	DATAGRAMS_PACKED_MAX = 17 * 66 * 1024,
};

/* What happened before the datagram that datagrams_next() gives, or since the last one. */
struct datagrams_news {
	uint32_t lost;     /* the kernel dropped them: its buffer was full */
	uint32_t too_long; /* longer than max_bytes: passed over          */
	uint32_t denied;   /* not from who may publish: passed over        */
};

/* `dropped`: what udp_socket_dropped() says where counting begins.  0 or -ENOMEM. */
int datagrams_new(uint32_t dropped, struct datagrams **ret) must_check;

/* NULL inside is fine.  What was received and not taken is lost. */
void datagrams_free(struct datagrams **datagrams);

/* True when some are received and not taken yet. */
bool datagrams_wait(const struct datagrams *datagrams);

/* The next one, of 1 to max_bytes bytes, in *ret until the next call.  It is received if none
 * waits.  Returns 1; 0: none is there, or all that were received are passed over; -errno.
 * *ret_news is always set. */
int datagrams_next(struct datagrams *datagrams, int fd, const struct access *access,
		   uint64_t max_bytes, struct given_bytes *ret, struct datagrams_news *ret_news);

/* Packs what was received and not taken, `rest` of one first, for datagrams_unpack() of the next
 * process.  Returns the bytes; *ret is theirs until datagrams_free().  Without memory: 0. */
size_t datagrams_pack(struct datagrams *datagrams, const struct access *access,
		      const struct given_bytes *rest, uint8_t **ret);
void datagrams_unpack(struct datagrams *datagrams, const uint8_t *bytes, size_t count);

/* Who sent that one.  Not known of one that was unpacked. */
const struct endpoint_address *datagrams_sender(const struct datagrams *datagrams);

/* What the kernel had dropped before that one, for datagrams_new() of the next process. */
uint32_t datagrams_dropped(const struct datagrams *datagrams);
