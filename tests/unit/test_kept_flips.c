// SPDX-License-Identifier: MIT
/*
 * Bits that have become others in what a process left that died: whoever goes on gets what is
 * right, byte by byte, and all others are reset.
 *
 * A feed runs in a process of its own that shares the descriptors, and is killed at any moment.
 * Bits are flipped in a copy of its region and of the records of its rings, but not in the payload:
 * that is no state.  What is read then is compared with what is read without; and each time once a
 * feed goes on from it, to the end of the stream.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/crash_read.h"
#include "daemon/crash_record.h"
#include "feed/feed_kept.h"
#include "feed/feed_state.h"
#include "ring/ring_kept_layout.h"
#include "tests/unit/death_rig.h"
#include "tests/unit/kept_rig.h"
#include "tests/unit/kill_start.h"
#include "tests/unit/rig_random.h"

enum {
	DEATHS = 120,
	FLIPPED_READINGS = 200, // of each that died
	FLIPS_MAX = 4,
};

// --- reading it

// From a copy of the region in memory; descriptors are new ones for each reading.
static bool read_region(const struct death *death, uint8_t *region, struct handover *ret)
{
	const struct crash_head *head = (const void *)death->record.map;
	const int32_t *numbers = (const void *)(death->record.map + head->fds.offset);
	const struct part_record *part = death_part(death->record.map);
	struct errmsg err = {.text = ""};
	int fds[DEATH_DESCRIPTORS], left[DEATH_DESCRIPTORS];
	struct kept_fds kept = {.fds = left, .count = head->fd_count};

	for (uint64_t i = 0; i < head->fd_count; i++) {
		int from = numbers[i];

		for (size_t k = 0; k < DEATH_RINGS; k++)
			from = numbers[i] == part->renditions[k].ring_fd ? death->rings[k] : from;
		fds[i] = fcntl(from, F_DUPFD_CLOEXEC, DEATH_DESCRIPTORS);
		assert_true(fds[i] >= 0);
		left[i] = fds[i];
	}
	if (crash_read(region, death->record.bytes, &kept, ret, &err) == 0) {
		for (uint64_t i = 0; i < head->fd_count; i++)
			fd_close(&left[i]);
		return true;
	}
	assert_true(err.text[0]);
	for (uint64_t i = 0; i < head->fd_count; i++)
		fd_close(&fds[i]);
	return false;
}

// --- flips

struct flip {
	int ring; // -1: the region
	size_t at;
	uint8_t bit;
};

// In what is in use: the head, the numbers of descriptors, the part, subscribers; head, slots and
// marks of a ring.
static struct flip some_flip(struct death *death)
{
	const struct crash_head *head = (const void *)death->record.map;
	uint64_t *random = &death->random;
	struct flip flip = {.ring = -1, .bit = (uint8_t)(1U << rig_random_below(random, 8))};
	const size_t slots = ring_record_layout(0, 0).slots_offset;
	struct ring_record_slot slot;
	size_t number;

	switch (rig_random_below(random, 8)) {
	case 0:
		flip.at = rig_random_below(random, sizeof(*head));
		return flip;
	case 1:
		flip.at = head->fds.offset +
			  rig_random_below(random, head->fd_count * sizeof(int32_t));
		return flip;
	case 2:
		flip.at = head->parts.offset + rig_random_below(random, sizeof(struct part_record));
		return flip;
	case 3:
	case 4:
		number = (size_t)death->peers[rig_random_below(random, DEATH_SUBSCRIBERS)].feed_fd;
		flip.at = head->subscribers.offset + number * sizeof(struct subscriber_record) +
			  rig_random_below(random, sizeof(struct subscriber_record));
		return flip;
	default:
		break;
	}
	flip.ring = (int)rig_random_below(random, DEATH_RINGS);
	number = death->ring_slots[flip.ring];
	number = number ? rig_random_below(random, number) : 0;
	flip.at = slots + number * sizeof(slot);
	assert_int_equal(pread(death->rings[flip.ring], &slot, sizeof(slot), (off_t)flip.at),
			 sizeof(slot));
	if (rig_random_below(random, 3) == 0)
		flip.at = rig_random_below(random, sizeof(struct ring_record_head));
	else if (slot.marks_offset && rig_random_below(random, 2))
		flip.at = slot.marks_offset +
			  rig_random_below(random,
					   (slot.mark_count + 1) * sizeof(struct packet_mark));
	else
		flip.at += rig_random_below(random, sizeof(slot));
	return flip;
}

// Once more: as it was.
static void apply(const struct death *death, const struct flip *flip)
{
	uint8_t byte;

	if (flip->ring < 0) {
		death->region[flip->at] ^= flip->bit;
		return;
	}
	assert_int_equal(pread(death->rings[flip->ring], &byte, 1, (off_t)flip->at), 1);
	byte ^= flip->bit;
	assert_int_equal(pwrite(death->rings[flip->ring], &byte, 1, (off_t)flip->at), 1);
}

static void apply_all(const struct death *death, const struct flip *flips, size_t count)
{
	for (size_t i = 0; i < count; i++)
		apply(death, &flips[i]);
}

// --- comparing

static const struct rendition_state *find_rendition(const struct handover *handover,
						    const char *format)
{
	const struct feed_state *part = &handover->feeds[0].parts[0];

	for (size_t i = 0; i < part->rendition_count; i++) {
		if (strcmp(part->renditions[i].format, format) == 0)
			return &part->renditions[i];
	}
	return NULL;
}

static const struct segment_state *find_segment(const struct ring_state *ring, uint64_t index)
{
	for (size_t i = 0; i < ring->segment_count; i++) {
		if (ring->segments[i].index == index)
			return &ring->segments[i];
	}
	return NULL;
}

static ino_t inode_of(int fd)
{
	struct stat about;

	assert_int_equal(fstat(fd, &about), 0);
	return about.st_ino;
}

static void check_segment(const struct segment_state *is, const struct segment_state *right)
{
	// Less may be known of what lies before, so the ring may not retain it.
	assert_non_null(right);
	assert_int_equal(is->start_pos, right->start_pos);
	assert_int_equal(is->next_seq, right->next_seq);
	assert_int_equal(is->next_messages, right->next_messages);
	assert_int_equal(is->length, right->length);
	assert_int_equal(is->session, right->session);
	assert_int_equal(is->tag, right->tag);
	assert_int_equal(is->is_sealed, right->is_sealed);
	assert_int_equal(is->is_continuation, right->is_continuation);
	assert_int_equal(is->is_continued, right->is_continued);
	assert_int_equal(is->slots, right->slots);
	assert_null(kept_rig_difference(&mark_kept_table, &is->begin, &right->begin));
	assert_int_equal(is->mark_count, right->mark_count);
	for (size_t i = 0; i < is->mark_count; i++) {
		struct packet_mark mark = is->marks[i];

		mark.arrived_ns = right->marks[i].arrived_ns;
		assert_null(kept_rig_difference(&mark_kept_table, &mark, &right->marks[i]));
	}
	assert_int_equal(is->read_fd >= 0, right->read_fd >= 0);
	if (is->read_fd < 0) {
		assert_memory_equal(is->block, right->block, is->length);
		return;
	}
	assert_int_equal(inode_of(is->read_fd), inode_of(right->read_fd));
	assert_int_equal(inode_of(is->write_fd), inode_of(right->write_fd));
}

static void check_ring(const struct ring_state *is, const struct ring_state *right)
{
	assert_true(is->start_pos >= right->start_pos);
	assert_int_equal(is->end_pos, right->end_pos);
	assert_int_equal(is->next_index, right->next_index);
	assert_int_equal(is->next_seq, right->next_seq);
	assert_int_equal(is->message_count, right->message_count);
	assert_int_equal(is->blocks_made, right->blocks_made);
	assert_int_equal(is->session, right->session);
	assert_memory_equal(&is->media, &right->media, sizeof(is->media));
	for (size_t i = 0; i < is->segment_count; i++)
		check_segment(&is->segments[i], find_segment(right, is->segments[i].index));
}

static const struct subscriber_snapshot *find_subscriber(const struct rendition_state *rendition,
							 uint64_t id)
{
	for (size_t i = 0; i < rendition->subscriber_count; i++) {
		if (rendition->subscribers[i].id == id)
			return &rendition->subscribers[i];
	}
	return NULL;
}

static void check_subscriber(const struct subscriber_snapshot *is,
			     const struct subscriber_snapshot *right)
{
	struct subscriber_kept left = is->kept;

	assert_non_null(right);
	assert_int_equal(inode_of(is->fd), inode_of(right->fd));
	left.fd = right->fd;
	// It gets the same bytes whatever these say.
	left.progress_ms = right->progress_ms;
	left.user_timeout_ms = right->user_timeout_ms;
	left.input_bucket.full_ns = right->input_bucket.full_ns;
	left.is_half_closed = right->is_half_closed;
	assert_null(kept_rig_difference(&subscriber_kept_table, &left, &right->kept));
	assert_null(kept_rig_difference(&cursor_kept_table, &is->cursor, &right->cursor));
	assert_memory_equal(is->note, right->note, is->note_bytes);
}

// Returns how many go on.
static unsigned check_handover(const struct death *death, const struct handover *is,
			       const struct handover *right)
{
	const struct feed_state *part = is->feed_count ? &is->feeds[0].parts[0] : NULL;
	unsigned count = 0;

	assert_true(is->feed_count <= 1);
	if (part)
		assert_string_equal(is->feeds[0].name, right->feeds[0].name);
	for (size_t i = 0; part && i < part->rendition_count; i++) {
		const struct rendition_state *left = &part->renditions[i];
		const struct rendition_state *same = find_rendition(right, left->format);

		assert_non_null(same);
		check_ring(&left->ring, &same->ring);
		for (size_t k = 0; k < left->subscriber_count; k++)
			check_subscriber(&left->subscribers[k],
					 find_subscriber(same, left->subscribers[k].id));
		count += (unsigned)left->subscriber_count;
	}
	if (count) {
		struct part_now now;

		assert_int_equal(part_record_read(death_part(death->record.map), &now), 0);
		assert_int_equal(part->session, now.session);
		assert_true(part->next_seq >= part->renditions[0].ring.next_seq);
		assert_true(part->next_seq <= now.next_seq);
	}
	return count;
}

// --- going on

// Where message `sequence` begins.
static size_t position_of(const struct rig_stream *stream, uint64_t sequence)
{
	const uint8_t *at = stream->payload;

	while (sequence-- > SEQUENCE_FIRST)
		at = (const uint8_t *)memchr(at, '\n', SIZE_MAX / 2) + 1;
	return (size_t)(at - stream->payload);
}

static void check_received(const struct death *death, const struct feed_rig *rig, size_t number)
{
	const struct rig_reader *reader = &rig->readers[number];
	const struct rig_stream *stream = &death->stream;
	struct rig_wire wire = {.payload = reader->bytes, .size = reader->size};

	if (reader->is_framed)
		wire = feed_rig_parse(reader);
	assert_int_equal(wire.gaps, 0);
	assert_true(wire.size <= stream->payload_size);
	if (wire.size)
		assert_memory_equal(wire.payload, stream->payload, wire.size);
	if (!reader->has_ended) {
		assert_int_equal(wire.size, stream->payload_size);
		assert_int_equal(wire.torn_bytes, 0);
	} else if (death->peers[number].is_tcp) {
		assert_int_not_equal(reader->end_errno, 0);
	}
	if (reader->is_framed)
		free(wire.payload);
}

// Returns how many have all.
static unsigned go_on(struct death *death, struct handover *handover, uint64_t sequence)
{
	size_t done = position_of(&death->stream, sequence);
	struct feed_rig rig;
	unsigned count = 0;

	feed_rig_open(&rig, &death->params, false);
	if (handover->feed_count)
		assert_int_equal(
			feed_restore(rig.feed, NULL, &handover->feeds[0].parts[0], CLOSE_CRASH), 0);
	handover_fini(handover);
	death_bury(death);
	memcpy(rig.readers, death->readers, sizeof(death->readers));
	rig.reader_count = DEATH_SUBSCRIBERS;
	rig.has_old_counts = true;
	feed_rig_publish(&rig, death->stream.payload + done, death->stream.payload_size - done);
	for (size_t i = 0; i < DEATH_SUBSCRIBERS; i++) {
		check_received(death, &rig, i);
		count += !rig.readers[i].has_ended;
	}
	feed_rig_close(&rig);
	return count;
}

// --- all of it

struct tally {
	unsigned readings, refused, kept, gone_on;
};

static struct handover read_flipped(struct death *death, const struct handover *right,
				    struct flip *flips, size_t *ret_count, struct tally *tally)
{
	struct handover handover = {.config.fd = -1};

	*ret_count = 1 + rig_random_below(&death->random, FLIPS_MAX);
	for (size_t i = 0; i < *ret_count; i++)
		flips[i] = some_flip(death);
	apply_all(death, flips, *ret_count);
	tally->readings++;
	tally->refused += !read_region(death, death->region, &handover);
	tally->kept += check_handover(death, &handover, right);
	return handover;
}

static void die_once(struct death *death, struct tally *tally)
{
	struct handover right, handover;
	struct flip flips[FLIPS_MAX];
	size_t count;
	uint64_t sequence;

	death_live(death);
	death_collect(death);
	assert_true(read_region(death, death->record.map, &right));
	assert_int_equal(right.feed_count, 1);
	sequence = right.feeds[0].parts[0].next_seq;
	for (unsigned i = 0; i < FLIPPED_READINGS; i++) {
		handover = read_flipped(death, &right, flips, &count, tally);
		handover_fini(&handover);
		apply_all(death, flips, count);
	}
	handover = read_flipped(death, &right, flips, &count, tally);
	handover_fini(&right);
	tally->gone_on += go_on(death, &handover, sequence);
	death_end(death);
}

static void nobody_gets_a_wrong_byte(void **state)
{
	uint64_t seed = kill_rig_seed();
	struct tally tally = {0};

	(void)state;
	print_message("seeds from %llu on\n", (unsigned long long)seed);
	for (unsigned i = 0; i < DEATHS; i++) {
		struct death death = {
			.params = feed_rig_params(FRAMING_LINE, i % ENGINE_COUNT),
			.random = seed + i + 1,
		};

		death.params.ring_bytes = 1 << 18;
		death.params.segment_bytes = 1 << 14;
		die_once(&death, &tally);
	}
	print_message("%u readings, %u refused, %u subscribers read, %u went on to the end\n",
		      tally.readings, tally.refused, tally.kept, tally.gone_on);
	assert_in_range(tally.kept, tally.readings, DEATH_SUBSCRIBERS * tally.readings - 1);
	assert_in_range(tally.gone_on, DEATHS, DEATH_SUBSCRIBERS * DEATHS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_gets_a_wrong_byte, feed_rig_setup,
						feed_rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
