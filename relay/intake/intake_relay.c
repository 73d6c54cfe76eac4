// SPDX-License-Identifier: MIT
/*
 * Packets of another relay.  Their headers are read one by one, and their payloads go the way that
 * the engine says.  Session, sequence and time are handed up as they came, so that a tree of relays
 * looks like one.
 */
#include "intake/intake_relay.h"

#include <errno.h>

#include "intake/intake_memory.h"
#include "intake/intake_unseen.h"

static struct packet packet_of(const struct intake_relay *relay)
{
	const struct packet_header *header = &relay->header;
	bool is_data = header->type == PACKET_DATA;

	return (struct packet){
		.type = header->type,
		.flags = header->flags,
		.count = header->count,
		.session = header->session,
		.first_seq = header->sequence,
		.time_ns = header->time,
		.length = header->length,
		.starts_message = !is_data || !relay->in_message,
	};
}

static enum intake_result read_head(struct intake *intake, const struct source *source,
				    int *ret_err)
{
	struct intake_relay *relay = &intake->relay;
	ssize_t got = intake_receive(source, relay->head + relay->head_bytes,
				     sizeof(relay->head) - relay->head_bytes);
	int r;

	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return INTAKE_EMPTY;
	if (got <= 0) {
		*ret_err = got < 0 ? errno : 0;
		return INTAKE_END;
	}
	relay->head_bytes += (size_t)got;
	intake->taken_bytes += (size_t)got;
	if (relay->head_bytes < sizeof(relay->head))
		return INTAKE_EMPTY;
	r = packet_header_decode(relay->head, &relay->header);
	if (r < 0)
		return intake_fault(intake, r == -EPROTO ? FRAMING_BAD_MAGIC : FRAMING_BAD_HEADER,
				    ret_err);
	if (relay->header.length > intake->params.framing.max_message)
		return intake_fault(intake, FRAMING_TOO_LONG, ret_err);
	return INTAKE_TOOK;
}

/* Takes what is there of the payload.  INTAKE_TOOK: it is complete. */
static enum intake_result take_payload(struct intake *intake, const struct source *source,
				       bool unseen, int *ret_err)
{
	size_t length = intake->relay.header.length;
	enum intake_result result;
	size_t have, got;
	bool is_full;

	while ((have = intake_pipe_bytes(intake) + intake_memory_bytes(intake)) < length) {
		if (!unseen) {
			result = intake_read(intake, source, length - have, &got, ret_err);
		} else {
			result = intake_splice(intake, source, length - have, &got, &is_full,
					       ret_err);
			if (is_full && !intake_add_pipe(intake)) {
				intake->metrics->engine_fallbacks++;
				unseen = false;
				if (intake_rest_to_memory(intake) < 0) {
					*ret_err = ENOMEM;
					return INTAKE_END;
				}
				continue;
			}
			if (is_full)
				continue;
		}
		if (result != INTAKE_TOOK)
			return result;
	}
	return INTAKE_TOOK;
}

/* The payload is complete. */
static enum intake_result put_data(struct intake *intake, int *ret_err)
{
	struct packet packet = packet_of(&intake->relay);
	bool in_pipes = intake_pipe_bytes(intake) > 0;
	int r;

	intake->relay.head_bytes = 0;
	r = in_pipes ? intake_put_pipes(intake, &packet) : intake_put_memory(intake, &packet);
	if (r < 0) {
		*ret_err = -r;
		return INTAKE_END;
	}
	if (r)
		intake->relay.in_message = packet.flags & PACKET_FLAG_CONTINUED;
	else
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
		struct packet packet = packet_of(relay);

		relay->head_bytes = 0;
		(void)intake->sink.put_packet(intake->sink.owner, &packet, NULL);
		return INTAKE_TOOK;
	}
	unseen = intake_memory_bytes(intake) == 0 &&
		 (intake_pipe_bytes(intake) > 0 ||
		  intake_expect(intake, source, relay->header.length) == ENGINE_SPLICE);
	result = take_payload(intake, source, unseen, ret_err);
	return result == INTAKE_TOOK ? put_data(intake, ret_err) : result;
}
