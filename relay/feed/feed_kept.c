// SPDX-License-Identifier: MIT
/* Feeds and renditions in the records.  Invariant: who is marked as used is described; is_torn
 * is set before, and cleared after, what subscribers could be left in the middle of.  How a part is
 * now lies in two places in turns, of which its version names the valid one. */
#include "feed/feed_kept.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "fanout/fanout.h"
#include "fanout/rendition.h"
#include "net/sockopt.h"
#include "packet/framing.h"
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

/* ---- how a part is now ---- */

static uint32_t version_of(const struct part_record *record)
{
	return kept_stamp_version(atomic_load_explicit(&record->version, memory_order_relaxed));
}

/* As it is, but for the sequence: to be changed, and then to be finished. */
static struct part_now *next_of(struct part_record *record)
{
	return &record->now[(version_of(record) + 1) % 2];
}

/* From now on it holds. */
static void finish(struct part_record *record, struct part_now *next)
{
	uint32_t version = version_of(record) + 1;

	next->sum = part_now_sum(next, version);
	atomic_store_explicit(&record->version, kept_stamp(version), memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

static struct part_now *begin_change(struct part_record *record)
{
	struct part_now *next = next_of(record);

	*next = record->now[version_of(record) % 2];
	return next;
}

static void finish_change(struct part_record *record, const struct part_now *next)
{
	finish(record, next_of(record));
	*next_of(record) = *next;
}

static void set_torn(struct part_record *record, bool is_torn)
{
	struct part_now *next = begin_change(record);

	next->is_torn = is_torn;
	finish_change(record, next);
}

int part_record_read(const struct part_record *record, struct part_now *ret)
{
	uint64_t stamp = atomic_load(&record->version);
	uint32_t version = kept_stamp_version(stamp);

	*ret = record->now[version % 2];
	return kept_stamp_is_whole(stamp) && ret->sum == part_now_sum(ret, version) &&
			       !kept_fault(&part_now_table, ret)
		       ? 0
		       : -EBADMSG;
}

/* ---- the publisher ---- */

static void set_source_sum(struct part_record *record, uint64_t sum)
{
	atomic_store_explicit(&record->source_sum, sum, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

void feed_record_note_source(struct fanout *fanout, int fd, const struct framing_params *framing)
{
	struct part_record *record = fanout->record;

	if (!record)
		return;
	set_source_sum(record, 0);
	record->source_fd = sockopt_cookie(fd, &record->source_cookie) == 0 ? fd : -1;
	record->source_framing = framing->kind;
	record->source_fixed_bytes = framing->fixed_bytes;
}

void feed_record_unsettle_source(struct fanout *fanout)
{
	if (fanout->record)
		set_source_sum(fanout->record, 0);
}

void feed_record_settle_source(struct fanout *fanout)
{
	struct part_record *record = fanout->record;

	if (record && record->source_fd >= 0)
		set_source_sum(record, part_source_sum(record));
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

static void begin_anew(struct part_record *record)
{
	struct part_now *now = begin_change(record);

	*now = (struct part_now){.file_fd = -1};
	finish_change(record, now);
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
	record->own_count = 0;
	memset(record->refused, 0, sizeof(record->refused));
	set_source_sum(record, 0);
	record->source_fd = -1;
	record->sum = part_record_sum(record);
	begin_anew(record);
	fanout->records = records;
	fanout->record = record;
	feed_record_note(fanout, sequence, !is_branch);
	set(&record->state, RECORD_PART_USED);
}

void feed_record_close(struct fanout *fanout)
{
	if (!fanout->record)
		return;
	/* Before others may take it. */
	fanout->record->sum = 0;
	set(&fanout->record->state, RECORD_PART_FREE);
	atomic_fetch_sub(&fanout->records->parts_taken, 1);
	fanout->record = NULL;
	fanout->records = NULL;
}

void feed_record_note(struct fanout *fanout, const struct sequence *sequence, bool is_awake)
{
	struct part_now *next = fanout->record ? begin_change(fanout->record) : NULL;

	if (!next)
		return;
	next->session = sequence->session;
	next->next_seq = sequence->next_seq;
	next->is_source_up = sequence->is_source_up;
	next->is_awake = is_awake;
	finish_change(fanout->record, next);
}

void feed_record_note_file(struct fanout *fanout, int fd, uint64_t offset)
{
	struct part_now *next = fanout->record ? begin_change(fanout->record) : NULL;

	if (!next)
		return;
	next->file_fd = fd;
	next->file_offset = offset;
	finish_change(fanout->record, next);
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
	fanout->record->own_count = fanout->own_count;
}

void feed_record_note_refused(struct fanout *fanout, const uint64_t refused[CLOSE_REASON_COUNT])
{
	if (fanout->record)
		memcpy(fanout->record->refused, refused, sizeof(fanout->record->refused));
}

/* ---- packets ---- */

void feed_record_note_packet(struct fanout *fanout, const struct packet *packet)
{
	struct part_now *next = fanout->record ? next_of(fanout->record) : NULL;

	if (!next)
		return;
	next->next_seq = packet_next_seq(packet);
	finish(fanout->record, next);
}

void feed_record_begin_sequence(struct fanout *fanout)
{
	if (fanout->record)
		set_torn(fanout->record, true);
}

void feed_record_end_sequence(struct fanout *fanout, const struct sequence *sequence, bool is_awake)
{
	if (!fanout->record)
		return;
	feed_record_note(fanout, sequence, is_awake);
	set_torn(fanout->record, false);
}

/* ---- renditions ---- */

/* A packet may be a message of any length, and grow in some formats. */
static size_t max_packet_bytes(const struct fanout *fanout, size_t max_message)
{
	return size_max(max_message, fanout->pipes->params.segment_bytes) + ENCODER_HEADER_MAX +
	       ENCODER_TRAILER_MAX;
}

/* NULL: the feed has no record. */
static struct rendition_record *free_record(const struct fanout *fanout)
{
	for (size_t i = 0; fanout->record && i < RECORD_FORMATS_MAX; i++) {
		if (!get(&fanout->record->renditions[i].is_used))
			return &fanout->record->renditions[i];
	}
	return NULL;
}

void feed_record_open_rendition(struct rendition *rendition, size_t max_message)
{
	const struct fanout *fanout = rendition->fanout;
	struct rendition_record *record = free_record(fanout);
	struct ring_record *ring = NULL;
	int r;

	r = ring_record_new(&rendition->ring.params, max_packet_bytes(fanout, max_message), &ring);
	if (r < 0) {
		log_warn("feed=%s format=%s could not go on in another process: %s", fanout->name,
			 encoder_name(rendition->encoder), strerror(-r));
		return;
	}
	ring_set_record(&rendition->ring, ring);
	rendition->ring_record = ring;
	if (!record)
		return;
	record->ring_fd = ring_record_fd(ring);
	(void)snprintf(record->format, sizeof(record->format), "%s",
		       encoder_name(rendition->encoder));
	record->sum = rendition_record_sum(record);
	rendition->record = record;
	set(&record->is_used, 1);
}

void feed_record_close_rendition(struct rendition *rendition)
{
	if (rendition->record) {
		set(&rendition->record->is_used, 0);
		rendition->record->sum = 0;
	}
	rendition->record = NULL;
	ring_record_free(&rendition->ring_record);
}
