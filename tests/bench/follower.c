// SPDX-License-Identifier: MIT
/*
 * Where a follower stands is kept twice: as a place, which counting moves on, and as the state of
 * its reader, which comparing moves on. Whoever moved last is right; seek() and place_of() carry it
 * over to the other.
 */
#include "follower.h"

#include <errno.h>
#include <string.h>

#define COMPARED_BYTES (UINT64_C(64) << 10)
#define COMPARED_EVERY 64
#define LOOKED_BYTES   256
/* A frame that is looked for is recognised by its head, its stamp and some bytes of the pattern. */
#define KNOWN_BY_BYTES (READER_STAMP_BYTES + 8)
/* Pings between two reads that are compared: each stands for a second of silence. */
#define NOTICES_MAX 4

void follower_init(struct follower *follower, const struct stream *stream, int fd)
{
	*follower = (struct follower){
		.reader = {.fd = fd, .size = stream->size}, .is_following = true, .is_whole = true};
}

/* --- the two ways to say where a follower stands
 * ----------------------------------------------- */

/* Puts the reader where `place` says. */
static void seek(const struct stream *stream, struct follower *follower)
{
	struct reader *reader = &follower->reader;
	uint64_t at = follower->place % stream->frame;

	follower->next = follower->place / stream->frame;
	follower->is_whole = at <= stream->head;
	reader->have = 0;
	reader->frame = (struct dialect_frame){0};
	reader->payload_at = 0;
	if (at < stream->head) {
		memcpy(reader->head, stream->head_bytes, at);
		reader->have = (uint32_t)at;
	} else if (at < stream->head + stream->size) {
		reader->payload_at = at - stream->head;
		reader->frame.payload = stream->size - reader->payload_at;
		reader->frame.tail = (uint32_t)stream->tail;
		reader->frame.is_message = true;
	} else {
		reader->frame.tail = (uint32_t)(stream->frame - at);
		reader->frame.is_message = true;
		follower->next++;
		follower->is_whole = true;
	}
}

/* The place at which the reader stands. */
static uint64_t place_of(const struct stream *stream, const struct follower *follower)
{
	const struct reader *reader = &follower->reader;
	uint64_t begin = follower->next * stream->frame;

	if (!reader->frame.payload && !reader->frame.tail)
		return begin + reader->have;
	if (!reader->frame.is_message)
		return begin;
	if (reader->frame.payload)
		return begin + stream->head + reader->payload_at;
	return begin - reader->frame.tail;
}

/* Is the reader in a head, which may be of a ping, or in a frame that is none of the stream? */
static bool is_between_messages(const struct follower *follower)
{
	const struct reader *reader = &follower->reader;

	if (!follower->is_following)
		return false;
	return reader->have ||
	       ((reader->frame.payload || reader->frame.tail) && !reader->frame.is_message);
}

/* --- comparing -------------------------------------------------------------------------------- */

/* The stamp of the message under way says which it is. Messages that are missing are none of a
 * tear; one that comes again is. */
static void see_stamp(struct stream *stream, struct follower *follower)
{
	const struct reader *reader = &follower->reader;

	if (!follower->is_whole || reader->payload_at < READER_STAMP_BYTES)
		return;
	stream->torn += reader->stamp < follower->next;
	follower->next = reader->stamp;
}

static void end_message(void *owner, struct reader *reader)
{
	struct stream *stream = owner;
	struct follower *follower = (struct follower *)reader; /* its first member */

	follower->is_reached = true;
	see_stamp(stream, follower);
	follower->next++;
	follower->is_whole = true;
	if (!stream->frame) {
		stream->head = reader->frame.head;
		stream->tail = reader->frame.tail;
		memcpy(stream->head_bytes, reader->head, stream->head);
		stream->frame = stream->head + stream->size + stream->tail;
	}
}

/* Lets the reader go on from where it stands. Returns 0 or what reader_take() returns. */
static int compare(struct stream *stream, struct follower *follower, const uint8_t *bytes,
		   uint64_t count)
{
	int r;

	follower->reader.head_bytes = (uint32_t)stream->head;
	r = reader_take(&follower->reader, stream->dialect, stream->pattern, bytes, count,
			end_message, stream);
	if (r < 0)
		return r;
	if (follower->reader.frame.payload && follower->reader.frame.is_message)
		see_stamp(stream, follower);
	if (stream->frame)
		follower->place = place_of(stream, follower);
	follower->is_following = true;
	return 0;
}

/*
 * A server may have said something between messages while bytes were only counted. Then the place
 * is too far by just so many bytes: whole notices, and perhaps the beginning of one. False when
 * that does not explain these bytes either.
 */
static bool is_by_notices(struct stream *stream, struct follower *follower, const uint8_t *bytes,
			  uint64_t count)
{
	uint64_t length, place = follower->place, torn = stream->torn;
	const char *notice = dialect_notice(stream->dialect, &length);

	for (uint64_t shift = 1; shift <= NOTICES_MAX * length && shift <= place; shift++) {
		uint64_t part = shift % length;

		follower->place = place - shift;
		if (part && follower->place % stream->frame)
			continue;
		seek(stream, follower);
		memcpy(follower->reader.head, notice, part);
		follower->reader.have += (uint32_t)part;
		if (compare(stream, follower, bytes, count) == 0)
			return true;
		stream->torn = torn;
	}
	follower->place = place;
	return false;
}

/* Looks for a frame in bytes that are not what was expected at the follower's place. */
static void find_frame(struct stream *stream, struct follower *follower, const uint8_t *bytes,
		       uint64_t count)
{
	uint64_t place = follower->place, torn = stream->torn;
	const uint8_t *from = bytes, *end = bytes + count, *found;

	while ((found = memmem(from, (size_t)(end - from), stream->head_bytes, stream->head))) {
		uint64_t at = place + (uint64_t)(found - bytes), shift = at % stream->frame;

		if ((uint64_t)(end - found) < stream->head + KNOWN_BY_BYTES)
			break;
		/* Rounded to the frame it stands for; the stamp then says which it is. */
		follower->place = at - shift;
		seek(stream, follower);
		stream->torn = torn;
		if (compare(stream, follower, found, (uint64_t)(end - found)) == 0) {
			follower->is_adrift = false;
			stream->torn = torn + 1;
			return;
		}
		from = found + 1;
	}
	stream->torn = torn;
	follower->is_adrift = true;
	follower->is_following = false;
	follower->place = place + count;
}

static void take_compared(struct stream *stream, struct follower *follower, const uint8_t *bytes,
			  uint64_t count)
{
	uint64_t place = follower->place, torn = stream->torn;

	stream->compared += count;
	if (!follower->is_adrift) {
		if (!follower->is_following)
			seek(stream, follower);
		if (compare(stream, follower, bytes, count) == 0)
			return;
	}
	follower->place = place;
	stream->torn = torn;
	if (!stream->frame)
		follower->is_adrift = true;
	else if (follower->is_adrift || !is_by_notices(stream, follower, bytes, count))
		find_frame(stream, follower, bytes, count);
}

/* --- packets ---------------------------------------------------------------------------------- */

/* Looks at what stands between the payloads of two packets. It is taken apart from them, so that
 * what is counted is payload. */
static int look(struct stream *stream, struct follower *follower, const uint8_t *bytes,
		uint64_t count)
{
	uint64_t tail = follower->packet.tail;
	struct dialect_frame packet;
	int r = count <= tail ? 0
			      : dialect_parse_packet(stream->dialect, bytes + tail,
						     (uint32_t)(count - tail), &packet);

	stream->torn += r < 0;
	if (r <= 0)
		return r < 0 ? -EPROTO : -EAGAIN;
	follower->head_left = tail + packet.head;
	if (!packet.is_message) { /* a ping: passed over with the next head */
		packet.tail += (uint32_t)packet.payload;
		packet.payload = 0;
	}
	follower->packet = packet;
	return 0;
}

/*
 * Of `count` bytes received, those that are payload. What ends a packet is asked for with its
 * payload: a byte left in the socket would put off the acknowledgement of all before it, which no
 * client does that reads what there is (tcp_cleanup_rbuf() in Linux acknowledges at once when
 * nothing is left).
 */
static uint64_t leave_packet(struct dialect_frame *packet, uint64_t count)
{
	uint64_t payload = count < packet->payload ? count : packet->payload;

	packet->payload -= payload;
	packet->tail -= (uint32_t)(count - payload);
	return payload;
}

/* --- what is asked for, and what came
 * ---------------------------------------------------------- */

struct follower_wish follower_wish(const struct stream *stream, const struct follower *follower)
{
	bool compares = stream->compares || follower->is_adrift || is_between_messages(follower) ||
			follower->reads % COMPARED_EVERY == 0;
	struct follower_wish wish = {.how = compares ? FOLLOWER_COMPARE : FOLLOWER_COUNT,
				     .bytes = compares ? COMPARED_BYTES : FOLLOWER_READ_BYTES};
	uint64_t left = follower->packet.payload + follower->packet.tail;

	if (follower->head_left)
		return (struct follower_wish){FOLLOWER_DROP, follower->head_left};
	if (!dialect_has_packets(stream->dialect))
		return wish;
	if (!follower->packet.payload)
		return (struct follower_wish){FOLLOWER_LOOK, LOOKED_BYTES};
	wish.bytes = left < wish.bytes ? left : wish.bytes;
	return wish;
}

int64_t follower_take(struct stream *stream, struct follower *follower, struct follower_wish wish,
		      const uint8_t *bytes, uint64_t count)
{
	if (wish.how == FOLLOWER_LOOK)
		return look(stream, follower, bytes, count);
	if (wish.how == FOLLOWER_DROP) {
		follower->head_left -= count;
		return 0;
	}
	follower->reads++;
	if (dialect_has_packets(stream->dialect))
		count = leave_packet(&follower->packet, count);
	stream->received += count;
	if (wish.how == FOLLOWER_COMPARE) {
		take_compared(stream, follower, bytes, count);
	} else {
		follower->place += count;
		follower->is_following = false;
	}
	return (int64_t)count;
}
