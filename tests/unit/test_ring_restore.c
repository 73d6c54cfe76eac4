// SPDX-License-Identifier: MIT
/*
 * A ring that is made again of its record: its bytes, its cursors, and the descriptors it takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "pipe/pipe_io.h"
#include "ring/ring_kept.h"
#include "ring/ring_state.h"
#include "tests/unit/pipe_rig.h"
#include "tests/unit/ring_kept_rig.h"
#include "tests/unit/same_fds.h"

enum {
	SLOTS = 16,
	PIECES = 3,
	PIECE_BYTES = 100,
};

struct rig {
	struct ring before, after;
	struct ring_record *record, *own_record; // of the first, and of the second
	struct ring_record_map map;
	struct pipe_pool pool, other_pool;
	struct cursor cursors[3]; // in a trimmed pipe, in a retained one, in the growing block
	struct ring_state state;
};

static struct ring_packet packet_at(uint64_t sequence)
{
	return (struct ring_packet){.first_seq = sequence,
				    .next_seq = sequence + 1,
				    .count = 1,
				    .arrived_ns = sequence};
}

static void append_pipe(struct rig *rig, uint64_t sequence)
{
	struct ring_packet packet = packet_at(sequence);
	struct pipe pipe;

	assert_int_equal(pipe_pool_get(&rig->pool, &pipe), 0);
	pipe_rig_put_pieces(&pipe, PIECES, PIECE_BYTES);
	assert_int_equal(ring_append_pipes(&rig->before, &pipe, 1, &rig->pool, &packet, 1), 0);
}

static int append_text(struct ring *ring, char *text, const struct ring_packet *packet)
{
	const struct iovec part = {text, strlen(text)};

	return ring_append_copy(ring, &part, 1, packet, 0);
}

static void open_rig(struct rig *rig)
{
	const struct ring_params params = {.max_bytes = 700, .max_pipes = 100};
	const struct ring_packet last = packet_at(5);
	char text[] = "headbody";

	memset(rig, 0, sizeof(*rig));
	ring_init(&rig->before, &params);
	ring_init(&rig->after, &params);
	assert_int_equal(ring_record_new(&params, 1000, &rig->record), 0);
	ring_set_record(&rig->before, rig->record);
	assert_int_equal(pipe_pool_init(&rig->pool, SLOTS, 100, 10), 0);
	assert_int_equal(pipe_pool_init(&rig->other_pool, SLOTS, 100, 10), 0);
	append_pipe(rig, 1);
	cursor_join_past(&rig->cursors[0], &rig->before, UINT64_MAX, 0);
	cursor_advance(&rig->cursors[0], 50);
	append_pipe(rig, 2);
	ring_set_sequence(&rig->before, 9, 3);
	append_pipe(rig, 3);
	ring_trim(&rig->before, UINT64_MAX);
	cursor_join_past(&rig->cursors[1], &rig->before, 400, 0);
	cursor_advance(&rig->cursors[1], 299);
	assert_int_equal(append_text(&rig->before, text, &last), 0);
	cursor_join_live(&rig->cursors[2], &rig->before);
}

static void read_record(struct rig *rig)
{
	struct same_fds same;

	assert_int_equal(ring_record_read(ring_record_fd(rig->record), same_fds(&same), &rig->state,
					  &rig->map),
			 0);
	for (size_t i = 0; i < rig->state.segment_count; i++) {
		struct segment_state *segment = &rig->state.segments[i];

		if (segment->read_fd < 0)
			continue;
		// As over a process boundary: the same pipes by other descriptors.
		segment->read_fd = fcntl(segment->read_fd, F_DUPFD_CLOEXEC, 0);
		segment->write_fd = fcntl(segment->write_fd, F_DUPFD_CLOEXEC, 0);
	}
}

static void close_rig(struct rig *rig)
{
	ring_state_close(&rig->state);
	ring_state_free(&rig->state);
	ring_record_close(&rig->map);
	for (size_t i = 0; i < ARRAY_LEN(rig->cursors); i++)
		cursor_leave(&rig->cursors[i]);
	ring_clear(&rig->before);
	ring_clear(&rig->after);
	ring_record_free(&rig->record);
	ring_record_free(&rig->own_record);
	pipe_pool_fini(&rig->pool);
	pipe_pool_fini(&rig->other_pool);
}

enum of_record {
	NO_RECORD,
	OWN_RECORD,
	ADOPTED_RECORD,
};

static void record_after(struct rig *rig, enum of_record of_record)
{
	int fd;

	assert_int_equal(ring_record_new(&rig->after.params, 1000, &rig->own_record), 0);
	ring_set_record(&rig->after, rig->own_record);
	fd = ring_record_fd(rig->own_record);
	if (of_record == ADOPTED_RECORD)
		ring_record_adopt(rig->own_record, &rig->state, &rig->map);
	assert_int_equal(rig->state.is_adopted, of_record == ADOPTED_RECORD);
	assert_int_equal(ring_record_fd(rig->own_record), fd);
}

static void check_record_after(struct rig *rig)
{
	struct ring_record_map map;
	struct ring_state state;
	struct same_fds same;
	const char *difference;

	assert_int_equal(
		ring_record_read(ring_record_fd(rig->own_record), same_fds(&same), &state, &map),
		0);
	difference = rig_find_difference(&rig->after, NULL, 0, &state);
	if (difference)
		fail_msg("%s", difference);
	ring_state_free(&state);
	ring_record_close(&map);
}

static void check_cursors(struct rig *rig, const struct ring_restored *restored)
{
	for (size_t i = 0; i < ARRAY_LEN(rig->cursors); i++) {
		const struct cursor *was = &rig->cursors[i];
		struct cursor_state state;
		struct cursor is;

		cursor_capture(was, &state);
		cursor_restore(&is, &state, restored);
		assert_int_equal(is.pos, was->pos);
		assert_int_equal(cursor_unread_session(&is), i == 0 ? 0 : 9);
		assert_int_equal(cursor_unread_seq(&is), cursor_unread_seq(was));
		assert_int_equal(cursor_messages_read(&is), cursor_messages_read(was));
		assert_int_equal(cursor_settle(&is, &rig->after),
				 i == 2 ? CURSOR_LIVE : CURSOR_UNREAD);
		assert_int_equal(cursor_is_behind(&is, &rig->after),
				 cursor_is_behind(was, &rig->before));
		cursor_leave(&is);
	}
}

static void check_bytes(struct segment *segment)
{
	assert_int_equal(segment_make_block(segment), 0);
	for (size_t i = 0; i < PIECES * PIECE_BYTES; i++)
		assert_int_equal(segment->block[i], 'a' + i / PIECE_BYTES);
}

/* slots: of the pool that takes them; is_pipe: as pipes, then. */
static void check_restore(unsigned slots, bool is_pipe, enum of_record of_record)
{
	char more[] = "more";
	struct ring_restored restored;
	struct rig rig;

	open_rig(&rig);
	read_record(&rig);
	assert_int_equal(rig.state.segment_count, 4);
	if (of_record != NO_RECORD)
		record_after(&rig, of_record);
	assert_int_equal(ring_restore(&rig.after, &rig.state, &rig.other_pool, slots, &restored),
			 0);
	assert_int_equal(rig.after.start_pos, rig.before.start_pos);
	assert_int_equal(rig.after.end_pos, rig.before.end_pos);
	assert_int_equal(rig.after.segment_count, 3);
	assert_int_equal(rig.after.session, 9);
	assert_int_equal(rig.after.sequence_index, rig.before.sequence_index);
	assert_int_equal(rig.after.sequence_first, 3);
	assert_int_equal(rig.after.sequence_messages, 2);
	assert_int_equal(rig.after.pipe_count, is_pipe ? 2 : 0);
	assert_int_equal(rig.other_pool.open_count, is_pipe ? 3 : 0);
	check_cursors(&rig, &restored);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(restored.segments[i]->kind,
				 is_pipe ? SEGMENT_PIPE : SEGMENT_BLOCK);
		check_bytes(restored.segments[i]);
	}
	assert_memory_equal(restored.segments[3]->block, "headbody", 8);
	// The block goes on growing.
	const struct ring_packet next = packet_at(6);
	assert_int_equal(append_text(&rig.after, more, &next), 0);
	assert_memory_equal(restored.segments[3]->block, "headbodymore", 12);
	ring_restored_drop(&restored);
	if (of_record != NO_RECORD)
		check_record_after(&rig);
	ring_clear(&rig.after);
	assert_true(of_record == NO_RECORD || ring_record_is_empty(rig.own_record));
	assert_int_equal(rig.other_pool.open_count, rig.other_pool.idle_count);
	close_rig(&rig);
}

static void test_pipes_go_on(void **state)
{
	(void)state;
	check_restore(SLOTS, true, NO_RECORD);
	check_restore(SLOTS, true, OWN_RECORD);
	check_restore(SLOTS, true, ADOPTED_RECORD);
}

static void test_pipes_of_another_size_become_blocks(void **state)
{
	(void)state;
	check_restore(2 * SLOTS, false, NO_RECORD);
	check_restore(2 * SLOTS, false, OWN_RECORD);
	check_restore(2 * SLOTS, false, ADOPTED_RECORD);
}

// Another size of the ring, or something in it already: blocks are copied.
static void test_what_does_not_fit_is_not_adopted(void **state)
{
	struct ring_record *other;
	const struct ring_params larger = {.max_bytes = 1 << 20, .max_pipes = 100};
	struct rig rig;

	(void)state;
	open_rig(&rig);
	read_record(&rig);
	assert_int_equal(ring_record_new(&larger, 1000, &other), 0);
	ring_record_adopt(other, &rig.state, &rig.map);
	assert_false(rig.state.is_adopted);
	ring_record_free(&other);
	ring_record_adopt(rig.record, &rig.state, &rig.map);
	assert_false(rig.state.is_adopted);
	close_rig(&rig);
}

static void test_a_pipe_that_holds_something_else(void **state)
{
	struct ring_restored restored;
	uint8_t byte;
	size_t got;
	struct rig rig;
	int err;

	(void)state;
	open_rig(&rig);
	read_record(&rig);
	struct segment *last = ring_find_segment(&rig.before, rig.before.next_index - 2);
	assert_int_equal(pipe_read(&last->pipe, &byte, 1, &got, &err), PIPE_IO_OK);
	assert_int_equal(ring_restore(&rig.after, &rig.state, &rig.other_pool, SLOTS, &restored),
			 -EIO);
	assert_int_equal(rig.after.segment_count, 0);
	assert_int_equal(rig.after.start_pos, rig.before.end_pos);
	close_rig(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipes_go_on),
		cmocka_unit_test(test_pipes_of_another_size_become_blocks),
		cmocka_unit_test(test_what_does_not_fit_is_not_adopted),
		cmocka_unit_test_setup_teardown(test_a_pipe_that_holds_something_else,
						pipe_rig_begin, pipe_rig_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
