// SPDX-License-Identifier: MIT
/*
 * Encoders that compress, held against zlib's inflate: a reader who begins with any packet gets
 * what the plain format says, byte for byte, whatever is in the packets; and nothing becomes longer
 * than it would have been.
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
#include "packet/deflate_blocks.h"
#include "packet/encoder.h"
#include "tests/unit/inflate_rig.h"
#include "tests/unit/rig_random.h"

enum {
	PACKETS = 40,
	PACKET_BYTES = 200000,
	STORED_HEAD = 5,
};

static const struct framing_params line = {.kind = FRAMING_LINE, .max_message = 1 << 20};

struct sample {
	struct packet packet;
	uint8_t *payload;
};

/* A line of JSON, of noise, or nothing but its end. */
static size_t write_line(uint64_t *seed, uint8_t *out)
{
	size_t bytes = rig_random_below(seed, 300);

	switch (rig_random_below(seed, 5)) {
	case 0:
		out[0] = '\n';
		return 1;
	case 1:
		for (size_t i = 0; i < bytes; i++)
			out[i] = (uint8_t)(11 + rig_random_below(seed, 245));
		out[bytes] = '\n';
		return bytes + 1;
	case 2:
		return (size_t)sprintf((char *)out, "{\"symbol\":\"%0300u\",\"price\":%u}\n", 7,
				       (unsigned)rig_random_below(seed, 100000));
	default:
		return (size_t)sprintf((char *)out,
				       "{\"symbol\":\"ABC\",\"price\":%u,\"size\":%u}\n",
				       (unsigned)rig_random_below(seed, 100000),
				       (unsigned)rig_random_below(seed, 1000));
	}
}

static struct sample make_sample(uint64_t *seed, uint64_t first_seq)
{
	size_t most = rig_random_below(seed, 4) ? 2000 : PACKET_BYTES;
	size_t wanted = 1 + rig_random_below(seed, most);
	struct sample sample = {.payload = malloc(PACKET_BYTES + 1000)};

	assert_non_null(sample.payload);
	sample.packet = (struct packet){.type = PACKET_DATA, .session = 9, .first_seq = first_seq};
	while (sample.packet.length < wanted) {
		sample.packet.length += write_line(seed, sample.payload + sample.packet.length);
		sample.packet.count++;
	}
	return sample;
}

/* As publishing puts it together; malloc'ed. */
static uint8_t *encode(const struct encoder *encoder, const struct packet *packet,
		       const uint8_t *payload, size_t *ret_bytes)
{
	uint8_t header[ENCODER_HEADER_MAX], *out = NULL;

	*ret_bytes = ENCODER_AS_IT_IS;
	if (encoder->rewrite && packet->type == PACKET_DATA)
		out = encoder->rewrite(encoder, packet, &line, payload, ret_bytes);
	if (out)
		return out;
	assert_true(*ret_bytes == ENCODER_AS_IT_IS);
	*ret_bytes = encoder->header(encoder, packet, header);
	out = malloc(*ret_bytes + packet->length + 1);
	assert_non_null(out);
	memcpy(out, header, *ret_bytes);
	if (packet->length)
		memcpy(out + *ret_bytes, payload, packet->length);
	*ret_bytes += packet->length;
	return out;
}

/* What has no chunks and is not compressed. */
static const struct encoder *plain_of(enum format format)
{
	if (format_row(format)->carrier == FORMAT_CARRIER_WEBSOCKET)
		return encoder_of(format_coded(format, FORMAT_CODING_IDENTITY));
	return format_is_events(format) ? &encoder_events_plain : &encoder_raw;
}

static struct inflate_wire inflate_wire(enum format format, const uint8_t *wire, size_t size)
{
	if (format_row(format)->coding == FORMAT_CODING_DEFLATE)
		return inflate_rig_frames(wire, size);
	return inflate_rig_chunks(wire, size);
}

struct stream {
	uint8_t *bytes;
	size_t size;
	size_t starts[2 * PACKETS]; // of packets and news
};

static void put(struct stream *stream, size_t at, const struct encoder *encoder,
		const struct packet *packet, const uint8_t *payload)
{
	size_t bytes;
	uint8_t *wire = encode(encoder, packet, payload, &bytes);

	stream->starts[at] = stream->size;
	stream->bytes = realloc(stream->bytes, stream->size + bytes + 1);
	assert_non_null(stream->bytes);
	memcpy(stream->bytes + stream->size, wire, bytes);
	stream->size += bytes;
	free(wire);
}

/* Data, and between them all kinds of news. */
static struct stream make_stream(const struct encoder *encoder, const struct sample *samples)
{
	static const enum packet_type news[] = {PACKET_HEARTBEAT, PACKET_GAP, PACKET_SOURCE_DOWN,
						PACKET_SOURCE_UP, PACKET_END};
	struct stream stream = {.bytes = NULL};

	for (size_t i = 0; i < PACKETS; i++) {
		const struct packet *packet = &samples[i].packet;
		const struct packet said = {.type = news[i % ARRAY_LEN(news)],
					    .session = 9,
					    .first_seq = packet_next_seq(packet),
					    .time_ns = packet_next_seq(packet)};

		put(&stream, 2 * i, encoder, packet, samples[i].payload);
		put(&stream, 2 * i + 1, encoder, &said, NULL);
	}
	return stream;
}

static void a_reader_of_any_packet_gets_what_is_plain(void **state)
{
	uint64_t seed = 17, next_seq = 1;
	struct sample samples[PACKETS];
	unsigned formats = 0;

	(void)state;
	for (size_t i = 0; i < PACKETS; i++) {
		samples[i] = make_sample(&seed, next_seq);
		next_seq = packet_next_seq(&samples[i].packet);
	}
	for (enum format format = 0; format < FORMAT_COUNT; format++) {
		struct stream plain, compressed, alone;

		if (format_row(format)->coding == FORMAT_CODING_IDENTITY)
			continue;
		formats++;
		plain = make_stream(plain_of(format), samples);
		compressed = make_stream(encoder_of(format), samples);
		alone = make_stream(encoder_for_one(encoder_of(format)), samples);
		assert_true(compressed.size < plain.size);
		for (size_t i = 0; i < 2 * PACKETS; i++) {
			size_t from = plain.starts[i];

			for (int is_alone = 0; is_alone < 2; is_alone++) {
				const struct stream *wire = is_alone ? &alone : &compressed;
				struct inflate_wire got =
					inflate_wire(format, wire->bytes + wire->starts[i],
						     wire->size - wire->starts[i]);

				assert_int_equal(got.size, plain.size - from);
				if (got.size)
					assert_memory_equal(got.bytes, plain.bytes + from,
							    got.size);
				if (is_alone)
					assert_int_equal(got.compressed, 0);
				free(got.bytes);
			}
		}
		free(plain.bytes);
		free(compressed.bytes);
		free(alone.bytes);
	}
	assert_int_equal(formats, 10);
	for (size_t i = 0; i < PACKETS; i++)
		free(samples[i].payload);
}

static void what_gains_nothing_goes_as_it_is(void **state)
{
	static const char *const texts[] = {"\n", "a\n", "ab\n", "{\"a\":1}\n",
					    "abcdefghijklmnopqrst\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const struct packet packet = {.type = PACKET_DATA,
					      .count = 1,
					      .first_seq = 1,
					      .length = strlen(texts[i])};
		const uint8_t *payload = (const uint8_t *)texts[i];
		size_t bytes, plain_bytes;
		uint8_t *wire = encode(&encoder_websocket_deflate, &packet, payload, &bytes);
		uint8_t *plain = encode(&encoder_websocket, &packet, payload, &plain_bytes);

		assert_int_equal(bytes, plain_bytes);
		assert_memory_equal(wire, plain, bytes);
		free(wire);
		free(plain);
		wire = encode(&encoder_chunked_gzip, &packet, payload, &bytes);
		// A chunk of less than 256 bytes, with one stored block.
		assert_int_equal(bytes, (packet.length + STORED_HEAD < 16 ? 3 : 4) + STORED_HEAD +
						packet.length + 2);
		free(wire);
	}
}

static struct inflate_wire compress_messages(const char *text, uint16_t count)
{
	const struct packet packet = {
		.type = PACKET_DATA, .count = count, .first_seq = 1, .length = strlen(text)};
	struct inflate_wire got;
	size_t bytes;
	uint8_t *wire =
		encode(&encoder_websocket_messages_deflate, &packet, (const uint8_t *)text, &bytes);

	got = inflate_rig_frames(wire, bytes);
	free(wire);
	free(got.bytes);
	return got;
}

/* From 256 bytes on, its end included, a message is compressed whatever stands beside it. */
static void a_short_message_is_compressed_alone_only(void **state)
{
	char text[600];

	(void)state;
	(void)sprintf(text, "%0100u\n", 7);
	assert_int_equal(compress_messages(text, 1).compressed, 1);
	(void)sprintf(text, "%0100u\n%0200u\n", 7, 7);
	assert_int_equal(compress_messages(text, 2).compressed, 0);
	(void)sprintf(text, "%0254u\n%0254u\n", 7, 7);
	assert_int_equal(compress_messages(text, 2).compressed, 0);
	(void)sprintf(text, "%0254u\n%0255u\n", 7, 7);
	assert_int_equal(compress_messages(text, 2).compressed, 1);
}

/* Stored blocks have at most 65,535 bytes. */
static void a_long_piece_is_stored_in_blocks(void **state)
{
	static const size_t counts[] = {1, 65534, 65535, 65536, 131070, 131071};
	uint64_t seed = 5;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		const struct packet packet = {.type = PACKET_DATA, .length = counts[i]};
		uint8_t *noise = malloc(counts[i]);
		struct inflate_wire got;
		uint8_t *wire;
		size_t bytes;

		for (size_t k = 0; k < counts[i]; k++)
			noise[k] = (uint8_t)rig_random(&seed);
		assert_int_equal(deflate_store(noise, counts[i], NULL),
				 counts[i] + STORED_HEAD * ((counts[i] + 65534) / 65535));
		wire = encode(&encoder_chunked_gzip, &packet, noise, &bytes);
		got = inflate_rig_chunks(wire, bytes);
		assert_int_equal(got.size, counts[i]);
		assert_memory_equal(got.bytes, noise, counts[i]);
		free(got.bytes);
		free(wire);
		free(noise);
	}
}

/* With the largest numbers; the last chunk comes behind them. */
static void first_and_last_words_are_stored(void **state)
{
	const struct packet place = {
		.type = PACKET_HEARTBEAT, .session = UINT32_MAX, .first_seq = UINT64_MAX};
	const struct encoder *encoder = &encoder_events_gzip;
	uint8_t out[ENCODER_HEADER_MAX];
	struct inflate_wire got;
	size_t bytes = encoder->greeting(encoder, &place, UINT32_MAX, out);

	(void)state;
	assert_true(bytes <= sizeof(out));
	got = inflate_rig_chunks(out, bytes);
	got.bytes[got.size] = '\0';
	assert_string_equal(got.bytes,
			    "id: 4294967295-18446744073709551614\nretry: 4294967295\n\n");
	free(got.bytes);
	bytes = encoder->farewell(encoder, CLOSE_DRAIN, &place, 7, out);
	assert_memory_equal(out + bytes - 5, "0\r\n\r\n", 5);
	got = inflate_rig_chunks(out, bytes);
	got.bytes[got.size] = '\0';
	assert_string_equal(got.bytes, "retry: 7\n\n");
	free(got.bytes);
	assert_int_equal(encoder->farewell(encoder, CLOSE_LAG, &place, 7, out), 0);
	encoder = &encoder_chunked_gzip;
	assert_null(encoder->greeting);
	assert_int_equal(encoder->farewell(encoder, CLOSE_DRAIN, &place, 7, out), 5);
	assert_memory_equal(out, "0\r\n\r\n", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reader_of_any_packet_gets_what_is_plain),
		cmocka_unit_test(what_gains_nothing_goes_as_it_is),
		cmocka_unit_test(a_short_message_is_compressed_alone_only),
		cmocka_unit_test(a_long_piece_is_stored_in_blocks),
		cmocka_unit_test(first_and_last_words_are_stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
