// SPDX-License-Identifier: MIT
/*
 * Packets of another relay.  Their headers are read one by one, and their payloads go the way that
 * the engine says.  Session, sequence and time are handed up as they came, so that a tree of relays
 * looks like one.
 *
 * Packets that share a message (CONTINUED) become one packet.  So a message is published whole or
 * not at all, as with every other framing: nobody begins in the middle of one, or misses its end.
 */
#include "intake/intake_relay.h"

#include <errno.h>
#include <sys/socket.h>

#include "intake/intake_memory.h"
#include "intake/intake_unseen.h"

/* ---- a message in several packets ---- */

/* The last packet goes on in the next one. */
static bool is_in_message(const struct intake_relay *relay)
{
	return relay->header.flags & PACKET_FLAG_CONTINUED;
}

static bool goes_on(const struct packet_header *before, const struct packet_header *next)
{
	return (next->type == PACKET_DATA || next->type == PACKET_HEARTBEAT) &&
	       next->session == before->session &&
	       next->sequence == before->sequence + before->count;
}

/* Makes one packet of all before, and the next one. */
static enum framing_fault add(struct packet_header *before, const struct packet_header *next)
{
	if (next->count > FRAMING_MESSAGES_MAX - before->count)
		return FRAMING_BAD_HEADER;
	if (next->length > UINT32_MAX - before->length)
		return FRAMING_TOO_LONG;
	before->count = (uint16_t)(before->count + next->count);
	before->length += next->length;
	before->flags = next->flags;
	return FRAMING_OK;
}

/* Its end does not come. */
static void drop_message(struct intake *intake)
{
	intake->metrics->partial_messages++;
	intake->metrics->partial_bytes += intake->relay.header.length;
	intake_drop_rest(intake);
}

/* A header has come. */
static enum framing_fault take_header(struct intake *intake, const struct packet_header *next)
{
	struct packet_header *header = &intake->relay.header;
	bool is_open = is_in_message(&intake->relay);

	if (is_open && goes_on(header, next)) /* a heartbeat says nothing new */
		return next->type == PACKET_DATA ? add(header, next) : FRAMING_OK;
	if (is_open)
		drop_message(intake);
	*header = *next;
	return FRAMING_OK;
}

/* ---- taking ---- */

static enum intake_result read_head(struct intake *intake, const struct source *source,
				    int *ret_err)
{
	struct intake_relay *relay = &intake->relay;
	struct packet_header next;
	enum framing_fault fault;
	ssize_t got = intake_receive(intake, source, relay->head + relay->head_bytes,
				     sizeof(relay->head) - relay->head_bytes);
	int r;

	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return INTAKE_EMPTY;
	if (got <= 0) {
		*ret_err = got < 0 ? errno : 0;
		return INTAKE_END;
	}
	relay->head_bytes += (size_t)got;
	if (relay->head_bytes < sizeof(relay->head))
		return INTAKE_EMPTY;
	r = packet_header_decode(relay->head, &next);
	if (r < 0)
		return intake_fault(intake, r == -EPROTO ? FRAMING_BAD_MAGIC : FRAMING_BAD_HEADER,
				    ret_err);
	fault = take_header(intake, &next);
	if (fault == FRAMING_OK && relay->header.length > intake->params.framing.max_message)
		fault = FRAMING_TOO_LONG;
	return fault == FRAMING_OK ? INTAKE_TOOK : intake_fault(intake, fault, ret_err);
}

/* Readable, and yet nothing to splice: urgent data (MSG_OOB) holds tcp_splice_read up
 * until somebody receives. */
static bool is_held_up(const struct source *source)
{
	uint8_t byte;

	return source->is_socket &&
	       recv(source->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* A step by pipes.  INTAKE_TOOK: go on, by memory if *unseen is false now. */
static enum intake_result splice_payload(struct intake *intake, const struct source *source,
					 size_t bytes, bool is_first, bool *unseen, int *ret_err)
{
	bool is_full, is_urgent;
	size_t got;
	enum intake_result result = intake_splice(intake, source, bytes, &got, &is_full, ret_err);

	is_urgent = result == INTAKE_EMPTY && !is_full && is_first && is_held_up(source);
	if (!is_urgent && !is_full)
		return result;
	if (is_full && intake_add_pipe(intake))
		return INTAKE_TOOK;
	intake->metrics->urgent_reads += is_urgent;
	intake->metrics->engine_fallbacks += is_full;
	*unseen = false;
	if (intake_rest_to_memory(intake) == 0)
		return INTAKE_TOOK;
	*ret_err = ENOMEM;
	return INTAKE_END;
}

/* Takes what is there of the payload.  INTAKE_TOOK: it is complete. */
static enum intake_result take_payload(struct intake *intake, const struct source *source,
				       bool unseen, int *ret_err)
{
	size_t length = intake->relay.header.length;
	enum intake_result result;
	bool is_first = true;
	size_t have, got;

	while ((have = intake_pipe_bytes(intake) + intake_memory_bytes(intake)) < length) {
		if (unseen)
			result = splice_payload(intake, source, length - have, is_first, &unseen,
						ret_err);
		else
			result = intake_read(intake, source, length - have, &got, ret_err);
		if (result != INTAKE_TOOK)
			return result;
		is_first = false;
	}
	return INTAKE_TOOK;
}

/* The packet is complete. */
static enum intake_result put_data(struct intake *intake, int *ret_err)
{
	struct packet packet = packet_of_header(&intake->relay.header);
	bool in_pipes = intake_pipe_bytes(intake) > 0;
	int r;

	r = in_pipes ? intake_put_pipes(intake, &packet) : intake_put_memory(intake, &packet);
	if (r < 0) {
		*ret_err = -r;
		return INTAKE_END;
	}
	if (!r)
		intake_drop_rest(intake);
	return INTAKE_TOOK;
}

enum intake_result intake_take_relay(struct intake *intake, const struct source *source,
				     int *ret_err)
{
	struct intake_relay *relay = &intake->relay;
	enum intake_result result;
	bool unseen;

	if (relay->head_bytes < sizeof(relay->head)) {
		result = read_head(intake, source, ret_err);
		if (result != INTAKE_TOOK)
			return result;
	}
	if (relay->header.type != PACKET_DATA) {
		struct packet packet = packet_of_header(&relay->header);

		relay->head_bytes = 0;
		(void)intake->sink.put_packet(intake->sink.owner, &packet, NULL);
		return INTAKE_TOOK;
	}
	unseen = intake_memory_bytes(intake) == 0 &&
		 (intake_pipe_bytes(intake) > 0 ||
		  intake_expect(intake, source, relay->header.length) == ENGINE_SPLICE);
	result = take_payload(intake, source, unseen, ret_err);
	if (result != INTAKE_TOOK)
		return result;
	relay->head_bytes = 0;
	return is_in_message(relay) ? INTAKE_TOOK : put_data(intake, ret_err);
}
