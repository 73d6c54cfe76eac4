// SPDX-License-Identifier: MIT
/* Feeds and renditions in the records.  Invariant: who is marked as used is described; is_torn
 * is set before, and cleared after, what subscribers could be left in the middle of. */
#include "feed/feed_kept.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "fanout/fanout.h"
#include "fanout/rendition.h"
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

/* ---- feeds ---- */

/* Without looking at those that were taken before, since there may be thousands. */
static struct part_record *take_free(struct feed_records *records)
{
	size_t count = records->part_count;

	if (atomic_fetch_add(&records->parts_taken, 1) >= count) {
		atomic_fetch_sub(&records->parts_taken, 1);
		return NULL;
	}
	for (;;) {
		size_t at = atomic_fetch_add(&records->next_part, 1) % count;
		uint32_t is_free = RECORD_PART_FREE;

		if (atomic_compare_exchange_strong(&records->parts[at].state, &is_free,
						   RECORD_PART_TAKEN))
			return &records->parts[at];
	}
}

void feed_record_open(struct fanout *fanout, const struct sequence *sequence, bool is_branch,
		      struct feed_records *records, unsigned worker)
{
	struct part_record *record = records ? take_free(records) : NULL;

	if (records && !record)
		log_warn("feed=%s would not survive a crash: there are more than %zu feeds, in all "
			 "workers",
			 fanout->name, records->part_count);
	if (!record)
		return;
	record->worker = worker;
	record->is_home = !is_branch;
	(void)snprintf(record->feed, sizeof(record->feed), "%s", fanout->name);
	for (size_t i = 0; i < RECORD_FORMATS_MAX; i++)
		set(&record->renditions[i].is_used, 0);
	record->counts = (struct part_counts){0};
	fanout->records = records;
	fanout->record = record;
	atomic_store(&record->file_fd, -1);
	set(&record->is_torn, 0);
	feed_record_note(fanout, sequence, !is_branch);
	set(&record->state, RECORD_PART_USED);
}

void feed_record_close(struct fanout *fanout)
{
	if (!fanout->record)
		return;
	set(&fanout->record->state, RECORD_PART_FREE);
	atomic_fetch_sub(&fanout->records->parts_taken, 1);
	fanout->record = NULL;
	fanout->records = NULL;
}

void feed_record_note(struct fanout *fanout, const struct sequence *sequence, bool is_awake)
{
	struct part_record *record = fanout->record;

	if (!record)
		return;
	atomic_store(&record->session, sequence->session);
	atomic_store(&record->next_seq, sequence->next_seq);
	set(&record->is_source_up, sequence->is_source_up);
	set(&record->is_awake, is_awake);
}

void feed_record_note_file(struct fanout *fanout, int fd, uint64_t offset)
{
	struct part_record *record = fanout->record;

	if (!record)
		return;
	/* An offset of one file must not be taken for that of another one. */
	if (atomic_load(&record->file_fd) != fd)
		atomic_store(&record->file_fd, -1);
	atomic_store(&record->file_offset, offset);
	atomic_store(&record->file_fd, fd);
}

/* ---- counters ---- */

void feed_capture_counts(const struct fanout *fanout,
			 const uint64_t source_ends[CLOSE_REASON_COUNT], struct part_counts *ret)
{
	ret->metrics = *fanout->metrics;
	memcpy(ret->closed, fanout->closed, sizeof(ret->closed));
	memcpy(ret->source_ends, source_ends, sizeof(ret->source_ends));
	memcpy(ret->skipped_by, fanout->skipped_by, sizeof(ret->skipped_by));
	memcpy(ret->closed_slow_by, fanout->closed_slow_by, sizeof(ret->closed_slow_by));
}

void feed_record_note_counts(const struct fanout *fanout,
			     const uint64_t source_ends[CLOSE_REASON_COUNT], uint64_t delivered)
{
	struct part_counts *noted = fanout->record ? &fanout->record->counts : NULL;
	struct part_counts now;

	if (!noted)
		return;
	feed_capture_counts(fanout, source_ends, &now);
	/* What has been told must not go back. */
	now.metrics.delivered_messages = u64_max(u64_max(delivered, now.metrics.delivered_messages),
						 noted->metrics.delivered_messages);
	*noted = now;
}

/* ---- packets ---- */

void feed_record_note_packet(struct fanout *fanout, const struct packet *packet)
{
	if (fanout->record)
		atomic_store_explicit(&fanout->record->next_seq, packet_next_seq(packet),
				      memory_order_relaxed);
}

void feed_record_begin_sequence(struct fanout *fanout)
{
	if (fanout->record)
		set(&fanout->record->is_torn, 1);
}

void feed_record_end_sequence(struct fanout *fanout, const struct sequence *sequence, bool is_awake)
{
	if (!fanout->record)
		return;
	feed_record_note(fanout, sequence, is_awake);
	set(&fanout->record->is_torn, 0);
}

/* ---- renditions ---- */

/* A packet may be a message of any length, and grow in some formats. */
static size_t max_packet_bytes(const struct fanout *fanout, size_t max_message)
{
	return size_max(max_message, fanout->pipes->params.segment_bytes) + ENCODER_HEADER_MAX +
	       ENCODER_TRAILER_MAX;
}

void feed_record_open_rendition(struct rendition *rendition, size_t max_message)
{
	const struct fanout *fanout = rendition->fanout;
	struct rendition_record *record = NULL;
	struct ring_record *ring = NULL;
	int r;

	for (size_t i = 0; fanout->record && i < RECORD_FORMATS_MAX && !record; i++) {
		if (!get(&fanout->record->renditions[i].is_used))
			record = &fanout->record->renditions[i];
	}
	if (!record)
		return;
	r = ring_record_new(&rendition->ring.params, max_packet_bytes(fanout, max_message), &ring);
	if (r < 0) {
		log_warn("feed=%s format=%s would not survive a crash: %s", fanout->name,
			 encoder_name(rendition->encoder), strerror(-r));
		return;
	}
	ring_set_record(&rendition->ring, ring);
	record->ring_fd = ring_record_fd(ring);
	(void)snprintf(record->format, sizeof(record->format), "%s",
		       encoder_name(rendition->encoder));
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
