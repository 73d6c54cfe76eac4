// SPDX-License-Identifier: MIT
/* A feed's pipes: their sizes, how dense they are, and what is told when there are none, or when a
 * call is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "pipe/compact.h"
#include "pipe/density.h"
#include "pipe/pipe_io.h"
#include "pipe/pipe_set.h"

enum {
	RETRY_MS = 30000
};

struct rig {
	struct pipe_set set;
	struct metrics metrics;
	unsigned refusals, first_refusals, no_pipes;
	enum refusal last_refusal;
	int last_error;
};

static void on_refused(void *owner, enum refusal refusal, bool is_first)
{
	struct rig *rig = owner;

	rig->refusals++;
	rig->first_refusals += is_first;
	rig->last_refusal = refusal;
}

static void on_no_pipe(void *owner, int error)
{
	struct rig *rig = owner;

	rig->no_pipes++;
	rig->last_error = error;
}

static int set_up(void **state)
{
	const struct pipe_set_params params = {.segment_bytes = 64 * 1024, .max_idle = 4};
	struct rig *rig = calloc(1, sizeof(*rig));
	const struct pipe_set_events events = {
		.owner = rig,
		.on_refused = on_refused,
		.on_no_pipe = on_no_pipe,
	};

	*state = rig;
	return rig ? pipe_set_init(&rig->set, &params, &events, &rig->metrics) : -1;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	pipe_set_fini(&rig->set);
	free(rig);
	return 0;
}

static void pipes_have_a_slot_for_each_8_kib(void **state)
{
	(void)state;
	assert_int_equal(pipe_set_slots(512 * 1024), 64);
	assert_int_equal(pipe_set_slots(1024 * 1024), 128);
	assert_int_equal(pipe_set_slots(128 * 1024), 16);
	assert_int_equal(pipe_set_slots(64 * 1024), 16); // never fewer than any pipe has
}

/* Large fragments: one call takes more than 4 KiB for each slot, as long as slots are left. */
static void splice_in_fills_all_slots(void **state)
{
	(void)state;
	enum {
		SLOTS = 16,
		FRAGMENT = 16384
	};
	struct pipe p;
	static uint8_t bytes[SLOTS * FRAGMENT], got[SLOTS * FRAGMENT];
	struct socket_pair pair;
	size_t n, filled = 0;
	int err;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 253);
	assert_int_equal(pipe_open(&p, SLOTS), 0);
	assert_int_equal(socket_pair_open(&pair), 0);
	for (size_t at = 0; at < 10 * FRAGMENT; at += FRAGMENT) {
		assert_int_equal(socket_pair_send(&pair, bytes + at, FRAGMENT, &n, &err),
				 PIPE_IO_OK);
		assert_int_equal(n, FRAGMENT);
	}
	assert_int_equal(pipe_splice_in(&p, pair.splice_fd, 10 * FRAGMENT, &n, &err), PIPE_IO_OK);
	assert_int_equal(n, 10 * FRAGMENT);
	assert_int_equal(p.held_bytes, 10 * FRAGMENT); // 160 KiB in a pipe of "64 KiB"
	while (filled < 10 * FRAGMENT) {
		assert_int_equal(pipe_read(&p, got + filled, sizeof(got) - filled, &n, &err),
				 PIPE_IO_OK);
		filled += n;
	}
	assert_memory_equal(got, bytes, 10 * FRAGMENT);
	socket_pair_close(&pair);
	pipe_close(&p);
}

/* A segment's worth of bytes of memory, with a header's slot to spare, fits one pipe. */
static void compacted_bytes_take_few_slots(void **state)
{
	struct pipe_set *set = &((struct rig *)*state)->set;
	const size_t length = 64 * 1024;
	uint8_t *bytes = malloc(length), *got = malloc(length);
	struct pipe pipe;
	size_t filled = 0, n;
	int err;

	assert_non_null(bytes);
	assert_non_null(got);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i * 11 + i / 241);
	assert_int_equal(compact_bytes(set, bytes, length, &pipe, 1), 1);
	assert_int_equal(density_look(set, &pipe, length), length); // in four slots or fewer
	while (filled < length) {
		assert_int_equal(pipe_read(&pipe, got + filled, length - filled, &n, &err),
				 PIPE_IO_OK);
		filled += n;
	}
	assert_memory_equal(got, bytes, length);
	assert_int_equal(set->pair.held_bytes, 0);
	pipe_pool_put_drained(&set->pool, &pipe);
	free(bytes);
	free(got);
}

static void sees_how_densely_bytes_lie(void **state)
{
	struct pipe_set *set = &((struct rig *)*state)->set;
	struct pipe pipe;
	size_t n;
	int err;

	assert_int_equal(pipe_pool_get(&set->pool, &pipe), 0);
	for (int i = 0; i < 8; i++) {
		static const _Alignas(4096) uint8_t page[4096]; // else a piece may lie in two

		assert_int_equal(pipe_gift(&pipe, page, 1448, &n, &err), PIPE_IO_OK);
	}
	assert_int_equal(density_look(set, &pipe, pipe.held_bytes), 1448);
	assert_int_equal(density_look(set, &pipe, pipe.held_bytes), 1448); // nothing is left behind
	assert_int_equal(density_look(set, &pipe, 3000), 3000); // in fewer than four slots
	assert_int_equal(pipe.held_bytes, 8 * 1448);
	assert_int_equal(set->look_pipe.held_bytes, 0);
	pipe_pool_put_drained(&set->pool, &pipe);
}

static void sleeps_without_pipes(void **state)
{
	struct pipe_set *set = &((struct rig *)*state)->set;
	struct pipe pipe;

	assert_false(set->has_pipes);
	assert_int_equal(set->pool.open_count, 0);
	pipe_set_open(set);
	pipe_set_open(set);
	assert_true(set->has_pipes);
	assert_int_equal(set->copy_pipe.slots, 16);
	assert_int_equal(set->pool.open_count, 1);
	assert_int_equal(pipe_pool_get(&set->pool, &pipe), 0);
	pipe_pool_put_drained(&set->pool, &pipe);
	pipe_set_sleep(set);
	assert_false(set->has_pipes);
	assert_int_equal(set->pool.open_count, 0);
}

static void empties_the_copy_pipe(void **state)
{
	struct pipe_set *set = &((struct rig *)*state)->set;
	size_t put = 0;
	int err = 0;

	pipe_set_open(set);
	assert_int_equal(pipe_write(&set->copy_pipe, "left", 4, &put, &err), PIPE_IO_OK);
	pipe_set_empty_copy_pipe(set);
	assert_int_equal(set->copy_pipe.held_bytes, 0);
	assert_true(set->has_pipes);
	assert_int_equal(set->pool.open_count, 1);
}

static void tells_that_there_is_no_pipe(void **state)
{
	struct rig *rig = *state;
	struct rlimit limit, none;
	uint64_t now_ms;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	pipe_set_open(&rig->set);
	now_ms = clock_mono_ns() / NS_PER_MS;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_false(rig->set.has_pipes);
	assert_int_equal(rig->no_pipes, 1);
	assert_int_equal(rig->last_error, -EMFILE);
	pipe_set_tick(&rig->set, now_ms); /* not yet */
	assert_false(rig->set.has_pipes);
	pipe_set_tick(&rig->set, now_ms + RETRY_MS);
	assert_true(rig->set.has_pipes);
	assert_int_equal(rig->no_pipes, 1);
}

static void tells_each_refusal(void **state)
{
	struct rig *rig = *state;

	pipe_set_note_refusal(&rig->set, REFUSAL_TEE);
	pipe_set_note_refusal(&rig->set, REFUSAL_TEE);
	pipe_set_note_refusal(&rig->set, REFUSAL_VMSPLICE);
	assert_int_equal(rig->refusals, 3);
	assert_int_equal(rig->first_refusals, 2);
	assert_int_equal(rig->last_refusal, REFUSAL_VMSPLICE);
	assert_int_equal(rig->metrics.refused_calls, 3);
	assert_true(rig->set.refused[REFUSAL_TEE]);
	assert_false(rig->set.refused[REFUSAL_SPLICE_OUT]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pipes_have_a_slot_for_each_8_kib),
		cmocka_unit_test(splice_in_fills_all_slots),
		cmocka_unit_test_setup_teardown(compacted_bytes_take_few_slots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sees_how_densely_bytes_lie, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sleeps_without_pipes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(empties_the_copy_pipe, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tells_that_there_is_no_pipe, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tells_each_refusal, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
