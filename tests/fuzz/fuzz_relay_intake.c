// SPDX-License-Identifier: MIT
/*
 * framing = relay, whole: a publisher's bytes go through intake, numbers and rings to a subscriber
 * of the framed format.
 *
 * The first byte chooses the engine, and how the bytes are cut; the others are what one publisher
 * sends after another.  The subscriber's stream must hold together, header by header: what is
 * missing is announced, nothing comes twice, and each session has its end.  And it is the same
 * whatever the engine is and however the bytes came.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/feed_rig.h"
#include "tools/relaycat/packet_check.h"
#include "tools/relaycat/packet_reader.h"

#define EXPECT(condition) fuzz_expect(condition, #condition)

// Stands in the bytes between two publishers.
static const char next_publisher[] = "<next>";

static struct feed_rig rig;

// What the subscriber got.
struct got {
	uint8_t *bytes; // malloc'ed; sessions of the feed's own and its own times are left out
	size_t size;
};

static void publish(const uint8_t *bytes, size_t count, size_t chunk)
{
	if (rig.source.fd < 0)
		feed_rig_connect_source(&rig, false);
	rig.chunk_bytes = chunk;
	feed_rig_publish(&rig, bytes, count);
	rig.left_bytes = 0; // what a fault has left
	if (rig.source.fd >= 0)
		feed_rig_end_source(&rig);
}

static void publish_all(const uint8_t *bytes, size_t count, size_t chunk)
{
	const size_t mark = sizeof next_publisher - 1;

	for (;;) {
		const uint8_t *end = memmem(bytes, count, next_publisher, mark);
		size_t here = end ? (size_t)(end - bytes) : count;

		publish(bytes, here, chunk);
		if (!end)
			return;
		bytes += here + mark;
		count -= here + mark;
	}
}

static void add(struct got *got, const void *bytes, size_t count)
{
	memcpy(got->bytes + got->size, bytes, count);
	got->size += count;
}

// Takes the stream apart, as relaycat --verify does.
static struct got check(const struct rig_reader *reader)
{
	struct got got = {.bytes = malloc(2 * reader->size + 1)};
	struct packet_reader packets = {0};
	struct packet_check order = {0};
	struct errmsg error;

	EXPECT(got.bytes != NULL);
	for (size_t at = 0, used; at < reader->size; at += used) {
		struct packet_piece piece;

		EXPECT(packet_reader_next(&packets, reader->bytes + at, reader->size - at, &used,
					  &piece) == 0);
		add(&got, piece.payload ? piece.payload : (const uint8_t *)"", piece.payload_bytes);
		if (!piece.is_header)
			continue;
		if (packet_check_add(&order, &packets.header, &error) < 0)
			fuzz_expect(0, error.text);
		add(&got, &packets.header.type, sizeof packets.header.type);
		add(&got, &packets.header.count, sizeof packets.header.count);
		add(&got, &packets.header.length, sizeof packets.header.length);
		add(&got, &packets.header.sequence, sizeof packets.header.sequence);
	}
	EXPECT(packet_reader_is_between(&packets));
	EXPECT(!order.is_open);
	return got;
}

static struct got run(enum engine engine, const uint8_t *bytes, size_t count, size_t chunk)
{
	struct feed_params params = feed_rig_params(FRAMING_RELAY, engine);
	struct got got;
	size_t reader;

	params.framing.max_message = 1 << 16;
	feed_rig_open(&rig, &params, false);
	reader = feed_rig_join(&rig, true, false, 0, NULL);
	publish_all(bytes, count, chunk);
	feed_rig_settle(&rig);
	feed_rig_check_metrics(&rig);
	got = check(&rig.readers[reader]);
	feed_rig_close(&rig);
	return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	struct got one, other;

	if (count == 0)
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	one = run(ENGINE_COPY, bytes + 1, count - 1, SIZE_MAX);
	other = run((enum engine)(bytes[0] % (ENGINE_COUNT + 1)), bytes + 1, count - 1,
		    1 + fuzz_hash(bytes, count) % 100);
	EXPECT(one.size == other.size && memcmp(one.bytes, other.bytes, one.size) == 0);
	free(one.bytes);
	free(other.bytes);
	return 0;
}
