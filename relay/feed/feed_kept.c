// SPDX-License-Identifier: MIT
/*
 * Parts and renditions in the records.  Invariant: who is marked as used is described; torn is
 * set before, and cleared after, what subscribers could be left in the middle of.
 */
#include "feed/feed_kept.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "fanout/rendition.h"
#include "feed/feed.h"
#include "ring/ring_kept.h"

/* All stored before is there, too, and nothing stored behind it is there before; for a process that
 * has died the order of the program is enough. */
static void set(_Atomic uint32_t *flag, uint32_t value)
{
	atomic_store_explicit(flag, value, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

static uint32_t get(const _Atomic uint32_t *flag)
{
	return atomic_load_explicit(flag, memory_order_acquire);
}

/* ---- parts ---- */

void feed_set_records(struct feed *feed, const struct feed_records *records, unsigned worker)
{
	struct part_record *part = NULL;

	for (size_t i = 0; records && i < records->part_count && !part; i++) {
		if (!get(&records->parts[i].is_used))
			part = &records->parts[i];
	}
	if (records && !part)
		log_warn("feed=%s would not survive a crash: there are more than %zu feeds, in all "
			 "workers",
			 feed->params.name, records->part_count);
	if (!part)
		return;
	part->worker = worker;
	part->is_home = !feed->params.is_branch;
	(void)snprintf(part->feed, sizeof(part->feed), "%s", feed->params.name);
	for (size_t i = 0; i < RECORD_FORMATS_MAX; i++)
		set(&part->renditions[i].is_used, 0);
	feed->fanout.records = records;
	feed->fanout.record = part;
	set(&part->torn, 0);
	feed_record_note_state(feed);
	set(&part->is_used, 1);
}

void feed_record_close(struct feed *feed)
{
	if (feed->fanout.record)
		set(&feed->fanout.record->is_used, 0);
	feed->fanout.record = NULL;
	feed->fanout.records = NULL;
}

void feed_record_note_state(struct feed *feed)
{
	struct part_record *part = feed->fanout.record;

	if (!part)
		return;
	atomic_store(&part->session, feed->session);
	atomic_store(&part->next_seq, feed->next_seq);
	set(&part->is_source_up, feed->is_source_up);
	set(&part->is_awake, crossing_is_awake(feed) && (part->is_home || feed->from));
}

/* ---- packets ---- */

void feed_record_begin_packet(struct feed *feed, const struct packet *packet)
{
	struct part_record *part = feed->fanout.record;

	if (!part)
		return;
	if (packet->flags & PACKET_FLAG_CONTINUED)
		set(&part->torn, RECORD_TORN_MESSAGE);
	atomic_store_explicit(&part->next_seq, packet_next_seq(packet), memory_order_relaxed);
}

void feed_record_end_packet(struct feed *feed, const struct packet *packet)
{
	struct part_record *part = feed->fanout.record;

	if (part && packet->type == PACKET_DATA && !(packet->flags & PACKET_FLAG_CONTINUED))
		set(&part->torn, 0);
}

void feed_record_begin_sequence(struct feed *feed)
{
	if (feed->fanout.record)
		set(&feed->fanout.record->torn,
		    get(&feed->fanout.record->torn) | RECORD_TORN_SEQUENCE);
}

void feed_record_end_sequence(struct feed *feed)
{
	if (!feed->fanout.record)
		return;
	feed_record_note_state(feed);
	set(&feed->fanout.record->torn,
	    get(&feed->fanout.record->torn) & ~(uint32_t)RECORD_TORN_SEQUENCE);
}

/* ---- renditions ---- */

/* A packet may be a message of any length, and grow in some formats. */
static size_t max_packet_bytes(const struct feed *feed)
{
	return size_max(feed->params.framing.max_message, feed->params.segment_bytes) +
	       ENCODER_HEADER_MAX + ENCODER_TRAILER_MAX;
}

void feed_record_open_rendition(struct feed *feed, struct rendition *rendition)
{
	struct rendition_record *record = NULL;
	struct ring_record *ring = NULL;
	int r;

	for (size_t i = 0; feed->fanout.record && i < RECORD_FORMATS_MAX && !record; i++) {
		if (!get(&feed->fanout.record->renditions[i].is_used))
			record = &feed->fanout.record->renditions[i];
	}
	if (!record)
		return;
	r = ring_record_new(&rendition->ring.params, max_packet_bytes(feed), &ring);
	if (r < 0) {
		log_warn("feed=%s format=%s would not survive a crash: %s", feed->params.name,
			 rendition->encoder->name, strerror(-r));
		return;
	}
	ring_set_record(&rendition->ring, ring);
	record->ring_fd = ring_record_fd(ring);
	(void)snprintf(record->format, sizeof(record->format), "%s", rendition->encoder->name);
	rendition->record = record;
	rendition->ring_record = ring;
	set(&record->is_used, 1);
}

void feed_record_close_rendition(struct rendition *rendition)
{
	if (rendition->record)
		set(&rendition->record->is_used, 0);
	rendition->record = NULL;
	ring_record_free(&rendition->ring_record);
}
