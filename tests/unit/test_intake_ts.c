// SPDX-License-Identifier: MIT
/* Transport streams by every engine: whole packets, found again after a break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "table/close_reason.h"
#include "tests/unit/intake_rig.h"
#include "tests/unit/ts_rig.h"

enum {
	PACKETS = 60,
	SIZE = PACKETS * TS_PACKET_BYTES,
	DATAGRAM_BYTES = 7 * TS_PACKET_BYTES,
};

static const size_t pieces[] = {1, 100, 187, 188, 189, 500, DATAGRAM_BYTES, 1448, 4000, SIZE};

static void publish(struct intake_rig *rig, const uint8_t *bytes, size_t length, size_t piece)
{
	for (size_t at = 0; at < length; at += piece)
		intake_rig_take_all(rig, bytes + at, size_min(piece, length - at));
}

static void expect(const struct intake_rig *rig, const uint8_t *bytes, size_t length)
{
	assert_int_equal(rig->length, length);
	assert_memory_equal(rig->bytes, bytes, length);
	assert_int_equal(rig->last.length % TS_PACKET_BYTES, 0);
	assert_int_equal(rig->last.count * TS_PACKET_BYTES, rig->last.length);
}

#define FOR_EVERY_CUT(engine, i)                                                                   \
	for (int engine = 0; engine < ENGINE_COUNT; engine++)                                      \
		for (size_t i = 0; i < ARRAY_LEN(pieces); i++)

static void every_packet_comes_however_it_is_cut(void **state)
{
	uint8_t *bytes = ts_rig_make(PACKETS, 1);

	(void)state;
	FOR_EVERY_CUT(engine, i)
	{
		struct intake_rig *rig = intake_rig_open(FRAMING_TS, (enum engine)engine);

		publish(rig, bytes, SIZE, pieces[i]);
		expect(rig, bytes, SIZE - TS_PACKET_BYTES);
		assert_true(intake_is_between(&rig->intake));
		assert_false(intake_is_empty(&rig->intake));
		assert_true(intake_finish(&rig->intake, false));
		expect(rig, bytes, SIZE);
		assert_true(intake_is_empty(&rig->intake));
		assert_false(intake_finish(&rig->intake, false));
		publish(rig, bytes, SIZE, pieces[i]);
		assert_int_equal(rig->length, 2 * SIZE - TS_PACKET_BYTES);
		assert_int_equal(rig->metrics.unsynced_bytes + rig->metrics.sync_losses, 0);
		intake_rig_close(rig);
	}
	free(bytes);
}

/* Once the packets are found, the engine that was wanted carries them. */
static void in_sync_the_payload_is_not_seen(void **state)
{
	struct intake_rig *rig = intake_rig_open(FRAMING_TS, ENGINE_SPLICE);
	uint8_t *bytes = ts_rig_make(PACKETS, 2);

	(void)state;
	publish(rig, bytes, DATAGRAM_BYTES, DATAGRAM_BYTES);
	assert_int_equal(rig->kind, PAYLOAD_COPY);
	publish(rig, bytes + DATAGRAM_BYTES, SIZE - DATAGRAM_BYTES, DATAGRAM_BYTES);
	assert_int_equal(rig->kind, PAYLOAD_PIPES);
	expect(rig, bytes, SIZE - TS_PACKET_BYTES);
	intake_rig_close(rig);
	free(bytes);
}

static void garbage_and_breaks_are_passed_over(void **state)
{
	const size_t broken = (size_t)30 * TS_PACKET_BYTES, garbage = 100, lost = 60;
	uint8_t *bytes = ts_rig_make(PACKETS, 3);
	uint8_t sent[SIZE + 100], whole[SIZE];
	size_t at = garbage + broken + 90;

	(void)state;
	memset(sent, 0x11, garbage);
	memcpy(sent + garbage, bytes, SIZE);
	memmove(sent + at, sent + at + lost, SIZE + garbage - at - lost);
	memcpy(whole, bytes, broken);
	memcpy(whole + broken, bytes + broken + TS_PACKET_BYTES, SIZE - broken - TS_PACKET_BYTES);
	FOR_EVERY_CUT(engine, i)
	{
		struct intake_rig *rig = intake_rig_open(FRAMING_TS, (enum engine)engine);

		publish(rig, sent, SIZE + garbage - lost, pieces[i]);
		assert_true(intake_finish(&rig->intake, false));
		expect(rig, whole, SIZE - TS_PACKET_BYTES);
		assert_int_equal(rig->metrics.sync_losses, 1);
		assert_int_equal(rig->metrics.unsynced_bytes, garbage + TS_PACKET_BYTES - lost);
		intake_rig_close(rig);
	}
	free(bytes);
}

/* The next one may begin anywhere. */
static void another_source_is_searched_anew(void **state)
{
	uint8_t *bytes = ts_rig_make(PACKETS, 4);

	(void)state;
	FOR_EVERY_CUT(engine, i)
	{
		struct intake_rig *rig = intake_rig_open(FRAMING_TS, (enum engine)engine);

		publish(rig, bytes, DATAGRAM_BYTES + 100, pieces[i]);
		assert_int_equal(intake_reset(&rig->intake), 100);
		rig->length = 0;
		publish(rig, bytes + 20, SIZE - 20, pieces[i]);
		expect(rig, bytes + TS_PACKET_BYTES, SIZE - 2 * TS_PACKET_BYTES);
		intake_rig_close(rig);
	}
	free(bytes);
}

static void other_distances_end_the_publisher(void **state)
{
	static const struct {
		size_t distance;
		enum close_reason reason;
	} rows[] = {{192, CLOSE_TS_192}, {204, CLOSE_TS_204}};
	uint8_t *packets = ts_rig_make(10, 5);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct intake_rig *rig = intake_rig_open(FRAMING_TS, ENGINE_SPLICE);
		size_t length = 10 * rows[i].distance;
		uint8_t *sent = calloc(1, length);
		int err = 0;

		assert_non_null(sent);
		for (size_t n = 0; n < 10; n++)
			memcpy(sent + n * rows[i].distance, packets + n * TS_PACKET_BYTES,
			       TS_PACKET_BYTES);
		assert_int_equal(write(rig->publisher_fd, sent, length), length);
		assert_int_equal(intake_take(&rig->intake, &rig->source, &err), INTAKE_FAULT);
		assert_int_equal(err, rows[i].reason);
		assert_int_equal(rig->packets, 0);
		free(sent);
		intake_rig_close(rig);
	}
	free(packets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_packet_comes_however_it_is_cut),
		cmocka_unit_test(in_sync_the_payload_is_not_seen),
		cmocka_unit_test(garbage_and_breaks_are_passed_over),
		cmocka_unit_test(another_source_is_searched_anew),
		cmocka_unit_test(other_distances_end_the_publisher),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
