// SPDX-License-Identifier: MIT
/*
 * Where a cursor begins, against a walk over all packets, in rings of any mixture; and what it
 * costs to find that.
 *
 * The cost is counted in instructions, one by one (ptrace(2)), so it is the same each time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "ring/cursor.h"
#include "tests/unit/leave_out.h"

// --- a ring, and a list of what was put into it

enum {
	PACKETS_MAX = 400,
	BYTES_MAX = 70000, // more than a block
	SEEDS = 300,
};

struct model_packet {
	uint64_t pos, first_seq, messages_before, arrived_ns;
	uint32_t count;
	unsigned session; // counts how often the sequence went back
};

struct model {
	struct ring ring;
	struct model_packet packets[PACKETS_MAX];
	size_t count;
	unsigned session;
	uint64_t random;
};

static uint8_t bytes[BYTES_MAX];

static uint64_t below(struct model *model, uint64_t limit)
{
	model->random = model->random * 6364136223846793005 + 1442695040888963407;
	return (model->random >> 33) % limit;
}

static void append(struct model *model)
{
	static const size_t lengths[] = {1, 1, 20, 300, 5000, BYTES_MAX};
	struct ring *ring = &model->ring;
	struct model_packet *packet = &model->packets[model->count++];
	const struct iovec part = {bytes, lengths[below(model, ARRAY_LEN(lengths))]};

	*packet = (struct model_packet){
		.pos = ring->end_pos,
		.first_seq = ring->next_seq + (below(model, 8) ? 0 : below(model, 5)),
		.messages_before = ring->message_count,
		.arrived_ns = 1000 + model->count / 3,
		.count = (uint32_t)below(model, 4),
		.session = model->session,
	};
	const struct ring_packet entry = {
		.first_seq = packet->first_seq,
		.next_seq = packet->first_seq + packet->count,
		.count = packet->count,
		.arrived_ns = packet->arrived_ns,
	};

	assert_int_equal(ring_append_copy(ring, &part, 1, &entry, below(model, 20) == 0), 0);
}

static void fill(struct model *model, uint64_t seed)
{
	const struct ring_params params = {.max_bytes = 200000, .max_pipes = 4};

	model->count = 0;
	model->session = 0;
	model->random = seed;
	ring_init(&model->ring, &params);
	while (model->count < PACKETS_MAX && below(model, 200)) {
		append(model);
		if (below(model, 60) == 0)
			ring_set_sequence(&model->ring, model->session,
					  model->ring.next_seq + below(model, 9));
		if (below(model, 60) == 0 && model->ring.next_seq > 3)
			ring_set_sequence(&model->ring, ++model->session,
					  model->ring.next_seq - 3 + below(model, 9));
		ring_trim(&model->ring, UINT64_MAX);
	}
}

// --- the walk

static bool is_retained(const struct model *model, const struct model_packet *packet)
{
	return packet->pos >= model->ring.start_pos;
}

// -1: older than what there is.
static int64_t walk_to_seq(const struct model *model, uint64_t seq)
{
	if (seq >= model->ring.next_seq)
		return (int64_t)model->ring.end_pos;
	for (size_t i = model->count; i-- > 0;) {
		const struct model_packet *packet = &model->packets[i];
		const struct model_packet *next = i + 1 < model->count ? packet + 1 : NULL;

		if (!is_retained(model, packet) || packet->session != model->session)
			return -1;
		if (packet->first_seq > seq)
			continue;
		if (!packet->count || packet->first_seq + packet->count > seq)
			return (int64_t)packet->pos;
		return (int64_t)(next ? next->pos : model->ring.end_pos);
	}
	return -1;
}

static uint64_t walk_to_past(const struct model *model, uint64_t max_bytes, uint64_t since_ns)
{
	const struct model_packet *found = NULL;

	for (size_t i = model->count; i-- > 0;) {
		const struct model_packet *packet = &model->packets[i];
		bool is_within = (!max_bytes || model->ring.end_pos - packet->pos <= max_bytes) &&
				 packet->arrived_ns >= since_ns;

		if (!is_retained(model, packet) || (found && !is_within))
			break;
		if (packet->messages_before < model->ring.message_count)
			found = packet;
	}
	return found ? found->pos : model->ring.end_pos;
}

static uint64_t walk_to_oldest(const struct model *model)
{
	uint64_t oldest = model->ring.next_seq;

	for (size_t i = model->count; i-- > 0;) {
		const struct model_packet *packet = &model->packets[i];

		if (!is_retained(model, packet) || packet->session != model->session)
			break;
		oldest = packet->first_seq;
	}
	return oldest;
}

static void check_joins(const struct model *model, uint64_t seed)
{
	const struct ring *ring = &model->ring;
	struct cursor cursor;

	if (cursor_oldest_seq(ring) != walk_to_oldest(model))
		fail_msg("seed %lu: oldest sequence", (unsigned long)seed);
	for (uint64_t seq = 0; seq <= ring->next_seq + 1; seq++) {
		int64_t expected = walk_to_seq(model, seq);
		int r = cursor_join_seq(&cursor, ring, seq);

		if (r == 0 ? (int64_t)cursor.pos != expected : expected >= 0)
			fail_msg("seed %lu: sequence %lu", (unsigned long)seed, (unsigned long)seq);
		if (r == 0)
			cursor_leave(&cursor);
	}
	for (uint64_t i = 0; i < 200; i++) {
		uint64_t max_bytes = i % 3 ? ring->end_pos * i / 199 : 0;
		uint64_t since_ns = i % 4 ? 1000 + model->count * i / 597 : 0;

		cursor_join_past(&cursor, ring, max_bytes, since_ns);
		if (cursor.pos != walk_to_past(model, max_bytes, since_ns))
			fail_msg("seed %lu: %lu bytes, since %lu", (unsigned long)seed,
				 (unsigned long)max_bytes, (unsigned long)since_ns);
		cursor_leave(&cursor);
	}
}

static void what_is_found_is_what_a_walk_finds(void **state)
{
	static struct model model;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		fill(&model, seed);
		check_joins(&model, seed);
		ring_clear(&model.ring);
	}
}

// --- the cost

enum {
	SMALL = 30000, // packets: ten blocks and more
	TIMES = 10,
	PACKET_BYTES = 21,
	READERS = 30, // that stand in the ring, times ten as well
};

static void make_large(struct ring *ring, size_t packets)
{
	const struct ring_params params = {.max_bytes = SIZE_MAX / 2, .max_pipes = 4};
	const struct iovec part = {bytes, PACKET_BYTES};

	ring_init(ring, &params);
	ring->next_seq = 1;
	for (size_t i = 0; i < packets; i++) {
		const struct ring_packet packet = {
			.first_seq = 1 + i,
			.next_seq = 2 + i,
			.count = 1,
			.arrived_ns = 1 + i,
		};

		assert_int_equal(ring_append_copy(ring, &part, 1, &packet, 0), 0);
	}
}

static void join_by_sequence(const struct ring *ring, struct cursor *cursor)
{
	if (cursor_join_seq(cursor, ring, ring->message_count / 3) < 0)
		_exit(1);
}

static void join_by_bytes(const struct ring *ring, struct cursor *cursor)
{
	cursor_join_past(cursor, ring, ring->end_pos / 3, 0);
}

static void join_by_time(const struct ring *ring, struct cursor *cursor)
{
	cursor_join_past(cursor, ring, 0, ring->message_count / 3);
}

static void ask_for_the_oldest(const struct ring *ring, struct cursor *cursor)
{
	cursor->next_seq = cursor_oldest_seq(ring);
}

// A laggard that has read its segment, far from the live edge.
static void go_on(const struct ring *ring, struct cursor *cursor)
{
	cursor->next_index = ring_first_index(ring) + 1;
	(void)cursor_settle(cursor, ring);
}

typedef void step_of(const struct ring *ring, struct cursor *cursor);

static void be_counted(const struct ring *ring, step_of *step)
{
	struct cursor cursor = {.next_index = 0};

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(2);
	(void)raise(SIGSTOP);
	step(ring, &cursor);
	(void)raise(SIGSTOP);
	_exit(0);
}

// Instructions; 0: there is no tracing here.
static unsigned long count_instructions(const struct ring *ring, step_of *step)
{
	pid_t child = fork();
	unsigned long count = 0;
	int status = 0;

	assert_true(child >= 0);
	if (child == 0)
		be_counted(ring, step);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSTOPPED(status))
		return 0;
	do {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSTOPPED(status));
		count++;
	} while (WSTOPSIG(status) == SIGTRAP);
	assert_int_equal(WSTOPSIG(status), SIGSTOP);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return count;
}

static void put_readers(const struct ring *ring, struct cursor *cursors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		cursor_join_past(&cursors[i], ring, 1 + ring->end_pos * i / count, 0);
}

static void nothing_asked_costs_more_as_the_ring_grows(void **state)
{
	static const struct {
		const char *name;
		step_of *step;
	} rows[] = {
		{"from=", join_by_sequence},
		{"burst= in bytes", join_by_bytes},
		{"burst= in time", join_by_time},
		{"oldest", ask_for_the_oldest},
		{"going on", go_on},
	};
	static struct cursor cursors[TIMES * READERS];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned long counts[2];

		for (size_t k = 0; k < 2; k++) {
			size_t times = k ? TIMES : 1;
			struct ring ring;

			make_large(&ring, times * SMALL);
			put_readers(&ring, cursors, times * READERS);
			counts[k] = count_instructions(&ring, rows[i].step);
			for (size_t reader = 0; reader < times * READERS; reader++)
				cursor_leave(&cursors[reader]);
			ring_clear(&ring);
		}
		if (!counts[0])
			leave_out("no tracing of another process: ptrace(2) is refused");
		print_message("%s: %lu instructions, %lu in ten times the ring\n", rows[i].name,
			      counts[0], counts[1]);
		assert_true(counts[1] < 2 * counts[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_found_is_what_a_walk_finds),
		cmocka_unit_test(nothing_asked_costs_more_as_the_ring_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
