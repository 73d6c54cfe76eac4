// SPDX-License-Identifier: MIT
/*
 * A feed in one worker in the records that outlive the process: see fanout/subscriber_kept.h.
 *
 * A feed without records (NULL) spends nothing on them but a branch.
 */
#pragma once

#include "base/compiler.h"
#include "fanout/subscriber_kept.h"
#include "packet/packet.h"

struct fanout;
struct framing_params;
struct rendition;

/* What the feed has counted in this worker; source_ends: the feed's. */
void feed_capture_counts(const struct fanout *fanout,
			 const uint64_t source_ends[CLOSE_REASON_COUNT], struct part_counts *ret);

/* How a part is, in a process that died.  0; -EBADMSG: that is not known. */
int part_record_read(const struct part_record *record, struct part_now *ret) must_check;

/* All of these do nothing without a record. */

/* Counters survive as far as they have been noted: so before anybody is told of them, and every
 * tick.  delivered: messages, also of subscribers that are there yet; 0: as noted before. */
void feed_record_note_counts(const struct fanout *fanout,
			     const uint64_t source_ends[CLOSE_REASON_COUNT], uint64_t delivered);

/* Of a home, from the control thread: peers that did not become subscribers, by reason. */
void feed_record_note_refused(struct fanout *fanout, const uint64_t refused[CLOSE_REASON_COUNT]);

/* From now on a feed is recorded, as its home or a branch in this worker.  Without a format yet.
 * Without room it is not recorded. */
void feed_record_open(struct fanout *fanout, const struct sequence *sequence, bool is_branch,
		      struct feed_records *records, unsigned worker);
void feed_record_close(struct fanout *fanout);

/* The rendition and its ring, which is empty, are recorded from now on. */
void feed_record_open_rendition(struct rendition *rendition, size_t max_message);
void feed_record_close_rendition(struct rendition *rendition);

/* Before a packet is put into the rings. */
void feed_record_note_packet(struct fanout *fanout, const struct packet *packet);

/* Around a change of the sequence. */
void feed_record_begin_sequence(struct fanout *fanout);
void feed_record_end_sequence(struct fanout *fanout, const struct sequence *sequence,
			      bool is_awake);

/* A file that grows is read through `fd`, and all before `offset` has been published.  -1: none
 * is. */
void feed_record_note_file(struct fanout *fanout, int fd, uint64_t offset);

/* Of a home: its publisher is the socket `fd`, and goes on after a crash where it is settled; -1:
 * there is none that could.  It is not settled yet. */
void feed_record_note_source(struct fanout *fanout, int fd, const struct framing_params *framing);

/* Before bytes are taken of it; and when all that has been taken is in the rings. */
void feed_record_unsettle_source(struct fanout *fanout);
void feed_record_settle_source(struct fanout *fanout);

/* The source has come or gone, the branch has woken or fallen asleep. */
void feed_record_note(struct fanout *fanout, const struct sequence *sequence, bool is_awake);
