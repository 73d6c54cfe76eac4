// SPDX-License-Identifier: MIT
/*
 * What tests of net/ with a real loop share: that loop, a listener on it and what it has accepted,
 * and connections over loopback.
 *
 * Nothing sleeps: a test runs the loop until what it waits for is there, and fails after a ceiling.
 * Every test must give back every descriptor.  Every function fails the running test when something
 * is not as it should be.
 */
#pragma once

#include <stdbool.h>

#include "net/listener.h"
#include "tests/unit/loop_ceiling.h"
#include "tests/unit/parsed_endpoint.h"

enum {
	NET_RIG_PEERS = 128
};

struct net_rig {
	struct ev_loop *loop;
	struct ev_timer ceiling;
	int fds_at_start;
	int threads_at_start;

	struct listener *listener; /* what on_accept may touch */
	struct endpoint_address last_peer;
	bool close_on_accept;
	int peers[NET_RIG_PEERS];
	int peer_count;
};

void net_rig_open(struct net_rig *rig);
void net_rig_close(struct net_rig *rig);

/* Opens a listener that hands over to the rig.  It is the test's, which closes it. */
void net_rig_listen(struct net_rig *rig, struct listener *listener, const char *text);

/* A TCP connection to this address.  It is the test's, too. */
int net_rig_connect(const char *text);

/* Until so many connections wait at the listening socket: connect() returns when the peer's side
 * has still to take the last step. */
void net_rig_wait_for_backlog(int listening_fd, unsigned count);
