// SPDX-License-Identifier: MIT
/*
 * A feed in one worker in the records that outlive the process: see fanout/subscriber_kept.h.
 *
 * A feed without records (NULL) spends nothing on them but a branch.
 */
#pragma once

#include "fanout/subscriber_kept.h"
#include "packet/packet.h"

struct feed;
struct rendition;

/* From now on the feed is recorded, as its part in this worker.  Without a format yet; one feed at
 * a time in the whole process, since parts are looked for.  Without room it is not recorded. */
void feed_set_records(struct feed *feed, const struct feed_records *records, unsigned worker);

/* ---- for the feed's own files; all of them do nothing without a record ---- */

void feed_record_close(struct feed *feed);

/* The rendition and its ring, which is empty, are recorded from now on.  Likewise one at a time. */
void feed_record_open_rendition(struct feed *feed, struct rendition *rendition);
void feed_record_close_rendition(struct rendition *rendition);

/* Around each packet that is put into the rings. */
void feed_record_begin_packet(struct feed *feed, const struct packet *packet);
void feed_record_end_packet(struct feed *feed, const struct packet *packet);

/* Around a change of the sequence. */
void feed_record_begin_sequence(struct feed *feed);
void feed_record_end_sequence(struct feed *feed);

/* The source has come or gone, the branch has woken or fallen asleep. */
void feed_record_note_state(struct feed *feed);
