// SPDX-License-Identifier: MIT
/*
 * Subscribers with any values and places that their .def allows are attached and written down, one
 * after the other, by a process that is stopped at each of its instructions.  Each time one can be
 * read it is the one that was asked for, member by member.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "fanout/subscriber_resume.h"
#include "ring/ring_kept.h"
#include "tests/unit/feed_rig.h"
#include "tests/unit/kept_rig.h"
#include "tests/unit/kill_rig.h"
#include "tests/unit/leave_out.h"
#include "tests/unit/same_fds.h"

enum {
	DESCRIPTORS = 256,
	SUBSCRIBERS = 24,
	PLACELESS = 4,       // one in so many
	PAST_BYTES = 200000, // more than a block has
};

KILLED(subscriber_kept_table);
KILLED(cursor_kept_table);

struct tables {
	struct part_record parts[1];
	struct subscriber_record subscribers[DESCRIPTORS];
	struct subscriber_kept want; // and what it has of notes
	uint8_t notes[RECORD_NOTES_BYTES];
	struct cursor_state place; // without is_replaying
	_Atomic int fd;            // its socket
	_Atomic unsigned done;     // that have been attached, and closed
};

struct writing {
	struct tables *tables;
	struct feed_rig rig;
	struct ring_restored segments; // of rig.raw
	uint64_t random;
	pid_t pid;
};

// --- in the process that is stopped

static enum close_reason hear_nothing(void *owner, struct subscriber *subscriber, uint8_t *bytes,
				      size_t count)
{
	(void)owner;
	(void)subscriber;
	(void)bytes;
	(void)count;
	return CLOSE_REASON_COUNT;
}

static bool may_go_on(const void *owner, uint64_t *ret_max_bytes)
{
	*ret_max_bytes = ((const struct tables *)owner)->want.input_max_bytes;
	return true;
}

static void free_nothing(void *owner)
{
	(void)owner;
}

static const struct subscriber_input input = {
	.on_bytes = hear_nothing, .may_go_on = may_go_on, .free = free_nothing};

static bool is_never(const void *owner)
{
	return !owner;
}

static void capture(const void *owner, struct kept_replay *ret)
{
	*ret = ((const struct tables *)owner)->want.from_files;
}

static const struct subscriber_replay replay = {
	.is_inside = is_never, .is_cut_off = is_never, .capture = capture, .free = free_nothing};

// Any values that go together; subscriber `number` has each kind of place in turn, or none.
static void wish(struct writing *writing, unsigned number)
{
	bool has_place = number % PLACELESS;
	struct subscriber_kept *want = &writing->tables->want;
	uint64_t *random = &writing->random;

	kept_rig_fill(&subscriber_kept_table, want, random);
	want->is_replaying = number & 1;
	want->from_files.place.is_inside = number & 2;
	want->is_ending = has_place ? want->is_ending : number & PLACELESS;
	want->is_joining = !has_place && !want->is_ending;
	want->has_farewell = !has_place && want->is_ending;
	want->note_bytes = (unsigned)rig_random_below(random, RECORD_NOTES_BYTES + 1);
	for (size_t i = 0; i < want->note_bytes; i++)
		writing->tables->notes[i] = (uint8_t)rig_random(random);
	want->end_pos %= writing->rig.raw->ring.end_pos + 1;
	if (!want->has_input)
		want->input_max_bytes = 0;
	if (!want->is_replaying)
		want->from_files = (struct kept_replay){0};
}

// Inside of a segment, or at the live edge.
static void wish_place(struct writing *writing)
{
	const struct ring *ring = &writing->rig.raw->ring;
	struct cursor_state *place = &writing->tables->place;
	uint64_t index = rig_random_below(&writing->random, ring->next_index + 1);
	const struct segment *segment = ring_find_segment(ring, index);

	kept_rig_fill(&cursor_kept_table, place, &writing->random);
	place->is_inside = segment != NULL;
	place->index = segment ? index : 0;
	place->offset = segment ? rig_random_below(&writing->random, segment->length + 1) : 0;
	place->pos = segment ? segment->start_pos + place->offset : ring->end_pos;
	place->next_index = segment ? index + 1 : ring->next_index;
}

static void attach(struct writing *writing, int fd)
{
	struct tables *tables = writing->tables;
	struct subscriber_snapshot snapshot = {
		.kept = tables->want,
		.cursor = tables->place,
		.note = tables->notes,
		.input = tables->want.has_input ? &input : NULL,
		.input_owner = tables,
		.replay = tables->want.is_replaying ? &replay : NULL,
		.replay_owner = tables,
	};

	snapshot.fd = fd;
	subscriber_resume(writing->rig.raw, &snapshot, &writing->segments);
}

static void attach_all(void *owner)
{
	struct writing *writing = owner;
	int fds[2];

	if (!kill_rig_be_traced())
		_exit(1);
	for (unsigned i = 0; i < SUBSCRIBERS; i++) {
		struct subscriber *subscriber;

		wish(writing, i);
		wish_place(writing);
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
			_exit(1);
		atomic_store(&writing->tables->fd, fds[0]);
		attach(writing, fds[0]);
		subscriber = fanout_find_subscriber(&writing->rig.feed->fanout,
						    writing->tables->want.id);
		if (!subscriber)
			_exit(1);
		subscriber_record_describe(subscriber);
		subscriber_record_settle(subscriber);
		subscriber_close(subscriber, CLOSE_PEER_CLOSED);
		(void)close(fds[1]);
		atomic_store(&writing->tables->done, i + 1);
	}
}

// --- here

// But for what is told of it by its place, or begins anew.
static struct subscriber_kept comparable(const struct subscriber_kept *kept)
{
	struct subscriber_kept copy = *kept;

	copy.fd = -1;
	copy.must_skip = copy.has_from = false;
	copy.progress_ms = copy.skipped = copy.delivered = 0;
	if (copy.is_replaying)
		copy.joined_messages = 0;
	return copy;
}

static bool check_readable(const struct writing *writing, const struct subscriber_record *record,
			   const struct ring_state *ring)
{
	struct tables *tables = writing->tables;
	struct subscriber_snapshot snapshot;
	struct subscriber_kept read, want;
	const char *difference;
	int r = subscriber_record_read(record, atomic_load(&tables->fd), ring, &snapshot);

	if (r < 0) {
		assert_int_equal(r, -ESTALE);
		return false;
	}
	// It has no place yet, or has been told of its end.
	assert_false(tables->want.is_joining || tables->want.has_farewell);
	read = comparable(&snapshot.kept);
	want = comparable(&tables->want);
	difference = kept_rig_difference(&subscriber_kept_table, &read, &want);
	if (difference)
		fail_msg("subscriber %u: %s", atomic_load(&tables->done), difference);
	assert_memory_equal(snapshot.note, tables->notes, snapshot.note_bytes);
	if (!snapshot.is_replaying)
		assert_null(
			kept_rig_difference(&cursor_kept_table, &snapshot.cursor, &tables->place));
	return true;
}

static void go_through(struct writing *writing, const struct ring_state *ring)
{
	struct tables *tables = writing->tables;
	struct subscriber_record seen = {0};
	unsigned whole = 0, last = SUBSCRIBERS;

	while (atomic_load(&tables->done) < SUBSCRIBERS) {
		const struct subscriber_record *now =
			&tables->subscribers[atomic_load(&tables->fd)];

		assert_true(kill_rig_step(writing->pid));
		if (memcmp(&seen, now, sizeof(seen)) == 0)
			continue;
		killed_note(&killed_subscriber_kept_table, &seen.kept, &now->kept);
		for (size_t i = 0; i < 2 && !now->kept.is_replaying; i++)
			killed_note(&killed_cursor_kept_table, &seen.places[i].cursor,
				    &now->places[i].cursor);
		memcpy(&seen, now, sizeof(seen));
		if (check_readable(writing, now, ring) && last != atomic_load(&tables->done)) {
			last = atomic_load(&tables->done);
			whole++;
		}
	}
	assert_int_equal(whole, SUBSCRIBERS - SUBSCRIBERS / PLACELESS);
}

void subscriber_stopped_at_each_instruction(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_NONE, ENGINE_COPY);
	static const uint8_t past[PAST_BYTES];
	struct segment *segments[PAST_BYTES / 1000];
	struct writing writing = {.random = kill_rig_seed() + 1};
	struct feed_records records = {.part_count = 1, .subscriber_count = DESCRIPTORS};
	struct ring_record_map map;
	struct ring_state ring;
	struct same_fds same;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)writing.random);
	writing.tables = mmap(NULL, sizeof(*writing.tables), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(writing.tables != MAP_FAILED);
	records.parts = writing.tables->parts;
	records.subscribers = writing.tables->subscribers;
	feed_rig_open_recorded(&writing.rig, &params, false, &records);
	feed_rig_publish(&writing.rig, past, sizeof(past));
	writing.segments.segments = segments;
	for (uint64_t i = 0; i < writing.rig.raw->ring.next_index; i++)
		segments[writing.segments.count++] = ring_find_segment(&writing.rig.raw->ring, i);
	assert_in_range(writing.segments.count, 2, ARRAY_LEN(segments));
	assert_int_equal(ring_record_read(ring_record_fd(writing.rig.raw->ring_record),
					  same_fds(&same), &ring, &map),
			 0);
	writing.pid = kill_rig_start(attach_all, &writing);
	if (kill_rig_await(writing.pid)) {
		go_through(&writing, &ring);
		assert_true(kill_rig_kill(writing.pid));
	} else {
		leave_out_part("no tracing of another process: ptrace(2) is refused");
	}
	ring_state_free(&ring);
	ring_record_close(&map);
	feed_rig_close(&writing.rig);
	assert_int_equal(munmap(writing.tables, sizeof(*writing.tables)), 0);
}
