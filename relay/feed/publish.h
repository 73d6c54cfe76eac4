// SPDX-License-Identifier: MIT
/*
 * Publishing: putting a packet into the ring of every rendition of the feed, by the engine that
 * took it in. Each ring gets the packet whole or, when memory runs out, not at all.
 */
#pragma once

#include "feed/chain.h"
#include "packet/packet.h"

struct feed;
struct rendition;

/* From pipes, by tee (splice engine).  The payload is taken out of the pipes; a pipe that was given
 * away whole is PIPE_NONE afterwards. */
void publish_pipes(struct feed *feed, const struct packet *packet, struct pipe_payload *payload);

/* From pages of a gift arena, by vmsplice (compact engine).  The bytes must never change again. */
void publish_gift(struct feed *feed, const struct packet *packet, const uint8_t *bytes);

/* From memory that the caller keeps (copy engine). */
void publish_copy(struct feed *feed, const struct packet *packet, const uint8_t *bytes);

/* News without payload (heartbeat, gap, ...), for the formats that can say it. */
void publish_news(struct feed *feed, const struct packet *packet);

/* To one rendition only, which lacks what others have: its sequence goes on at `next_seq`. */
void publish_missing(struct rendition *rendition, uint32_t session, uint64_t next_seq);
