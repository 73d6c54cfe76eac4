// SPDX-License-Identifier: MIT
/* The sums, one kept struct after the other. */
#include "tests/unit/put_right.h"

#include "base/num.h"
#include "daemon/crash_record.h"
#include "ring/ring_kept_layout.h"
#include "serve/served_listener.h"

enum {
	SLOTS = 4096, /* of a small ring; their number in the head may be wrong */
};

static uint64_t marks_sum(const uint8_t *map, size_t bytes, const struct ring_record_slot *slot,
			  uint64_t count)
{
	uint64_t offset = slot->marks_offset, sum = 0;
	const struct packet_mark *marks = offset ? (const void *)(map + offset) : &slot->begin;

	if (offset > bytes || offset % 8 ||
	    count > (offset ? (bytes - offset) / sizeof(*marks) : 1))
		return 0;
	for (uint64_t i = 0; i < count; i++)
		sum = segment_sum_mark(sum, &marks[i]);
	return sum;
}

void put_right_ring(uint8_t *map, size_t bytes)
{
	struct ring_record_head *head = (struct ring_record_head *)(void *)map;
	uint32_t version = kept_stamp_version(head->version);
	struct ring_record_commit *commit = &head->commits[version % 2];
	size_t offset = ring_record_layout(0, 0).slots_offset;
	struct ring_record_slot *slots = (struct ring_record_slot *)(void *)(map + offset);

	for (size_t i = 0; i < head->slots_used && i < SLOTS; i++) {
		if (slots[i].kind == RING_RECORD_FREE)
			continue;
		if (slots[i].index == commit->newest_index)
			commit->newest_marks_sum =
				marks_sum(map, bytes, &slots[i], commit->newest_mark_count);
		slots[i].marks_sum = marks_sum(map, bytes, &slots[i], slots[i].mark_count);
		slots[i].sum = ring_record_slot_sum(&slots[i], slots[i].kind);
		slots[i].growth_sum = ring_record_growth_sum(&slots[i]);
	}
	head->version = kept_stamp(version);
	commit->sum = ring_record_commit_sum(commit, version);
}

/* NULL: it is not in the region. */
static void *find(uint8_t *map, size_t bytes, const struct crash_array *array, size_t each)
{
	if (array->each_bytes != each || array->offset % 64 || array->offset > bytes ||
	    array->count > (bytes - array->offset) / each)
		return NULL;
	return map + array->offset;
}

static void put_right_part(struct part_record *part)
{
	uint32_t version = kept_stamp_version(part->version);

	part->version = kept_stamp(version);
	part->now[version % 2].sum = part_now_sum(&part->now[version % 2], version);
	part->sum = part_record_sum(part);
	if (part->source_sum)
		part->source_sum = part_source_sum(part);
	for (size_t i = 0; i < RECORD_FORMATS_MAX; i++)
		part->renditions[i].sum = rendition_record_sum(&part->renditions[i]);
}

static void put_right_subscriber(struct subscriber_record *record)
{
	uint32_t word = record->state;

	if (!word)
		return;
	record->state = subscriber_record_word(record, word & RECORD_STATE_MASK,
					       subscriber_record_place(word));
	record->sum = subscriber_record_sum(record);
	if (record->kept.note_bytes <= sizeof(record->notes))
		record->notes_sum = subscriber_notes_sum(record);
}

void put_right_region(uint8_t *map, size_t bytes)
{
	struct crash_head *head = (struct crash_head *)(void *)map;
	struct part_record *parts = find(map, bytes, &head->parts, sizeof(*parts));
	struct subscriber_record *subscribers =
		find(map, bytes, &head->subscribers, sizeof(*subscribers));
	struct listener_record *counts = find(map, bytes, &head->counts, sizeof(*counts));
	const int32_t *fds = find(map, bytes, &head->fds, sizeof(*fds));
	uint32_t version = kept_stamp_version(head->listeners_version);
	const uint8_t *listeners = find(map, bytes, &head->listeners[version % 2], 1);

	head->sum = crash_head_sum(head);
	if (fds)
		head->fds_sum = crash_fds_sum(fds, u64_min(head->fd_count, head->fds.count));
	head->listeners_version = kept_stamp(version);
	if (listeners && head->listeners_bytes[version % 2] <= head->listeners[version % 2].count)
		head->listeners_sum[version % 2] =
			kept_sum(version, listeners, head->listeners_bytes[version % 2]);
	for (size_t i = 0; counts && i < head->counts.count; i++)
		counts[i].sum = listener_record_sum(&counts[i]);
	for (size_t i = 0; parts && i < head->parts.count; i++)
		put_right_part(&parts[i]);
	for (size_t i = 0; subscribers && i < head->subscribers.count; i++)
		put_right_subscriber(&subscribers[i]);
}
