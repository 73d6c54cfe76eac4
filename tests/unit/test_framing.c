// SPDX-License-Identifier: MIT
/*
 * Where messages end, however the stream is cut.
 *
 * The truth is the maker of the stream, which writes down where it ended each message. Every walk
 * gets its visible bytes in an allocation of just that size, so that a sanitizer build shows any
 * look at an earlier, later or unseen byte; a scan can therefore not read anything twice either.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "packet/framing.h"
#include "tests/unit/framing_copy.h"

#define STREAM_ROOM 65536
#define BODY_MAX    300

struct stream {
	struct framing_params params;
	uint8_t bytes[STREAM_ROOM];
	size_t size;
	size_t ends[STREAM_ROOM]; // ascending
	size_t end_count;
};

static const enum framing_kind delimited[] = {
	FRAMING_LINE,  FRAMING_FIXED, FRAMING_U16BE, FRAMING_U16LE, FRAMING_U32BE,
	FRAMING_U32LE, FRAMING_NUL,   FRAMING_CR,    FRAMING_CRLF,  FRAMING_OCTET_COUNTED,
};

static uint32_t random_next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static size_t random_below(uint32_t *seed, size_t limit)
{
	return random_next(seed) % limit;
}

// --- making streams

static size_t prefix_size(enum framing_kind kind)
{
	if (kind == FRAMING_OCTET_COUNTED)
		return 3; // of a body of 10 to 99 bytes
	if (kind == FRAMING_U16BE || kind == FRAMING_U16LE)
		return 2;
	return kind == FRAMING_U32BE || kind == FRAMING_U32LE ? 4 : 0;
}

static void put_byte(struct stream *stream, uint8_t byte)
{
	assert_true(stream->size < STREAM_ROOM);
	stream->bytes[stream->size++] = byte;
}

static void put_prefix(struct stream *stream, size_t body)
{
	enum framing_kind kind = stream->params.kind;
	size_t size = prefix_size(kind);

	if (kind == FRAMING_OCTET_COUNTED) {
		stream->size += (size_t)snprintf((char *)stream->bytes + stream->size,
						 STREAM_ROOM - stream->size, "%zu ", body);
		return;
	}
	for (size_t i = 0; i < size; i++) {
		size_t place = kind == FRAMING_U16LE || kind == FRAMING_U32LE ? i : size - 1 - i;

		put_byte(stream, (uint8_t)(body >> 8 * place));
	}
}

// The body holds bytes that would be ends and length prefixes to a scan that is out of step.
static uint8_t random_byte(const struct stream *stream, uint32_t *seed)
{
	const struct framing_row *row = framing_row(stream->params.kind);
	uint8_t byte = (uint8_t)random_below(seed, 14);

	if (row->end_bytes == 1 && byte == row->end[0])
		return 'x';
	if (row->end_bytes == 2 && byte == row->end[1] && stream->size &&
	    stream->bytes[stream->size - 1] == row->end[0])
		return 'x';
	return byte;
}

static void put_message(struct stream *stream, size_t body, uint32_t *seed)
{
	const struct framing_row *row = framing_row(stream->params.kind);

	if (stream->params.kind == FRAMING_OCTET_COUNTED)
		body = size_max(body, 1);
	put_prefix(stream, body);
	for (size_t i = 0; i < body; i++)
		put_byte(stream, random_byte(stream, seed));
	for (size_t i = 0; i < row->end_bytes; i++)
		put_byte(stream, (uint8_t)row->end[i]);
	stream->ends[stream->end_count++] = stream->size;
}

static size_t random_body(const struct stream *stream, uint32_t *seed)
{
	if (stream->params.kind == FRAMING_FIXED)
		return stream->params.fixed_bytes;
	return random_below(seed, random_below(seed, 4) ? 6 : BODY_MAX);
}

// `messages` messages, then sometimes the beginning of one more.
static void make_stream(struct stream *stream, enum framing_kind kind, size_t messages,
			uint32_t *seed)
{
	stream->params = (struct framing_params){
		.kind = kind,
		.fixed_bytes = 1 + (uint32_t)random_below(seed, 40),
		.max_message = random_below(seed, 2) ? BODY_MAX : 1 << 20,
	};
	stream->size = 0;
	stream->end_count = 0;
	for (size_t i = 0; i < messages; i++)
		put_message(stream, random_body(stream, seed), seed);
	if (random_below(seed, 2)) {
		size_t begin = stream->size;

		put_message(stream, random_body(stream, seed), seed);
		stream->end_count--;
		stream->size = begin + random_below(seed, stream->size - begin);
	}
}

// --- what a walk must say

static size_t ends_within(const struct stream *stream, size_t from, size_t to, size_t *ret_last)
{
	size_t count = 0;

	*ret_last = 0;
	for (size_t i = 0; i < stream->end_count; i++) {
		if (stream->ends[i] <= from || stream->ends[i] > to)
			continue;
		*ret_last = stream->ends[i] - from;
		count++;
	}
	return count;
}

static size_t unfinished_at(const struct stream *stream, size_t at)
{
	size_t begin = 0;

	for (size_t i = 0; i < stream->end_count && stream->ends[i] <= at; i++)
		begin = stream->ends[i];
	return at - begin;
}

// One walk from `at`; returns how far it went.
static size_t walk_checked(struct framing_scan *scan, const struct stream *stream, size_t at,
			   size_t visible, size_t all)
{
	struct framing_walk walk;
	size_t last;

	walk_copy(scan, stream->bytes + at, visible, all, &walk);
	assert_int_equal(walk.fault, FRAMING_OK);
	assert_true(walk.walked_bytes >= visible && walk.walked_bytes <= all);
	assert_int_equal(walk.messages, ends_within(stream, at, at + walk.walked_bytes, &last));
	assert_int_equal(walk.whole_bytes, last);
	assert_int_equal(scan->message_bytes, unfinished_at(stream, at + walk.walked_bytes));
	assert_int_equal(framing_is_between(scan), scan->message_bytes == 0);
	return walk.walked_bytes;
}

// --- every way to cut

static void walk_in_pieces(const struct stream *stream, size_t piece)
{
	struct framing_scan scan;

	framing_scan_init(&scan, &stream->params);
	for (size_t at = 0; at < stream->size;) {
		size_t n = size_min(piece, stream->size - at);

		assert_int_equal(walk_checked(&scan, stream, at, n, n), n);
		at += n;
	}
}

static void pieces_of_any_size_give_the_same_ends(void **state)
{
	static struct stream stream;
	uint32_t seed = 1;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(delimited); i++) {
		make_stream(&stream, delimited[i], 20, &seed);
		for (size_t piece = 1; piece <= stream.size; piece++)
			walk_in_pieces(&stream, piece);
	}
}

static void two_walks_cut_anywhere_give_the_same_ends(void **state)
{
	static struct stream stream;
	uint32_t seed = 2;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(delimited); i++) {
		make_stream(&stream, delimited[i], 12, &seed);
		for (size_t cut = 0; cut <= stream.size; cut++) {
			struct framing_scan scan;

			framing_scan_init(&scan, &stream.params);
			walk_checked(&scan, &stream, 0, cut, cut);
			walk_checked(&scan, &stream, cut, stream.size - cut, stream.size - cut);
		}
	}
}

// As the splice path does it: look ahead with a copy of the scan, take some of that, say what.
static void look_and_take(const struct stream *stream, uint32_t *seed)
{
	struct framing_scan scan;

	framing_scan_init(&scan, &stream->params);
	for (size_t at = 0; at < stream->size;) {
		size_t queued = 1 + random_below(seed, stream->size - at);
		size_t window = random_below(seed, 2) ? 64 : 16384;
		size_t visible = size_min(queued, 1 + random_below(seed, window));
		struct framing_scan ahead = scan;
		size_t room = walk_checked(&ahead, stream, at, visible, queued);
		size_t taken = 1 + random_below(seed, room);

		assert_int_equal(walk_checked(&scan, stream, at, size_min(visible, taken), taken),
				 taken);
		at += taken;
	}
}

static void takes_shorter_than_the_look_give_the_same_ends(void **state)
{
	static struct stream stream;
	uint32_t seed = 3;

	(void)state;
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < ARRAY_LEN(delimited); i++) {
			size_t most = round % 10 ? 25 : 600;

			make_stream(&stream, delimited[i], 1 + random_below(&seed, most), &seed);
			look_and_take(&stream, &seed);
		}
	}
}

// --- unseen bytes

static void a_known_length_reaches_into_the_unseen(void **state)
{
	const struct framing_params params = {.kind = FRAMING_U32BE, .max_message = 1 << 20};
	const uint8_t head[] = {0, 1, 0, 0};
	struct framing_scan scan;
	struct framing_walk walk;

	(void)state;
	framing_scan_init(&scan, &params);
	walk_copy(&scan, head, sizeof(head), 1000, &walk);
	assert_int_equal(walk.walked_bytes, 1000);
	assert_int_equal(walk.whole_bytes, 0);
	assert_int_equal(scan.need_bytes, 65536 - 996);
	framing_walk(&scan, NULL, 0, 100000,
		     &walk); // ends at the message's end: what follows is unknown
	assert_int_equal(walk.walked_bytes, 65536 - 996);
	assert_int_equal(walk.whole_bytes, 65536 - 996);
	assert_int_equal(walk.messages, 1);
	assert_true(framing_is_between(&scan));
}

static void a_cut_prefix_is_not_walked_beyond_what_is_seen(void **state)
{
	const struct framing_params params = {.kind = FRAMING_U32LE, .max_message = 100};
	const uint8_t head[] = {1, 0, 0, 0};
	struct framing_scan scan;
	struct framing_walk walk;

	(void)state;
	framing_scan_init(&scan, &params);
	walk_copy(&scan, head, 3, 500, &walk);
	assert_int_equal(walk.walked_bytes, 3);
	assert_false(framing_is_between(&scan));
	framing_walk(&scan, NULL, 0, 497, &walk);
	assert_int_equal(walk.walked_bytes, 0);
	walk_copy(&scan, head + 3, 1, 497, &walk);
	assert_int_equal(walk.walked_bytes, 2);
	assert_int_equal(walk.messages, 1);
}

static void an_unseen_line_is_not_walked(void **state)
{
	const struct framing_params params = {.kind = FRAMING_LINE, .max_message = 100};
	struct framing_scan scan;
	struct framing_walk walk;

	(void)state;
	framing_scan_init(&scan, &params);
	walk_copy(&scan, (const uint8_t *)"ab\ncd", 5, 500, &walk);
	assert_int_equal(walk.walked_bytes, 5);
	assert_int_equal(walk.whole_bytes, 3);
	walk_copy(&scan, (const uint8_t *)"", 0, 495, &walk);
	assert_int_equal(walk.walked_bytes, 0);
	assert_int_equal(scan.message_bytes, 2);
}

static void fixed_needs_no_bytes(void **state)
{
	const struct framing_params params = {.kind = FRAMING_FIXED, .fixed_bytes = 188};
	struct framing_scan scan;
	struct framing_walk walk;

	(void)state;
	framing_scan_init(&scan, &params);
	framing_walk(&scan, NULL, 0, 100, &walk);
	assert_int_equal(walk.whole_bytes, 0);
	assert_int_equal(scan.need_bytes, 88);
	framing_walk(&scan, NULL, 0, 1880, &walk);
	assert_int_equal(walk.walked_bytes, 1880);
	assert_int_equal(walk.messages, 10);
	assert_int_equal(walk.whole_bytes, 1780);
	assert_int_equal(scan.message_bytes, 100);
}

static void without_framing_a_walk_is_a_message(void **state)
{
	const struct framing_params params = {.kind = FRAMING_NONE, .max_message = 1};
	struct framing_scan scan;
	struct framing_walk walk;

	(void)state;
	framing_scan_init(&scan, &params);
	for (size_t n = 1; n <= 1 << 20; n *= 4) {
		framing_walk(&scan, NULL, 0, n, &walk);
		assert_int_equal(walk.fault, FRAMING_OK);
		assert_int_equal(walk.messages, 1);
		assert_int_equal(walk.whole_bytes, n);
		assert_int_equal(walk.walked_bytes, n);
		assert_true(framing_is_between(&scan));
	}
}

// Packets are read header by header elsewhere.
static void relay_packets_are_not_walked(void **state)
{
	const struct framing_params params = {.kind = FRAMING_RELAY, .max_message = 100};
	const uint8_t bytes[64] = "RLY1";
	struct framing_scan scan;
	struct framing_walk walk;

	(void)state;
	framing_scan_init(&scan, &params);
	walk_copy(&scan, bytes, sizeof(bytes), sizeof(bytes), &walk);
	assert_int_equal(walk.walked_bytes, 0);
	assert_int_equal(walk.messages, 0);
	assert_int_equal(walk.fault, FRAMING_OK);
}

static void nothing_is_no_message(void **state)
{
	(void)state;
	for (int kind = FRAMING_NONE; kind < FRAMING_COUNT; kind++) {
		const struct framing_params params = {
			.kind = (enum framing_kind)kind, .fixed_bytes = 1, .max_message = 1};
		struct framing_scan scan;
		struct framing_walk walk;

		framing_scan_init(&scan, &params);
		walk_copy(&scan, (const uint8_t *)"", 0, 0, &walk);
		assert_int_equal(walk.walked_bytes, 0);
		assert_int_equal(walk.messages, 0);
		assert_int_equal(walk.fault, FRAMING_OK);
		assert_true(framing_is_between(&scan));
	}
}

// --- faults

// Two good messages and one of max_message + 1.
static void make_faulty(struct stream *stream, enum framing_kind kind, uint32_t *seed)
{
	*stream = (struct stream){.params = {.kind = kind, .max_message = 10}};
	put_message(stream, 10, seed);
	put_message(stream, 0, seed);
	put_message(stream, 11, seed);
	stream->end_count--;
}

// However the stream is cut: the good ones come first, then the fault, as soon as it can be known.
static void too_long_is_said_behind_what_is_whole(void **state)
{
	static struct stream stream;
	uint32_t seed = 4;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(delimited); i++) {
		if (delimited[i] == FRAMING_FIXED)
			continue;
		make_faulty(&stream, delimited[i], &seed);
		for (size_t piece = 1; piece <= stream.size; piece++) {
			size_t good = stream.ends[1];
			size_t known = good + (framing_row(delimited[i])->end_bytes
						       ? 10 + framing_row(delimited[i])->end_bytes
						       : prefix_size(delimited[i]));
			struct framing_walk walk = {0};
			struct framing_scan scan;
			uint32_t messages = 0;
			size_t at = 0;
			size_t end = 0;

			framing_scan_init(&scan, &stream.params);
			while (walk.fault == FRAMING_OK) {
				end = size_min(size_max(end, at + 1) + piece - 1, stream.size);
				assert_true(end > at);
				walk_copy(&scan, stream.bytes + at, end - at, end - at, &walk);
				assert_true(walk.fault == FRAMING_OK || walk.messages == 0);
				messages += walk.messages;
				if (walk.fault == FRAMING_OK)
					at += walk.walked_bytes;
			}
			assert_int_equal(walk.fault, FRAMING_TOO_LONG);
			assert_int_equal(messages, 2);
			assert_true(at >= good && at < known);
		}
	}
}

static void the_longest_message_is_no_fault(void **state)
{
	static struct stream stream;
	uint32_t seed = 5;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(delimited); i++) {
		if (delimited[i] == FRAMING_FIXED)
			continue;
		stream = (struct stream){.params = {.kind = delimited[i], .max_message = 10}};
		for (int n = 0; n < 5; n++)
			put_message(&stream, 10, &seed);
		for (size_t piece = 1; piece <= stream.size; piece++)
			walk_in_pieces(&stream, piece);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_of_any_size_give_the_same_ends),
		cmocka_unit_test(two_walks_cut_anywhere_give_the_same_ends),
		cmocka_unit_test(takes_shorter_than_the_look_give_the_same_ends),
		cmocka_unit_test(a_known_length_reaches_into_the_unseen),
		cmocka_unit_test(a_cut_prefix_is_not_walked_beyond_what_is_seen),
		cmocka_unit_test(an_unseen_line_is_not_walked),
		cmocka_unit_test(fixed_needs_no_bytes),
		cmocka_unit_test(without_framing_a_walk_is_a_message),
		cmocka_unit_test(relay_packets_are_not_walked),
		cmocka_unit_test(nothing_is_no_message),
		cmocka_unit_test(too_long_is_said_behind_what_is_whole),
		cmocka_unit_test(the_longest_message_is_no_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
