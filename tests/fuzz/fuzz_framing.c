// SPDX-License-Identifier: MIT
/*
 * Where messages end, and relay's own packet header.
 *
 * The first bytes choose a framing and its limits, the others are the stream, walked in pieces that
 * follow from it.  All of them are taken for a transport stream, and for frames of RTCM 3 and
 * Beast, too.  Ends of messages must be the same as those of a walk byte by byte; a header that is
 * accepted is written again as it was.
 */
#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"
#include "base/packet_header.h"
#include "packet/framing.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/frame_rig.h"
#include "tests/unit/sync_reader.h"

#define EXPECT(condition) fuzz_expect(condition, #condition)

struct ends {
	uint32_t messages;
	size_t last;
	enum framing_fault fault;
};

// Walks in pieces of 1 to `most` bytes that can be seen; what was not walked comes again.
static struct ends walk(const struct framing_params *params, const uint8_t *bytes, size_t count,
			uint32_t seed, size_t most)
{
	struct ends ends = {0};
	struct framing_scan scan;

	framing_scan_init(&scan, params);
	EXPECT(framing_is_between(&scan));
	for (size_t at = 0; at < count && ends.fault == FRAMING_OK;) {
		size_t piece = size_min(1 + (seed >> 8) % most, count - at);
		struct framing_walk step;

		seed = seed * 1664525 + 1013904223;
		framing_walk(&scan, bytes + at, piece, piece, &step);
		EXPECT(step.walked_bytes <= piece);
		EXPECT(step.whole_bytes <= step.walked_bytes);
		EXPECT((step.messages == 0) == (step.whole_bytes == 0));
		EXPECT(step.messages <= FRAMING_MESSAGES_MAX);
		EXPECT(step.walked_bytes > 0 || step.fault != FRAMING_OK);
		EXPECT(step.fault == FRAMING_OK || step.messages == 0);
		EXPECT(!framing_is_between(&scan) || step.walked_bytes == step.whole_bytes);
		if (step.messages > 0) {
			ends.last = at + step.whole_bytes;
			ends.messages += step.messages;
		}
		ends.fault = step.fault;
		at += step.walked_bytes;
	}
	return ends;
}

static void check_walks(const uint8_t *bytes, size_t count)
{
	static const enum framing_kind kinds[] = {
		FRAMING_LINE,  FRAMING_FIXED, FRAMING_U16BE, FRAMING_U16LE, FRAMING_U32BE,
		FRAMING_U32LE, FRAMING_NUL,   FRAMING_CR,    FRAMING_CRLF,  FRAMING_OCTET_COUNTED,
	};
	struct framing_params params = {
		.kind = kinds[bytes[0] % ARRAY_LEN(kinds)],
		.fixed_bytes = 1 + bytes[1] % 40,
		.max_message = bytes[2] % 8 ? 1 + bytes[2] : UINT32_MAX,
	};
	uint32_t hash = fuzz_hash(bytes, count);
	struct ends one = walk(&params, bytes + 3, count - 3, 0, 1);
	struct ends other = walk(&params, bytes + 3, count - 3, hash, 1 + hash % 64);

	EXPECT(one.messages == other.messages);
	EXPECT(one.last == other.last);
	EXPECT(one.fault == other.fault);
}

// Packets of a transport stream are the same however it is cut, and whole.
static void check_ts(const uint8_t *bytes, size_t count)
{
	static struct sync_reader one, other;

	count = size_min(count, SYNC_READER_ROOM);
	sync_reader_read(&one, FRAMING_TS, bytes, count, 1 + fuzz_hash(bytes, count) % 1500);
	sync_reader_read(&other, FRAMING_TS, bytes, count, count);
	EXPECT(one.got_bytes % TS_PACKET_BYTES == 0);
	for (size_t at = 0; at < one.got_bytes; at += TS_PACKET_BYTES)
		EXPECT(one.got[at] == 0x47);
	EXPECT(one.fault == other.fault);
	EXPECT(one.got_bytes == other.got_bytes);
	EXPECT(memcmp(one.got, other.got, one.got_bytes) == 0);
	EXPECT(one.passed == other.passed && one.losses == other.losses);
	EXPECT(one.start_count == other.start_count);
	for (size_t i = 0; i < one.start_count; i++)
		EXPECT(one.starts[i].at == other.starts[i].at &&
		       one.starts[i].media_start == other.starts[i].media_start);
}

// A frame has the CRC of code that goes bit by bit.
static void check_rtcm3(const struct sync_reader *read)
{
	size_t at = 0;
	uint32_t count = 0;

	while (at < read->got_bytes) {
		const uint8_t *frame = read->got + at;
		size_t body = (size_t)(frame[1] << 8 | frame[2]);

		EXPECT(frame[0] == 0xd3 && body < 1024 && at + 6 + body <= read->got_bytes);
		EXPECT(frame_rig_crc(frame, 6 + body) == 0);
		at += 6 + body;
		count++;
	}
	EXPECT(count == read->messages);
}

// Frames are the same however the stream is cut.
static void check_frames(enum framing_kind kind, const uint8_t *bytes, size_t count)
{
	static struct sync_reader one, other;

	count = size_min(count, SYNC_READER_ROOM);
	sync_reader_read(&one, kind, bytes, count, 1 + fuzz_hash(bytes, count) % 100);
	sync_reader_read(&other, kind, bytes, count, count);
	EXPECT(one.got_bytes == other.got_bytes && one.messages == other.messages);
	EXPECT(memcmp(one.got, other.got, one.got_bytes) == 0);
	EXPECT(one.passed == other.passed && one.losses == other.losses);
	EXPECT(one.got_bytes + one.passed + one.rest_bytes == count);
	if (kind == FRAMING_RTCM3)
		check_rtcm3(&one);
}

static void check_header(const uint8_t *bytes)
{
	uint8_t again[PACKET_HEADER_BYTES];
	struct packet_header header;

	if (packet_header_decode(bytes, &header) != 0)
		return;
	packet_header_encode(&header, again);
	EXPECT(memcmp(bytes, again, sizeof(again)) == 0);
	EXPECT(header.type <= PACKET_SOURCE_UP && packet_type_name(header.type));
	EXPECT(header.type == PACKET_DATA || (header.count == 0 && header.length == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	if (count >= 4)
		check_walks(bytes, count);
	if (count > 0) {
		check_ts(bytes, count);
		check_frames(FRAMING_RTCM3, bytes, count);
		check_frames(FRAMING_BEAST, bytes, count);
	}
	if (count >= PACKET_HEADER_BYTES)
		check_header(bytes);
	return 0;
}
