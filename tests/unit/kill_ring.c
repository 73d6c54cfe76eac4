// SPDX-License-Identifier: MIT
/*
 * A process that works on a ring with a record is killed, at any moment and at each instruction:
 * what it leaves is a ring, with every byte, mark and sequence in its place, and another ring can
 * be made of it.
 *
 * The writer shares the table of descriptors with the test, so that its pipes outlive it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "ring/ring_kept_layout.h"
#include "tests/unit/kill_rig.h"
#include "tests/unit/leave_out.h"
#include "tests/unit/pipe_rig.h"
#include "tests/unit/ring_kept_rig.h"
#include "tests/unit/same_fds.h"

enum {
	FDS = 600, /* more than there ever are */
	KILLS = 250,
	OPERATIONS_MAX = 3000, /* before the kill */
	INSTRUCTIONS = 150000, /* gone through one by one */
	TRACED_RUNS = 30,
	READ_ANYWAY = 97, /* also where nothing in head and slots has changed */
};

KILLED(slot_record_table);
KILLED(commit_record_table);
KILLED(mark_kept_table);

struct round {
	uint64_t seed;
	bool is_long, is_traced;
	struct rig_progress *progress; /* shared with the writer */
	bool is_ours[FDS];             /* open before; all others are the writer's */
	pid_t writer;
};

static void fail_round(const struct round *round, const char *fault)
{
	fail_msg("seed %llu, after %llu operations: %s", (unsigned long long)round->seed,
		 (unsigned long long)atomic_load(&round->progress->operations), fault);
}

/* In the process of its own: until it is killed, or something fails. */
static void write_on(void *owner)
{
	const struct round *round = owner;
	struct rig_writer writer;

	if (!rig_writer_open(&writer, round->seed, round->is_long, round->progress))
		_exit(1);
	if (round->is_traced && !kill_rig_be_traced())
		_exit(2);
	while (rig_writer_operate(&writer)) {
	}
}

static void start_writer(struct round *round)
{
	void *shared = mmap(NULL, sizeof(*round->progress), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(shared != MAP_FAILED);
	round->progress = shared;
	atomic_store(&round->progress->record_fd, -1);
	for (int fd = 0; fd < FDS; fd++)
		round->is_ours[fd] = fcntl(fd, F_GETFD) >= 0;
	round->writer = kill_rig_start(write_on, round);
}

static void kill_writer(struct round *round)
{
	if (!kill_rig_kill(round->writer))
		fail_round(round, "the writer has ended by itself");
}

static void end_round(struct round *round)
{
	for (int fd = 0; fd < FDS; fd++) {
		if (!round->is_ours[fd])
			(void)close(fd);
	}
	assert_int_equal(munmap(round->progress, sizeof(*round->progress)), 0);
}

static void read_and_check(struct round *round, struct ring_state *ret, struct ring_record_map *map)
{
	struct same_fds same;
	const char *fault;
	int r = ring_record_read(round->progress->record_fd, same_fds(&same), ret, map);

	if (r < 0)
		fail_round(round, strerror(-r));
	fault = rig_find_fault(ret, round->seed, round->is_long, round->progress);
	if (fault)
		fail_round(round, fault);
}

/* What comes now is in the record as well, behind what was there. */
static void go_on(struct round *round, struct ring *ring, struct ring_record *record)
{
	static uint8_t bytes[20000];
	struct same_fds same;

	for (uint64_t i = 0; i < 20; i++) {
		const struct iovec part = {bytes, 1 + i * i * 50};
		const struct ring_packet packet = {.first_seq = ring->next_seq,
						   .next_seq = ring->next_seq + 1,
						   .count = 1,
						   .arrived_ns = 1000000 + i};
		struct ring_record_map map;
		struct ring_state state;

		assert_int_equal(ring_append_copy(ring, &part, 1, &packet, i % 7 == 0), 0);
		if (i % 4 == 3)
			ring_trim(ring, UINT64_MAX);
		assert_int_equal(
			ring_record_read(ring_record_fd(record), same_fds(&same), &state, &map), 0);
		if (rig_find_retained_difference(ring, &state))
			fail_round(round, rig_find_retained_difference(ring, &state));
		ring_state_free(&state);
		ring_record_close(&map);
	}
}

/* A ring of the state, with a record that says the same: of its own, or the writer's.  It goes
 * on. */
static void restore(struct round *round, struct ring_state *state,
		    const struct ring_record_map *from, bool adopts)
{
	const struct ring_params params = {.max_bytes = RIG_RING_BYTES, .max_pipes = RIG_PIPES};
	size_t segment_count = state->segment_count;
	struct ring_record *record;
	struct ring_record_map map;
	struct ring_state again;
	struct ring_restored restored;
	struct pipe_pool pool;
	struct same_fds same;
	struct ring ring;
	const char *fault;

	ring_init(&ring, &params);
	assert_int_equal(pipe_pool_init(&pool, RIG_SLOTS, 300, 4), 0);
	assert_int_equal(ring_record_new(&params, RIG_LONG_BYTES, &record), 0);
	ring_set_record(&ring, record);
	if (adopts)
		ring_record_adopt(record, state, from);
	assert_int_equal(state->is_adopted, adopts);
	assert_int_equal(ring_restore(&ring, state, &pool, RIG_SLOTS, &restored), 0);
	assert_int_equal(ring_record_read(ring_record_fd(record), same_fds(&same), &again, &map),
			 0);
	fault = rig_find_fault(&again, round->seed, round->is_long, round->progress);
	if (fault)
		fail_round(round, fault);
	assert_int_equal(again.segment_count, segment_count);
	ring_state_free(&again);
	ring_record_close(&map);
	go_on(round, &ring, record);
	ring_restored_drop(&restored);
	ring_clear(&ring);
	assert_true(ring_record_is_empty(record));
	assert_int_equal(pool.open_count, pool.idle_count);
	pipe_pool_fini(&pool);
	ring_record_free(&record);
}

static void wait_for_operations(struct round *round, uint64_t count)
{
	int status;

	while (atomic_load(&round->progress->operations) < count) {
		if (waitpid(round->writer, &status, WNOHANG) != 0)
			fail_round(round, "the writer has ended by itself");
		(void)sched_yield();
	}
}

void ring_killed_at_any_moment(void **state)
{
	uint64_t seed = kill_rig_seed(), random = seed + 1, kept = 0, pipes = 0;

	(void)state;
	print_message("seeds from %llu on\n", (unsigned long long)seed);
	for (unsigned i = 0; i < KILLS; i++) {
		struct round round = {.seed = seed + i, .is_long = i % 8 == 0};
		struct ring_record_map map;
		struct ring_state ring;

		start_writer(&round);
		wait_for_operations(
			&round,
			1 + rig_random_below(&random, OPERATIONS_MAX / (round.is_long ? 8 : 1)));
		for (uint64_t spin = rig_random_below(&random, 3000); spin; spin--)
			ring_record_step();
		kill_writer(&round);
		read_and_check(&round, &ring, &map);
		for (size_t j = 0; j < ring.segment_count; j++) {
			kept += ring.segments[j].is_retained;
			pipes += ring.segments[j].read_fd >= 0;
		}
		restore(&round, &ring, &map, i % 2);
		ring_state_free(&ring);
		ring_record_close(&map);
		end_round(&round);
	}
	print_message("%llu segments were retained, %llu were pipes\n", (unsigned long long)kept,
		      (unsigned long long)pipes);
	assert_true(kept > KILLS);
	assert_true(pipes > KILLS);
}

/* Head and slots as they were seen last; what is in use of them is small. */
struct seen {
	const uint8_t *map;
	size_t bytes;
	uint8_t copy[1 << 16];
};

/* Where both lie alike: commits, and slots with their first mark. */
static void note_changes(const uint8_t *before, const uint8_t *now)
{
	const size_t slots = ring_record_layout(0, 0).slots_offset;
	const size_t each = sizeof(struct ring_record_slot);

	for (size_t i = 0; i < 2; i++) {
		size_t at = offsetof(struct ring_record_head, commits[i]);

		killed_note(&killed_commit_record_table, before + at, now + at);
	}
	for (size_t at = slots; at + each <= sizeof(((struct seen *)0)->copy); at += each) {
		size_t mark = at + offsetof(struct ring_record_slot, begin);

		if (memcmp(before + at, now + at, each) == 0)
			continue;
		killed_note(&killed_slot_record_table, before + at, now + at);
		killed_note(&killed_mark_kept_table, before + mark, now + mark);
	}
}

static bool has_changed(struct seen *seen)
{
	if (memcmp(seen->copy, seen->map, seen->bytes) == 0)
		return false;
	note_changes(seen->copy, seen->map);
	memcpy(seen->copy, seen->map, seen->bytes);
	return true;
}

/* Those behind the first one of a segment lie elsewhere; they have been checked. */
static void note_marks(const struct ring_state *ring)
{
	const struct segment_state *newest =
		ring->segment_count ? &ring->segments[ring->segment_count - 1] : NULL;

	if (newest && newest->mark_count)
		killed_note(&killed_mark_kept_table, &newest->begin,
			    &newest->marks[newest->mark_count - 1]);
}

static void go_through(struct round *round, unsigned count, uint64_t *reads)
{
	static struct seen seen;
	struct ring_record_map map;
	struct ring_state ring;

	seen.bytes = sizeof(seen.copy);
	seen.map = mmap(NULL, seen.bytes, PROT_READ, MAP_SHARED, round->progress->record_fd, 0);
	assert_true(seen.map != MAP_FAILED);
	for (unsigned i = 0; i < count; i++) {
		if (!kill_rig_step(round->writer))
			fail_round(round, "the writer has ended by itself");
		if (!has_changed(&seen) && i % READ_ANYWAY)
			continue;
		read_and_check(round, &ring, &map);
		note_marks(&ring);
		ring_state_free(&ring);
		ring_record_close(&map);
		++*reads;
	}
	assert_int_equal(munmap((void *)(uintptr_t)seen.map, seen.bytes), 0);
}

void ring_stopped_at_each_instruction(void **state)
{
	uint64_t seed = kill_rig_seed(), random = seed + 1, reads = 0;

	(void)state;
	print_message("seeds from %llu on\n", (unsigned long long)seed);
	for (unsigned i = 0; i < TRACED_RUNS; i++) {
		struct round round = {.seed = seed + i, .is_traced = true};

		start_writer(&round);
		if (!kill_rig_await(round.writer)) {
			end_round(&round);
			leave_out("no tracing of another process: ptrace(2) is refused");
		}
		// Not from the start each time: on until some more has been done.
		uint64_t until = rig_random_below(&random, 400);
		while (atomic_load(&round.progress->operations) < until)
			assert_true(kill_rig_step_far(round.writer));
		go_through(&round, INSTRUCTIONS / TRACED_RUNS, &reads);
		kill_writer(&round);
		end_round(&round);
	}
	print_message("%d instructions, read %llu times\n", INSTRUCTIONS,
		      (unsigned long long)reads);
	assert_true(reads > TRACED_RUNS);
}
