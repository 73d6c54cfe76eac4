// SPDX-License-Identifier: MIT
/* Compressing while zlib has no memory: the packet comes all the same, as it is, and the next one
 * is compressed again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "packet/encoder.h"
#include "tests/fault/wrap.h"
#include "tests/unit/inflate_rig.h"

enum {
	LINES = 40,
};

static const struct framing_params framing = {.kind = FRAMING_LINE, .max_message = 1 << 20};
/* Long enough to be compressed among others. */
#define WORDS "one line of text, and one line of text, "
static const char line[] = WORDS WORDS WORDS WORDS WORDS WORDS WORDS "\n";

/* What the encoder makes of the lines, in the words of its plain twin. */
static struct inflate_wire encode(const struct encoder *encoder)
{
	const struct packet packet = {.type = PACKET_DATA,
				      .count = LINES,
				      .first_seq = 1,
				      .length = LINES * strlen(line)};
	uint8_t payload[LINES * sizeof(line)];
	struct inflate_wire wire;
	uint8_t *out;
	size_t bytes;

	for (size_t i = 0; i < LINES; i++)
		memcpy(payload + i * strlen(line), line, strlen(line));
	out = encoder->rewrite(encoder, &packet, &framing, payload, &bytes);
	if (out) {
		wire = format_row(encoder->format)->coding == FORMAT_CODING_GZIP
			       ? inflate_rig_chunks(out, bytes)
			       : inflate_rig_frames(out, bytes);
		free(out);
		return wire;
	}
	assert_true(bytes == ENCODER_AS_IT_IS); // header and payload
	wire = (struct inflate_wire){.bytes = malloc(ENCODER_HEADER_MAX + packet.length)};
	assert_non_null(wire.bytes);
	wire.size = encoder->header(encoder, &packet, wire.bytes);
	memcpy(wire.bytes + wire.size, payload, packet.length);
	wire.size += packet.length;
	return wire;
}

static void without_memory_to_compress_it_goes_as_it_is(void **state)
{
	unsigned formats = 0;

	(void)state;
	for (enum format format = 0; format < FORMAT_COUNT; format++) {
		const struct encoder *encoder = encoder_of(format);
		struct inflate_wire usual, failed, again;

		if (format_row(format)->coding == FORMAT_CODING_IDENTITY)
			continue;
		formats++;
		wrap_reset();
		usual = encode(encoder);
		assert_true(usual.compressed > 0);
		wrap_fail_once(WRAP_DEFLATE_INIT, 1, ENOMEM);
		failed = encode(encoder);
		assert_int_equal(wrap_count(WRAP_DEFLATE_INIT), 2);
		assert_int_equal(failed.compressed, 0);
		again = encode(encoder);
		assert_int_equal(again.compressed, usual.compressed);
		assert_int_equal(failed.size, usual.size);
		assert_memory_equal(failed.bytes, usual.bytes, usual.size);
		free(usual.bytes);
		free(failed.bytes);
		free(again.bytes);
	}
	assert_int_equal(formats, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_memory_to_compress_it_goes_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
