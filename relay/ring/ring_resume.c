// SPDX-License-Identifier: MIT
/*
 * Reading a ring's record that another process has left.
 *
 * Nothing in it is believed: what lies outside of the memfd is not touched, and the state that
 * comes out holds together.  What the writer has hidden, or had no
 * room for, is not known; from there on back nothing is retained.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "continuity/sealed_memory.h"
#include "ring/ring_kept.h"
#include "ring/ring_kept_layout.h"
#include "ring/ring_state.h"

/* A slot's number, for sorting by index; the slot itself stays where it is. */
struct found {
	const struct ring_record_slot *slot;
	uint64_t index;
	int read_fd, write_fd;
	bool is_left_out;
};

struct reading {
	const uint8_t *map;
	size_t used_bytes; /* that the memfd really has: no array can be longer */
	struct ring_record_layout layout;
	const struct ring_record_head *head;
	const struct ring_record_slot *slots;
	struct ring_record_commit commit;
	struct found *found; /* by index */
	size_t count;
};

#define KEPT_TABLE slot_record_table
#define KEPT_OF    struct ring_record_slot
#define KEPT_DEF   "ring/slot_record.def"
#include "continuity/kept_table.def"

#define KEPT_TABLE commit_record_table
#define KEPT_OF    struct ring_record_commit
#define KEPT_DEF   "ring/commit_record.def"
#include "continuity/kept_table.def"

uint32_t ring_record_schema(void)
{
	/* To be changed with what the tables do not say. */
	static const struct kept_table layout = {.name = "layout 1",
						 .bytes = sizeof(struct ring_record_head)};
	static const struct kept_table *const tables[] = {&layout, &slot_record_table,
							  &commit_record_table, &mark_kept_table};

	return kept_layout(tables, ARRAY_LEN(tables));
}

/* ---- the memfd ---- */

/* Bytes that the file takes, so at most, are in use. */
static int map_memfd(int memfd, struct ring_record_map *ret, size_t *ret_used_bytes)
{
	struct stat about;
	int r = sealed_memory_map(memfd, &ret->start, &ret->bytes);

	if (r < 0)
		return r;
	ret->fd = fcntl(memfd, F_DUPFD_CLOEXEC, 0);
	if (ret->bytes < sizeof(struct ring_record_head) || fstat(memfd, &about) < 0) {
		ring_record_close(ret);
		return -EBADMSG;
	}
	*ret_used_bytes = (size_t)about.st_blocks * 512;
	return 0;
}

void ring_record_close(struct ring_record_map *map)
{
	if (map->start) {
		(void)munmap(map->start, map->bytes);
		fd_close(&map->fd);
	}
	*map = (struct ring_record_map){0};
}

static int read_head(const struct ring_record_map *map, struct reading *reading)
{
	const struct ring_record_head *head = (const void *)map->start;
	uint64_t stamp = atomic_load_explicit(&head->version, memory_order_acquire);
	uint32_t version = kept_stamp_version(stamp);

	reading->map = map->start;
	reading->head = head;
	if (memcmp(head->magic, RING_RECORD_MAGIC, sizeof(RING_RECORD_MAGIC)) != 0 ||
	    head->schema != ring_record_schema() ||
	    head->slot_bytes != sizeof(struct ring_record_slot) ||
	    head->commit_bytes != sizeof(struct ring_record_commit) ||
	    head->slot_count > map->bytes / sizeof(struct ring_record_slot) ||
	    head->page_count > map->bytes / RING_RECORD_PAGE_BYTES)
		return -EBADMSG;
	reading->layout = ring_record_layout(head->slot_count, head->page_count);
	if (reading->layout.bytes != map->bytes)
		return -EBADMSG;
	if (stamp == 0)
		return -ENODATA;
	if (!kept_stamp_is_whole(stamp))
		return -EBADMSG;
	reading->slots =
		(const struct ring_record_slot *)(reading->map + reading->layout.slots_offset);
	reading->commit = head->commits[version % 2];
	return reading->commit.sum != ring_record_commit_sum(&reading->commit, version) ||
			       kept_fault(&commit_record_table, &reading->commit) ||
			       reading->commit.first_index > reading->commit.next_index
		       ? -EBADMSG
		       : 0;
}

/* `bytes` from `offset` on are pages of the record. */
static bool is_in_pages(const struct reading *reading, uint64_t offset, uint64_t bytes)
{
	return offset >= reading->layout.pages_offset && offset <= reading->layout.bytes &&
	       bytes <= reading->layout.bytes - offset && offset % RING_RECORD_PAGE_BYTES == 0;
}

/* ---- which segments there are ---- */

static int compare_index(const void *a, const void *b)
{
	uint64_t left = ((const struct found *)a)->index, right = ((const struct found *)b)->index;

	return (left > right) - (left < right);
}

/* False: it is not known. */
static bool find_slot(const struct reading *reading, const struct ring_record_slot *slot,
		      const struct kept_fds *fds, struct found *ret)
{
	uint32_t kind = atomic_load_explicit(&slot->kind, memory_order_acquire);

	if ((kind != RING_RECORD_BLOCK && kind != RING_RECORD_PIPE) ||
	    slot->sum != ring_record_slot_sum(slot, kind) ||
	    slot->index >= reading->commit.next_index)
		return false;
	if (slot->index != reading->commit.newest_index &&
	    slot->growth_sum != ring_record_growth_sum(slot))
		return false;
	*ret = (struct found){.slot = slot, .index = slot->index, .read_fd = -1, .write_fd = -1};
	if (kind == RING_RECORD_BLOCK)
		return true;
	ret->read_fd = kept_fds_look(fds, slot->read_fd);
	ret->write_fd = kept_fds_look(fds, slot->write_fd);
	return ret->read_fd >= 0 && ret->write_fd >= 0;
}

static int find_segments(struct reading *reading, const struct kept_fds *fds)
{
	uint32_t used = atomic_load_explicit(&reading->head->slots_used, memory_order_acquire);

	if (used > reading->head->slot_count)
		return -EBADMSG;
	reading->found = calloc((size_t)used + 1, sizeof(*reading->found));
	if (!reading->found)
		return -ENOMEM;
	for (uint32_t i = 0; i < used; i++)
		reading->count += find_slot(reading, &reading->slots[i], fds,
					    &reading->found[reading->count]);
	qsort(reading->found, reading->count, sizeof(*reading->found), compare_index);
	return 0;
}

/* The first one retained: a packet starts there, and all behind it are known.  `count`: there is
 * none. */
static size_t find_start(const struct reading *reading)
{
	uint64_t index = reading->commit.next_index;
	size_t start = reading->count;

	for (size_t i = reading->count; i-- > 0;) {
		const struct found *found = &reading->found[i];

		if (found->index != --index || index < reading->commit.first_index)
			break;
		if (!found->slot->is_continuation)
			start = i;
	}
	return start;
}

/* Whoever stands in a packet must be able to finish it. */
static size_t leave_out_unfinished(struct reading *reading, size_t start)
{
	const struct found *next = NULL;
	size_t left = 0;

	for (size_t i = reading->count; i-- > 0;) {
		struct found *found = &reading->found[i];

		found->is_left_out =
			i < start && found->slot->is_continued &&
			(!next || next->is_left_out || next->index != found->index + 1);
		left += !found->is_left_out;
		next = found;
	}
	return left;
}

/* ---- what they are ---- */

static int read_marks(const struct reading *reading, const struct ring_record_slot *slot,
		      uint64_t sum, struct segment_state *ret)
{
	uint64_t offset = atomic_load_explicit(&slot->marks_offset, memory_order_acquire);
	const struct packet_mark *from = &slot->begin;
	size_t most = slot->is_continuation ? 0 : 1;
	uint64_t found = 0;

	if (offset)
		most = reading->used_bytes / sizeof(*from);
	if (ret->mark_count > most ||
	    (offset && !is_in_pages(reading, offset, ret->mark_count * sizeof(*from))))
		return -EBADMSG;
	if (offset)
		from = (const struct packet_mark *)(reading->map + offset);
	if (!ret->mark_count)
		return 0;
	ret->marks = malloc(ret->mark_count * sizeof(*from));
	if (!ret->marks)
		return -ENOMEM;
	memcpy(ret->marks, from, ret->mark_count * sizeof(*from));
	for (size_t i = 0; i < ret->mark_count; i++)
		found = segment_sum_mark(found, &ret->marks[i]);
	return found == sum ? 0 : -EBADMSG;
}

static int read_segment(const struct reading *reading, const struct found *found, bool is_retained,
			struct segment_state *ret)
{
	const struct ring_record_commit *commit = &reading->commit;
	const struct ring_record_slot *slot = found->slot;
	bool is_newest = slot->index == commit->newest_index;

	if (kept_fault(&slot_record_table, slot))
		return -EBADMSG;
	*ret = (struct segment_state){
		.index = slot->index,
		.start_pos = slot->start_pos,
		.session = slot->session,
		.length = is_newest ? commit->newest_length : slot->length,
		.next_seq = is_newest ? commit->newest_next_seq : slot->next_seq,
		.next_messages = is_newest ? commit->newest_next_messages : slot->next_messages,
		.mark_count = is_newest ? commit->newest_mark_count : slot->mark_count,
		.tag = slot->tag,
		.is_retained = is_retained,
		.is_sealed = !is_newest || !is_retained || commit->newest_is_sealed,
		.is_continuation = slot->is_continuation,
		.is_continued = slot->is_continued,
		.begin = slot->begin,
		.read_fd = found->read_fd,
		.write_fd = found->write_fd,
		.slots = found->read_fd >= 0 ? slot->pipe_slots : 0,
	};
	if (found->read_fd < 0) {
		ret->block_bytes = slot->block_bytes;
		if (!is_in_pages(reading, slot->block_offset, slot->block_bytes))
			return -EBADMSG;
		ret->block = reading->map + slot->block_offset;
		ret->slot = (uint32_t)(slot - reading->slots) + 1;
		ret->marks_offset = atomic_load_explicit(&slot->marks_offset, memory_order_relaxed);
	}
	return read_marks(reading, slot, is_newest ? commit->newest_marks_sum : slot->marks_sum,
			  ret);
}

static int compare_fd(const void *a, const void *b)
{
	int left = *(const int *)a, right = *(const int *)b;

	return (left > right) - (left < right);
}

/* Each descriptor belongs to one pipe: two that take the same one would close it twice. */
static int check_fds(const struct ring_state *state)
{
	int *fds = calloc(2 * state->segment_count + 1, sizeof(*fds));
	size_t count = 0;
	int r = 0;

	if (!fds)
		return -ENOMEM;
	for (size_t i = 0; i < state->segment_count; i++) {
		if (state->segments[i].read_fd < 0)
			continue;
		fds[count++] = state->segments[i].read_fd;
		fds[count++] = state->segments[i].write_fd;
	}
	qsort(fds, count, sizeof(*fds), compare_fd);
	for (size_t i = 1; i < count; i++) {
		if (fds[i] == fds[i - 1])
			r = -EBADMSG;
	}
	free(fds);
	return r;
}

static int read_state(struct reading *reading, struct ring_state *ret)
{
	size_t start = find_start(reading);
	size_t room = leave_out_unfinished(reading, start);
	int r = 0;

	*ret = (struct ring_state){
		.start_pos = start < reading->count ? reading->found[start].slot->start_pos
						    : reading->commit.end_pos,
		.end_pos = reading->commit.end_pos,
		.next_index = reading->commit.next_index,
		.session = reading->commit.session,
		.next_seq = reading->commit.next_seq,
		.message_count = reading->commit.message_count,
		.blocks_made = reading->commit.blocks_made,
		.media = reading->commit.media,
		.segments = calloc(room + 1, sizeof(*ret->segments)),
	};
	if (!ret->segments)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < reading->count; i++) {
		if (!reading->found[i].is_left_out)
			r = read_segment(reading, &reading->found[i], i >= start,
					 &ret->segments[ret->segment_count++]);
	}
	if (r == 0 && ring_state_fault(ret))
		r = -EBADMSG;
	return r < 0 ? r : check_fds(ret);
}

/* Of a state that is right; so each is there, and is taken once. */
static void take_pipes(const struct reading *reading, struct kept_fds *fds)
{
	for (size_t i = 0; i < reading->count; i++) {
		const struct found *found = &reading->found[i];

		if (found->is_left_out || found->read_fd < 0)
			continue;
		(void)kept_fds_take(fds, found->slot->read_fd);
		(void)kept_fds_take(fds, found->slot->write_fd);
	}
}

int ring_record_read(int memfd, struct kept_fds *fds, struct ring_state *ret,
		     struct ring_record_map *ret_map)
{
	struct reading reading = {0};
	int r;

	*ret = (struct ring_state){0};
	*ret_map = (struct ring_record_map){0};
	r = map_memfd(memfd, ret_map, &reading.used_bytes);
	if (r == 0)
		r = read_head(ret_map, &reading);
	if (r == 0)
		r = find_segments(&reading, fds);
	if (r == 0)
		r = read_state(&reading, ret);
	if (r == 0)
		take_pipes(&reading, fds);
	free(reading.found);
	if (r < 0) {
		ring_state_free(ret);
		ring_record_close(ret_map);
	}
	return r;
}
