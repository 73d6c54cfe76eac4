// SPDX-License-Identifier: MIT
/* Replays, sent into a socket and read out of it at once. */
#include "tests/unit/replay_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

int replay_rig_open(struct history *history, const struct replay_range *range,
		    const struct replay_format *format, struct replay **ret,
		    struct stream_place *ret_place)
{
	struct replay_start start;
	int r = replay_find_start(history, range, &start);

	if (r < 0)
		return r;
	*ret_place = start.place;
	return replay_begin(history, range, format, &start, ret);
}

void replay_rig_open_pair(int ret[2])
{
	const int little = 1;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret),
			 0);
	assert_int_equal(setsockopt(ret[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)), 0);
}

static bool goes_on(const struct replay_rig_sent *sent)
{
	return sent->outcome == REPLAY_MORE || sent->outcome == REPLAY_BLOCKED ||
	       sent->outcome == REPLAY_SEAM;
}

void replay_rig_send_all(struct replay *replay, int ends[2], struct replay_rig_sent *ret)
{
	*ret = (struct replay_rig_sent){.bytes = malloc(REPLAY_RIG_BYTES), .outcome = REPLAY_MORE};
	while (goes_on(ret)) {
		struct replay_progress progress = {0};
		size_t before = ret->count;
		ssize_t got;

		ret->outcome = replay_of_history.send(replay, ends[0], &progress);
		ret->place = progress.place;
		ret->missed += progress.missed;
		ret->err = progress.err;
		while ((got = recv(ends[1], ret->bytes + ret->count, REPLAY_RIG_BYTES - ret->count,
				   0)) > 0)
			ret->count += (size_t)got;
		assert_int_equal(ret->count - before, progress.sent);
		assert_true(ret->outcome != REPLAY_SEAM || !replay_of_history.is_inside(replay));
	}
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}

static void add(struct replay_rig_sent *to, const void *bytes, size_t count)
{
	assert_true(to->count + count <= REPLAY_RIG_BYTES);
	memcpy(to->bytes + to->count, bytes, count);
	to->count += count;
}

static void add_data(const struct replay_format *format, const struct packet *packet,
		     const uint8_t *payload, struct replay_rig_sent *ret)
{
	const struct encoder *encoder = format->encoder;
	uint8_t words[ENCODER_HEADER_MAX];
	size_t bytes = ENCODER_AS_IT_IS;
	uint8_t *whole = NULL;

	if (encoder->rewrite && packet->length)
		whole = encoder->rewrite(encoder, packet, format->framing, payload, &bytes);
	if (whole) {
		add(ret, whole, bytes);
		free(whole);
		return;
	}
	assert_true(bytes == ENCODER_AS_IT_IS);
	add(ret, words, encoder->header(encoder, packet, words));
	add(ret, payload, packet->length);
	if (encoder->trailer)
		add(ret, words, encoder->trailer(encoder, packet, words));
}

void replay_rig_encode(const struct history_rig *rig, const struct replay_format *format,
		       struct replay_rig_sent *ret)
{
	const struct encoder *encoder = format->encoder;
	bool is_framed = format_row(encoder->format)->is_framed;

	*ret = (struct replay_rig_sent){.bytes = malloc(REPLAY_RIG_BYTES),
					.outcome = REPLAY_AT_END};
	for (size_t i = 0; i < rig->count; i++) {
		const struct packet_header *header = &rig->packets[i].header;
		const struct packet packet = packet_of_header(header);
		const uint8_t *payload = rig->stream + rig->packets[i].offset + PACKET_HEADER_BYTES;
		uint8_t words[ENCODER_HEADER_MAX];
		size_t bytes;

		if (packet.type == PACKET_DATA) {
			add_data(format, &packet, payload, ret);
			continue;
		}
		bytes = encoder->header(encoder, &packet, words);
		if (packet.type == PACKET_GAP && !bytes) {
			ret->missed += header->time - header->sequence;
			if (format->passes_gaps)
				continue;
			ret->outcome = REPLAY_GONE;
			return;
		}
		if (packet.type != PACKET_HEARTBEAT || is_framed)
			add(ret, words, bytes);
	}
}

void replay_rig_drop_begin(const struct replay_format *format, struct replay_rig_sent *sent)
{
	const size_t bytes = 2 + PACKET_HEADER_BYTES; // a WebSocket frame
	struct packet_header header;

	if (!format_row(format->encoder->format)->is_framed)
		return;
	assert_true(sent->count >= bytes);
	assert_int_equal(packet_header_decode(sent->bytes + 2, &header), 0);
	assert_int_equal(header.type, PACKET_HEARTBEAT);
	sent->count -= bytes;
	memmove(sent->bytes, sent->bytes + bytes, sent->count);
}
