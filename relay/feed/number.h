// SPDX-License-Identifier: MIT
/*
 * Numbers: each message of a feed has one, and counts on from the message before.
 *
 * A packet has session and number of its first message.  The feed gives them, or another relay has
 * given them (framing = relay), and the feed follows that one.  Then numbers may be missing, which
 * subscribers are told, or come again, which is dropped.
 */
#pragma once

#include "feed/publish.h"

/* Numbers a packet that has been cut, or follows its number, and publishes it.  The first argument
 * is a struct publish.  See packet_sink.put_packet. */
bool number_put(void *publish, struct packet *packet, struct payload *payload);

/* The next message is number `next_seq` of `session`.  Branches are told. */
void number_set(struct publish *publish, uint32_t session, uint64_t next_seq);

/* Publishes news of this type, as of now. */
void number_tell(struct publish *publish, enum packet_type type);
