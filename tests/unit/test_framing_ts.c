// SPDX-License-Identifier: MIT
/* Packets of a transport stream, wherever it begins, breaks and is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "tests/unit/sync_reader.h"
#include "tests/unit/ts_rig.h"

enum {
	PACKETS = 12,
	SIZE = PACKETS * TS_PACKET_BYTES,
};

static void expect(const struct sync_reader *reader, const uint8_t *bytes, size_t count)
{
	assert_int_equal(reader->fault, FRAMING_OK);
	assert_int_equal(reader->got_bytes, count);
	assert_memory_equal(reader->got, bytes, count);
}

static void pieces_of_any_size_give_the_same_packets(void **state)
{
	uint8_t *bytes = ts_rig_make(PACKETS, 1);
	static struct sync_reader reader;

	(void)state;
	for (size_t piece = 1; piece <= SIZE; piece++) {
		sync_reader_read(&reader, FRAMING_TS, bytes, SIZE, piece);
		expect(&reader, bytes, SIZE);
		assert_int_equal(reader.passed, 0);
		assert_int_equal(reader.losses, 0);
	}
	free(bytes);
}

// The last packet may be torn: only a look behind it, or silence, shows that it is not.
static void a_packet_waits_for_the_next_one(void **state)
{
	uint8_t *bytes = ts_rig_make(PACKETS, 2);
	static struct sync_reader reader;

	(void)state;
	sync_reader_init(&reader, FRAMING_TS);
	sync_reader_take(&reader, bytes, SIZE);
	assert_int_equal(reader.got_bytes, SIZE - TS_PACKET_BYTES);
	assert_true(framing_is_between(&reader.scan));
	assert_true(framing_finish(&reader.scan, false));
	assert_false(framing_finish(&reader.scan, false));
	assert_false(framing_is_out_of_sync(&reader.scan));
	free(bytes);
}

// As the splice path does it: the look goes farther than the walk.
static void what_is_seen_behind_a_walk_ends_a_packet(void **state)
{
	const struct framing_params params = sync_reader_params(FRAMING_TS);
	uint8_t *bytes = ts_rig_make(3, 3);
	struct framing_scan scan;
	struct framing_walk walk;

	(void)state;
	framing_scan_init(&scan, &params);
	scan.is_in_sync = true;
	framing_walk(&scan, bytes, TS_PACKET_BYTES + 1, TS_PACKET_BYTES, &walk);
	assert_int_equal(walk.messages, 1);
	assert_int_equal(walk.whole_bytes, TS_PACKET_BYTES);
	framing_walk(&scan, bytes + TS_PACKET_BYTES, TS_PACKET_BYTES, TS_PACKET_BYTES, &walk);
	assert_int_equal(walk.messages, 0);
	framing_walk(&scan, bytes + 2 * TS_PACKET_BYTES, 1, 0, &walk);
	assert_int_equal(walk.messages, 1);
	assert_int_equal(walk.walked_bytes, 0);
	framing_walk(&scan, NULL, 0, 500, &walk); // where a packet begins has to be seen
	assert_int_equal(walk.walked_bytes, 0);
	free(bytes);
}

static void garbage_before_is_passed_over(void **state)
{
	uint8_t *packets = ts_rig_make(PACKETS, 4);
	static uint8_t bytes[SIZE + 1000];
	static struct sync_reader reader;

	(void)state;
	memset(bytes, 0x11, sizeof(bytes));
	for (size_t garbage = 1; garbage < 1000; garbage += garbage < 200 ? 1 : 111) {
		memcpy(bytes + garbage, packets, SIZE);
		bytes[garbage / 2] = 0x47; // alone, it says nothing
		for (size_t piece = 1; piece <= garbage + SIZE; piece += 37) {
			sync_reader_read(&reader, FRAMING_TS, bytes, garbage + SIZE, piece);
			expect(&reader, packets, SIZE);
			assert_int_equal(reader.passed, garbage);
		}
		memset(bytes, 0x11, garbage);
	}
	free(packets);
}

static void a_stream_may_begin_inside_a_packet(void **state)
{
	uint8_t *bytes = ts_rig_make(PACKETS, 5);
	static struct sync_reader reader;

	(void)state;
	for (size_t from = 1; from < TS_PACKET_BYTES; from++) {
		sync_reader_read(&reader, FRAMING_TS, bytes + from, SIZE - from, 1 + from % 400);
		expect(&reader, bytes + TS_PACKET_BYTES, SIZE - TS_PACKET_BYTES);
	}
	free(bytes);
}

// A payload that has 0x47 in the same place of each packet.  Its header would be none, or would
// count no packets.
static void a_payload_that_looks_like_syncs_is_seen_through(void **state)
{
	static const uint8_t lies[][5] = {
		{0x47, 0x47, 0x47, 0x47, 0x47}, /* no payload, no adaptation field */
		{0x47, 0x00, 0x11, 0x00, 0x00},
		{0x47, 0x00, 0x11, 0x35, 0xb8}, /* a field of more than the packet  */
		{0x47, 0x00, 0x11, 0x10, 0x00}, /* does not count                   */
	};
	uint8_t *bytes = ts_rig_make(PACKETS, 6);
	static struct sync_reader reader;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		for (size_t at = 50; at + 5 < TS_PACKET_BYTES; at += 20) {
			for (size_t n = 0; n < PACKETS; n++) {
				ts_rig_put(bytes + n * TS_PACKET_BYTES, 4 * (unsigned)n, 6);
				bytes[n * TS_PACKET_BYTES + 3] = 0x10 | (n & 0xf);
				memcpy(bytes + n * TS_PACKET_BYTES + at, lies[i], 5);
			}
			sync_reader_read(&reader, FRAMING_TS, bytes + 40, SIZE - 40, 1 + at);
			expect(&reader, bytes + TS_PACKET_BYTES, SIZE - TS_PACKET_BYTES);
		}
	}
	free(bytes);
}

// Without `lost` bytes from `at` on.  Whole packets come, and no other byte.
static void check_loss(const uint8_t *bytes, size_t at, size_t lost, size_t piece)
{
	static uint8_t sent[SIZE], whole[SIZE];
	static struct sync_reader reader;
	size_t before = at / TS_PACKET_BYTES * TS_PACKET_BYTES;
	size_t behind = (at + lost + TS_PACKET_BYTES - 1) / TS_PACKET_BYTES * TS_PACKET_BYTES;
	size_t torn = behind - before - lost;

	memcpy(sent, bytes, at);
	memcpy(sent + at, bytes + at + lost, SIZE - at - lost);
	memcpy(whole, bytes, before);
	memcpy(whole + before, bytes + behind, SIZE - behind);
	sync_reader_read(&reader, FRAMING_TS, sent, SIZE - lost, piece);
	expect(&reader, whole, SIZE - (behind - before));
	assert_int_equal(reader.passed, torn);
	assert_int_equal(reader.losses, torn > 0);
}

static void lost_bytes_tear_no_more_than_their_packets(void **state)
{
	uint8_t *bytes = ts_rig_make(PACKETS, 7);

	(void)state;
	for (size_t at = 4 * TS_PACKET_BYTES + 1; at < 5 * TS_PACKET_BYTES; at += 11) {
		for (size_t lost = 1; lost < 3 * TS_PACKET_BYTES; lost += 31) {
			size_t broken = at / TS_PACKET_BYTES * TS_PACKET_BYTES + TS_PACKET_BYTES;

			check_loss(bytes, at, lost, SIZE);
			check_loss(bytes, at, lost, 1);
			check_loss(bytes, at, lost, 1316);
			check_loss(bytes, at, lost, at + 1);
			check_loss(bytes, at, lost, broken); // a cut where it seems whole
		}
	}
	free(bytes);
}

static void bytes_too_many_are_passed_over(void **state)
{
	uint8_t *bytes = ts_rig_make(PACKETS, 8);
	static uint8_t sent[SIZE + 500];
	static struct sync_reader reader;
	const size_t at = 5 * TS_PACKET_BYTES;

	(void)state;
	for (size_t extra = 1; extra < 500; extra += 7) {
		memcpy(sent, bytes, at);
		memset(sent + at, 0x22, extra);
		memcpy(sent + at + extra, bytes + at, SIZE - at);
		for (size_t piece = 1; piece < SIZE; piece += 97) {
			sync_reader_read(&reader, FRAMING_TS, sent, SIZE + extra, piece);
			/* The one before them cannot be told from a torn one. */
			assert_int_equal(reader.got_bytes, SIZE - TS_PACKET_BYTES);
			assert_memory_equal(reader.got, bytes, at - TS_PACKET_BYTES);
			assert_memory_equal(reader.got + at - TS_PACKET_BYTES, bytes + at,
					    SIZE - at);
			assert_int_equal(reader.losses, 1);
			assert_int_equal(reader.passed, extra + TS_PACKET_BYTES);
		}
	}
	free(bytes);
}

// Longer packets: `front` bytes before each, or behind it.
static void check_distance(size_t front, size_t behind, enum framing_fault fault)
{
	const size_t distance = front + TS_PACKET_BYTES + behind;
	uint8_t *packets = ts_rig_make(PACKETS, 9);
	static uint8_t bytes[PACKETS * 204];
	static struct sync_reader reader;

	memset(bytes, 0x33, sizeof(bytes));
	for (size_t i = 0; i < PACKETS; i++)
		memcpy(bytes + i * distance + front, packets + i * TS_PACKET_BYTES,
		       TS_PACKET_BYTES);
	for (size_t from = 0; from < distance; from += 13) {
		for (size_t piece = 1; piece < 2000; piece += 131) {
			sync_reader_read(&reader, FRAMING_TS, bytes + from,
					 PACKETS * distance - from, piece);
			assert_int_equal(reader.fault, fault);
			assert_int_equal(reader.got_bytes, 0);
		}
	}
	free(packets);
}

static void other_distances_are_named(void **state)
{
	(void)state;
	check_distance(4, 0, FRAMING_TS_192);
	check_distance(0, 4, FRAMING_TS_192);
	check_distance(0, 16, FRAMING_TS_204);
}

static void noise_is_no_stream(void **state)
{
	static uint8_t bytes[8000];
	static struct sync_reader reader;
	uint32_t seed = 10;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(seed >> 24);
	}
	sync_reader_read(&reader, FRAMING_TS, bytes, sizeof(bytes), 100);
	assert_int_equal(reader.fault, FRAMING_OK);
	assert_int_equal(reader.got_bytes, 0);
	assert_true(reader.rest_bytes <= 1024);
	assert_int_equal(reader.passed + reader.rest_bytes, sizeof(bytes));
}

// Published bytes hold whole packets, of which each ends by itself.
static void published_packets_are_told_apart(void **state)
{
	const struct framing_params params = sync_reader_params(FRAMING_TS);
	uint8_t *bytes = ts_rig_make(2, 11);

	(void)state;
	assert_int_equal(framing_message_bytes(&params, bytes, (size_t)2 * TS_PACKET_BYTES),
			 TS_PACKET_BYTES);
	assert_int_equal(framing_message_bytes(&params, bytes, TS_PACKET_BYTES), TS_PACKET_BYTES);
	free(bytes);
}

struct start {
	size_t number; // of the packet
	enum media_start media_start;
};

// However the stream is cut, a walk ends before what a player begins with.
static void check_starts(const uint8_t *bytes, const struct start *starts, size_t count)
{
	static struct sync_reader reader;

	for (size_t piece = 1; piece <= SIZE; piece += piece < 400 ? 1 : 37) {
		sync_reader_read(&reader, FRAMING_TS, bytes, SIZE, piece);
		expect(&reader, bytes, SIZE);
		assert_int_equal(reader.start_count, count);
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(reader.starts[i].at, starts[i].number * TS_PACKET_BYTES);
			assert_int_equal(reader.starts[i].media_start, starts[i].media_start);
		}
	}
}

static uint8_t *packet_of(uint8_t *bytes, size_t number)
{
	return bytes + number * TS_PACKET_BYTES;
}

// Every fourth packet is sound, whose frames are all marked as key frames.
static void a_player_begins_with_tables_or_pictures(void **state)
{
	static const struct start starts[] = {
		{0, MEDIA_START_TABLES},    {2, MEDIA_START_KEY_FRAME},  {6, MEDIA_START_TABLES},
		{8, MEDIA_START_KEY_FRAME}, {11, MEDIA_START_KEY_FRAME},
	};
	uint8_t *bytes = ts_rig_make(PACKETS, 12);

	(void)state;
	ts_rig_begin_tables(packet_of(bytes, 0));
	ts_rig_begin_pes(packet_of(bytes, 2), TS_RIG_VIDEO, 7, true);
	ts_rig_begin_pes(packet_of(bytes, 3), TS_RIG_AUDIO, 1, true);
	ts_rig_begin_pes(packet_of(bytes, 5), TS_RIG_VIDEO, 7, false); // no key frame
	ts_rig_begin_tables(packet_of(bytes, 6));
	ts_rig_begin_pes(packet_of(bytes, 7), TS_RIG_AUDIO, 7, true);
	ts_rig_begin_pes(packet_of(bytes, 8), TS_RIG_VIDEO, 170, true); // much before the payload
	// A field that leaves no room for the start code, or is the whole of it.
	ts_rig_begin_pes(packet_of(bytes, 9), TS_RIG_VIDEO, 177, false);
	packet_of(bytes, 11)[1] = TS_RIG_VIDEO_PID >> 8;
	packet_of(bytes, 11)[2] = TS_RIG_VIDEO_PID & 0xff;
	packet_of(bytes, 11)[3] = 0x27;
	packet_of(bytes, 11)[4] = 183;
	packet_of(bytes, 11)[5] = 0x40;
	check_starts(bytes, starts, ARRAY_LEN(starts));
	free(bytes);
}

static void without_pictures_sound_has_key_frames(void **state)
{
	static const struct start starts[] = {{3, MEDIA_START_KEY_FRAME},
					      {7, MEDIA_START_KEY_FRAME}};
	uint8_t *bytes = ts_rig_make(PACKETS, 13);

	(void)state;
	ts_rig_begin_pes(packet_of(bytes, 3), TS_RIG_AUDIO, 1, true);
	ts_rig_begin_pes(packet_of(bytes, 7), TS_RIG_AUDIO, 7, true);
	check_starts(bytes, starts, ARRAY_LEN(starts));
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_of_any_size_give_the_same_packets),
		cmocka_unit_test(a_packet_waits_for_the_next_one),
		cmocka_unit_test(what_is_seen_behind_a_walk_ends_a_packet),
		cmocka_unit_test(garbage_before_is_passed_over),
		cmocka_unit_test(a_stream_may_begin_inside_a_packet),
		cmocka_unit_test(a_payload_that_looks_like_syncs_is_seen_through),
		cmocka_unit_test(lost_bytes_tear_no_more_than_their_packets),
		cmocka_unit_test(bytes_too_many_are_passed_over),
		cmocka_unit_test(other_distances_are_named),
		cmocka_unit_test(noise_is_no_stream),
		cmocka_unit_test(published_packets_are_told_apart),
		cmocka_unit_test(a_player_begins_with_tables_or_pictures),
		cmocka_unit_test(without_pictures_sound_has_key_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
