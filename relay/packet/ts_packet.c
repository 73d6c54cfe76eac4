// SPDX-License-Identifier: MIT
/*
 * Finding the packets of a transport stream, and what begins in them.
 *
 * Places are looked at in the order of the stream.  Each is judged by the bytes behind it alone,
 * and only when all of those are there.  So cuts of the stream make no difference.
 */
#include "packet/ts_packet.h"

#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"
#include "table/framing.h"

enum {
	SYNCS = 3,
	SYNCS_OF_OTHERS = 5,
	LOOK_BYTES = SYNCS * TS_PACKET_BYTES, /* to be sure which of two places is right */
	PAT_PID = 0,
	NULL_PID = 0x1fff, /* its packets have no counter             */
};

enum verdict {
	NO,
	YES,
	OPEN, /* more bytes are needed */
};

/* Are there `wanted` sync bytes from the first byte on, so far apart? */
static enum verdict has_syncs(const uint8_t *bytes, size_t count, size_t distance, unsigned wanted)
{
	for (size_t i = 0; i < wanted; i++) {
		if (i * distance >= count)
			return OPEN;
		if (bytes[i * distance] != TS_SYNC_BYTE)
			return NO;
	}
	return YES;
}

/* ---- headers: what speaks for a packet that begins here ---- */

static unsigned pid_of(const uint8_t *packet)
{
	return (packet[1] & 0x1fu) << 8 | packet[2];
}

static bool has_adaptation_field(const uint8_t *packet)
{
	return packet[3] & 0x20;
}

static bool has_payload(const uint8_t *packet)
{
	return packet[3] & 0x10;
}

/* The first five bytes. */
static bool is_header(const uint8_t *packet)
{
	if (!has_adaptation_field(packet))
		return has_payload(packet);
	return has_payload(packet) ? packet[4] <= 182 : packet[4] == 183;
}

/* Of two packets of the same PID, the second has the next number. */
static bool counts_on(const uint8_t *packet, const uint8_t *next)
{
	return pid_of(packet) == pid_of(next) && pid_of(packet) != NULL_PID && has_payload(next) &&
	       ((packet[3] + 1) & 0xf) == (next[3] & 0xf);
}

/* Of three sync bytes.  The third header is left out: it may lie behind what is looked at. */
static unsigned merits_of(const uint8_t *bytes)
{
	const uint8_t *next = bytes + TS_PACKET_BYTES;

	return 2u * is_header(bytes) + 2u * is_header(next) + counts_on(bytes, next);
}

/* Of LOOK_BYTES, where the first is a sync byte by all signs: which one within a packet's length is
 * so by the most.  A payload may repeat 0x47 in the same place. */
static size_t best_of_packet(const uint8_t *bytes)
{
	unsigned most = merits_of(bytes);
	size_t best = 0;

	for (size_t at = 1; at < TS_PACKET_BYTES; at++) {
		if (has_syncs(bytes + at, LOOK_BYTES - at, TS_PACKET_BYTES, SYNCS) != YES ||
		    merits_of(bytes + at) <= most)
			continue;
		most = merits_of(bytes + at);
		best = at;
	}
	return best;
}

/* ---- the search ---- */

/* What is known of the first byte, which is a sync byte.  *ret_more: it is to be passed over. */
static enum ts_found judge(const uint8_t *bytes, size_t count, bool *ret_more)
{
	enum verdict is_188 = has_syncs(bytes, count, TS_PACKET_BYTES, SYNCS);
	enum verdict is_192, is_204;

	*ret_more = false;
	if (is_188 == YES)
		return count < LOOK_BYTES ? TS_FOUND_NONE : TS_FOUND_188;
	if (is_188 == OPEN)
		return TS_FOUND_NONE;
	is_192 = has_syncs(bytes, count, 192, SYNCS_OF_OTHERS);
	is_204 = has_syncs(bytes, count, 204, SYNCS_OF_OTHERS);
	if (is_192 == YES)
		return TS_FOUND_192;
	if (is_204 == YES)
		return TS_FOUND_204;
	*ret_more = is_192 == NO && is_204 == NO;
	return TS_FOUND_NONE;
}

enum ts_found ts_find_packets(const uint8_t *bytes, size_t count, size_t *ret_passed)
{
	enum ts_found found = TS_FOUND_NONE;
	bool is_more = true;
	size_t at = 0;

	while (is_more && at < count) {
		const uint8_t *sync = memchr(bytes + at, TS_SYNC_BYTE, count - at);

		at = sync ? (size_t)(sync - bytes) : count;
		if (!sync)
			break;
		found = judge(sync, count - at, &is_more);
		at += is_more;
	}
	if (found == TS_FOUND_188)
		at += best_of_packet(bytes + at);
	*ret_passed = at;
	return found;
}

/* ---- what begins in a packet ---- */

static bool begins_payload(const uint8_t *packet)
{
	return (packet[1] & 0x40) && has_payload(packet);
}

/* Of an adaptation field with flags. */
static bool has_random_access(const uint8_t *packet)
{
	return has_adaptation_field(packet) && packet[4] > 0 && (packet[5] & 0x40);
}

static size_t payload_offset(const uint8_t *packet)
{
	return has_adaptation_field(packet) ? 5u + packet[4] : 4;
}

/* Bytes that the head consists of, as far as that is known. */
static size_t head_bytes(const struct ts_head *head)
{
	const uint8_t *packet = head->bytes;
	size_t bytes = 4;

	if (head->seen < bytes)
		return bytes;
	if (has_adaptation_field(packet)) {
		if (head->seen < ++bytes)
			return bytes;
		bytes += packet[4] > 0;
	}
	if (begins_payload(packet))
		bytes = size_max(bytes, payload_offset(packet) + sizeof(head->payload));
	return size_min(bytes, TS_PACKET_BYTES);
}

bool ts_head_is_complete(const struct ts_head *head)
{
	return head->seen >= head_bytes(head);
}

size_t ts_head_take(struct ts_head *head, const uint8_t *bytes, size_t count)
{
	size_t taken = 0;

	while (taken < count && !ts_head_is_complete(head)) {
		uint8_t byte = bytes[taken++];

		if (head->seen < sizeof(head->bytes))
			head->bytes[head->seen] = byte;
		if (head->seen >= 4 && head->seen >= payload_offset(head->bytes) &&
		    head->seen < payload_offset(head->bytes) + sizeof(head->payload))
			head->payload[head->seen - payload_offset(head->bytes)] = byte;
		head->seen++;
	}
	return taken;
}

static bool is_video(const struct ts_head *head)
{
	return begins_payload(head->bytes) && head->payload[0] == 0 && head->payload[1] == 0 &&
	       head->payload[2] == 1 && (head->payload[3] & 0xf0) == 0xe0;
}

enum media_start ts_media_start(const struct ts_head *head, struct ts_video *video)
{
	unsigned pid = pid_of(head->bytes);

	if (is_video(head))
		*video = (struct ts_video){.is_known = true, .pid = (uint16_t)pid};
	if (pid == PAT_PID)
		return begins_payload(head->bytes) ? MEDIA_START_TABLES : MEDIA_START_NONE;
	if (!has_random_access(head->bytes) || (video->is_known && pid != video->pid))
		return MEDIA_START_NONE;
	return MEDIA_START_KEY_FRAME;
}
