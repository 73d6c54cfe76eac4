// SPDX-License-Identifier: MIT
/* Blocks of a replay: filled from a file by the encoder of the format, and sent. */
#include "history/replay_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/packet_header.h"
#include "history/history_cache.h"
#include "history/history_reader.h"

enum {
	BLOCK_BYTES = 64 * 1024,   /* gathered at most; one packet may be more */
	WINDOW_BYTES = 64 * 1024,  /* read at once; one packet may be more */
	PAYLOAD_BYTES = 32 * 1024, /* such a payload stays in the file */
};

void replay_block_clear(struct replay_block *block)
{
	free(block->bytes);
	*block = (struct replay_block){0};
}

/* ---- filling ---- */

static int put(struct replay_block *block, const void *bytes, size_t count)
{
	size_t room = size_max(size_max(block->count + count, 2 * block->room), BLOCK_BYTES);
	uint8_t *grown;

	if (block->room - block->count < count || !block->bytes) {
		grown = realloc(block->bytes, room);
		if (!grown)
			return -ENOMEM;
		block->bytes = grown;
		block->room = room;
	}
	if (count)
		memcpy(block->bytes + block->count, bytes, count);
	block->count += count;
	return 0;
}

/* What the format puts before the payload.  *ret_bytes: how much; 0: it says nothing. */
static int put_header(struct replay_block *block, const struct replay_format *format,
		      const struct packet *packet, size_t *ret_bytes)
{
	uint8_t bytes[ENCODER_HEADER_MAX];

	*ret_bytes = format->encoder->header(format->encoder, packet, bytes);
	return put(block, bytes, *ret_bytes);
}

static size_t write_trailer(const struct replay_format *format, const struct packet *packet,
			    uint8_t out[ENCODER_TRAILER_MAX])
{
	const struct encoder *encoder = format->encoder;

	return encoder->trailer ? encoder->trailer(encoder, packet, out) : 0;
}

/* In words of the format's own.  1: done; 0: it is header, payload and trailer; or -ENOMEM. */
static int put_rewritten(struct replay_block *block, const struct replay_format *format,
			 const struct packet *packet, const uint8_t *payload)
{
	const struct encoder *encoder = format->encoder;
	struct framing_params framing;
	size_t bytes = 0;
	uint8_t *whole;
	int r;

	if (!encoder->rewrite || !packet->length)
		return 0;
	framing = framing_published(format->framing);
	whole = encoder->rewrite(encoder, packet, &framing, payload, &bytes);
	if (!whole)
		return bytes == ENCODER_AS_IT_IS ? 0 : -ENOMEM;
	r = put(block, whole, bytes);
	free(whole);
	return r < 0 ? r : 1;
}

static int put_data(struct replay_block *block, const struct replay_format *format,
		    const struct packet *packet, const uint8_t *payload)
{
	uint8_t trailer[ENCODER_TRAILER_MAX];
	size_t header_bytes;
	int r = put_rewritten(block, format, packet, payload);

	if (r)
		return r < 0 ? r : 0;
	r = put_header(block, format, packet, &header_bytes);
	if (r == 0)
		r = put(block, payload, packet->length);
	if (r == 0)
		r = put(block, trailer, write_trailer(format, packet, trailer));
	return r;
}

static int put_news(struct replay_block *block, const struct replay_format *format,
		    const struct packet *packet)
{
	bool is_framed = format_row(format->encoder->format)->is_framed;
	size_t bytes;

	/* That the feed lived then says nothing of now. */
	if (packet->type == PACKET_HEARTBEAT && !is_framed)
		return 0;
	return put_header(block, format, packet, &bytes);
}

/* A gap of which the format says nothing. */
static bool is_silent_gap(const struct replay_format *format, const struct packet *packet)
{
	uint8_t bytes[ENCODER_HEADER_MAX];

	return packet->type == PACKET_GAP &&
	       !format->encoder->header(format->encoder, packet, bytes);
}

static bool stays_in_file(const struct replay_format *format, const struct packet *packet)
{
	return packet->type == PACKET_DATA && packet->length >= PAYLOAD_BYTES &&
	       !format->encoder->rewrite;
}

/* A run that is read bit by bit. */
struct filling {
	struct replay_block *block;
	const struct replay_format *format;
	struct history_run *run;
	uint64_t limit;
	uint64_t taken;  /* of the run */
	uint64_t missed; /* messages */
	uint8_t *window; /* owned: of the run, from its start on */
	size_t window_bytes;
	uint64_t wanted; /* bytes of the run that are to be brought in */
	bool is_full;    /* nothing more goes in */
};

static bool is_cached(struct history_run *run, uint64_t bytes)
{
	uint64_t done = 0, more = 1;

	while (done < bytes && more) {
		more = history_cached(run, run->offset + done, bytes - done);
		done += more;
	}
	return done == bytes;
}

/* Its first bytes, `bytes` of them at least. */
static int read_window(struct filling *filling, size_t bytes)
{
	size_t wanted = (size_t)u64_min(filling->limit, size_max(bytes, WINDOW_BYTES));
	uint8_t *grown = realloc(filling->window, wanted);
	ssize_t got;

	if (!grown)
		return -ENOMEM;
	filling->window = grown;
	if (!is_cached(filling->run, wanted)) {
		filling->wanted = wanted;
		return -EINPROGRESS;
	}
	do
		got = pread(filling->run->fd, grown, wanted, (off_t)filling->run->offset);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	filling->window_bytes = (size_t)got;
	return filling->window_bytes < size_max(bytes, 1) ? -EBADMSG : 0;
}

/* The next packet needs more than is in the window.  What is in the block goes first. */
static int read_on(struct filling *filling, uint64_t whole)
{
	filling->is_full = filling->taken > 0;
	return filling->is_full ? 0 : read_window(filling, (size_t)whole);
}

static int put_large(struct filling *filling, const struct packet *packet)
{
	struct replay_block *block = filling->block;
	size_t header_bytes;

	filling->is_full = true;
	block->payload_offset = filling->run->offset + filling->taken + PACKET_HEADER_BYTES;
	block->payload_left = packet->length;
	block->trailer_bytes = write_trailer(filling->format, packet, block->trailer);
	return put_header(block, filling->format, packet, &header_bytes);
}

/* The payload, if any, is in the window. */
static int put_packet(struct filling *filling, const struct packet *packet)
{
	const uint8_t *payload = filling->window + filling->taken + PACKET_HEADER_BYTES;

	if (packet->type == PACKET_DATA)
		return put_data(filling->block, filling->format, packet, payload);
	return put_news(filling->block, filling->format, packet);
}

/* Of the packet at filling->taken.  0 or -errno. */
static int take_packet(struct filling *filling)
{
	struct packet_header header;
	struct packet packet;
	uint64_t whole;
	int r;

	if (packet_header_decode(filling->window + filling->taken, &header) < 0)
		return -EBADMSG;
	packet = packet_of_header(&header);
	whole = PACKET_HEADER_BYTES + (uint64_t)header.length;
	if (whole > filling->limit - filling->taken)
		return -EBADMSG;
	if (is_silent_gap(filling->format, &packet)) {
		filling->is_full = true;
		if (filling->taken > 0)
			return 0;
		filling->missed = packet.time_ns - packet.first_seq;
		r = 0;
	} else if (stays_in_file(filling->format, &packet)) {
		r = put_large(filling, &packet);
	} else if (whole > filling->window_bytes - filling->taken) {
		return read_on(filling, whole);
	} else {
		r = put_packet(filling, &packet);
	}
	filling->taken += whole;
	return r;
}

int replay_block_fill(struct replay_block *block, const struct replay_format *format,
		      struct history_run *run, uint64_t limit, uint64_t *ret_taken,
		      uint64_t *ret_missed)
{
	struct filling filling = {.block = block, .format = format, .run = run, .limit = limit};
	int r = read_window(&filling, PACKET_HEADER_BYTES);

	while (r == 0 && !filling.is_full && filling.taken < limit && block->count < BLOCK_BYTES) {
		if (filling.window_bytes - filling.taken < PACKET_HEADER_BYTES)
			r = read_on(&filling, filling.taken + PACKET_HEADER_BYTES);
		else
			r = take_packet(&filling);
	}
	free(filling.window);
	if (r < 0 || (!block->count && !block->payload_left))
		replay_block_clear(block);
	*ret_taken = r == -EINPROGRESS ? filling.wanted : filling.taken;
	*ret_missed = filling.missed;
	return r;
}

/* ---- sending ---- */

/* Nothing of it is left but, perhaps, a payload; behind that is the trailer. */
static void begin_trailer(struct replay_block *block)
{
	block->count = block->trailer_bytes;
	block->sent = block->trailer_bytes = 0;
	memcpy(block->bytes, block->trailer, block->count);
}

static bool is_at_payload(const struct replay_block *block)
{
	return block->sent == block->count;
}

/* Of the piece that comes next.  0: nothing is left. */
static uint64_t piece_left(const struct replay_block *block)
{
	return is_at_payload(block) ? block->payload_left : block->count - block->sent;
}

/* So many bytes of that piece are done with. */
static void pass(struct replay_block *block, size_t bytes)
{
	if (!is_at_payload(block)) {
		block->sent += bytes;
		return;
	}
	block->payload_offset += bytes;
	block->payload_left -= bytes;
	if (!block->payload_left)
		begin_trailer(block);
}

uint64_t replay_block_drop(struct replay_block *block, uint64_t bytes)
{
	uint64_t dropped = 0, step;

	while ((step = u64_min(piece_left(block), bytes - dropped))) {
		pass(block, (size_t)step);
		dropped += step;
	}
	if (!piece_left(block))
		replay_block_clear(block);
	return dropped;
}

/* One call.  Bytes, or -errno. */
static ssize_t send_bytes(const struct replay_block *block, int fd)
{
	int more = block->payload_left ? MSG_MORE : 0;
	ssize_t sent = send(fd, block->bytes + block->sent, block->count - block->sent,
			    MSG_NOSIGNAL | MSG_DONTWAIT | more);

	return sent < 0 ? -errno : sent;
}

static ssize_t send_payload(const struct replay_block *block, int fd, struct history_run *run)
{
	off_t offset = (off_t)block->payload_offset;
	uint64_t cached = history_cached(run, block->payload_offset, block->payload_left);
	ssize_t sent;

	if (!cached)
		return -EINPROGRESS;
	sent = sendfile(fd, run->fd, &offset, (size_t)cached);
	if (sent == 0)
		return -EIO;
	return sent < 0 ? -errno : sent;
}

int replay_block_send(struct replay_block *block, int fd, struct history_run *run, size_t *ret_sent)
{
	ssize_t sent;

	*ret_sent = 0;
	do {
		if (!piece_left(block)) {
			replay_block_clear(block);
			return 1;
		}
		sent = is_at_payload(block) ? send_payload(block, fd, run) : send_bytes(block, fd);
		if (sent > 0) {
			*ret_sent += (size_t)sent;
			pass(block, (size_t)sent);
		}
	} while (sent > 0 || sent == -EINTR);
	return sent == -EAGAIN ? 0 : (int)sent;
}
