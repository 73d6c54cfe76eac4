// SPDX-License-Identifier: MIT
/*
 * Publishing: a packet goes into the ring of each format, and to the branches in other workers.
 *
 * It lies in the rings as it came: in pipes, or copied.  Where pipes run short, or the kernel
 * refuses a call, it is copied.  Each ring gets a packet whole.  When there is no memory for it, a
 * ring does not get it at all, and its subscribers are closed.
 */
#pragma once

#include "intake/sink.h"
#include "packet/packet.h"

struct feed;
struct rendition;

/* Publishes a packet that has its number; the sequence goes on behind it.  `payload` is NULL for
 * news (heartbeat, gap, ...): formats that cannot say it leave it out.  Afterwards pipes of the
 * payload are empty but for what lies behind last_bytes, or given away: then PIPE_NONE stands in
 * their place. */
void publish(struct feed *feed, const struct packet *packet, struct payload *payload);

/* Publishes a gap in one rendition, which lacks what others have.  It goes on at `next_seq`. */
void publish_missing(struct rendition *rendition, uint32_t session, uint64_t next_seq);
