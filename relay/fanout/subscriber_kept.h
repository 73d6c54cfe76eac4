// SPDX-License-Identifier: MIT
/*
 * A subscriber in the records of its feed: see feed_kept.h.
 *
 *   join --> LOST --> SETTLED <--> BUSY (while it is served) --> FREE (before its socket is closed)
 *
 * While it gets anything but the bytes of its ring in order (a note, a skip), and while its input
 * takes what it has sent, it is LOST until it is settled again.  All functions do nothing for a
 * subscriber without a record.
 */
#pragma once

#include "feed/feed_kept.h"

struct subscriber;
struct subscriber_quota;

/* The subscriber, whose socket is open and has got nothing yet but what was sent before it joined,
 * has a record from now on, if there is one for its descriptor.  It is LOST, and remains so as long
 * as it has an input that cannot go on. */
void subscriber_record_open(struct subscriber *subscriber);

/* Before its socket is closed. */
void subscriber_record_close(struct subscriber *subscriber);

/* Before and after it is served. */
void subscriber_record_begin(struct subscriber *subscriber);
void subscriber_record_settle(struct subscriber *subscriber);

/* Before it gets something else than the bytes of its ring. */
void subscriber_record_lose(struct subscriber *subscriber);

/* What does not change when it is served has changed; it is LOST until it is settled. */
void subscriber_record_describe(struct subscriber *subscriber);

/* Before its input takes bytes out of the socket, and after it has: settled, too. */
void subscriber_record_begin_input(struct subscriber *subscriber);
void subscriber_record_end_input(struct subscriber *subscriber);

/* What it has sent has been counted; it has sent FIN. */
void subscriber_record_note_input(struct subscriber *subscriber);

/* Where the address of a subscriber is counted, whose descriptor nobody serves yet.  `records` may
 * be NULL. */
void subscriber_record_set_place(const struct feed_records *records, int fd, const char *listener,
				 uint64_t peer_key);
