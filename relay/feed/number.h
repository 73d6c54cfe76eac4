// SPDX-License-Identifier: MIT
/*
 * Numbers: each message of a feed has one, and counts on from the message before.
 *
 * A packet has session and number of its first message.  The feed gives them, or another relay has
 * given them (framing = relay), and the feed follows that one.  Then numbers may be missing, which
 * subscribers are told, or come again, which is dropped.
 *
 * Whoever may publish can send any number.  It must not keep the next publisher out: what that one
 * has would then be taken for repeats.  So the sequence begins anew, with a session number of the
 * feed's own, when no loss can explain a jump, and when a new publisher begins where a wide jump
 * has passed over, or further back than a relay can repeat.
 */
#pragma once

#include "feed/publish.h"

/* Numbers a packet that has been cut, or follows its number, and publishes it.  The first argument
 * is a struct publish.  See packet_sink.put_packet. */
bool number_put(void *publish, struct packet *packet, struct payload *payload);

/* The next message is number `next_seq` of `session`.  Branches are told. */
void number_set(struct publish *publish, uint32_t session, uint64_t next_seq);

/* Begins a new session of the feed's own, since nobody can say what is missing before it. */
void number_begin_session(struct publish *publish);

/* So many messages are missing behind the last one: a gap is told, and the next one has its number
 * behind them. */
void number_miss(struct publish *publish, uint64_t count);

/* Publishes news of this type, as of now. */
void number_tell(struct publish *publish, enum packet_type type);

/* A publisher has come, and its first packet is to be compared with what there is. */
void number_begin_source(struct publish *publish);

/* Goes on in the sequence that publish_resume() has set: does the source follow it?  And the answer
 * that the next process needs. */
void number_resume(struct publish *publish, bool is_followed);
bool number_is_followed(const struct publish *publish);

/* 10 times a second: lines of the log that were held back are summed up.  now_ns: monotonic. */
void number_tick(struct publish *publish, uint64_t now_ns);
