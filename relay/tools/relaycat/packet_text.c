// SPDX-License-Identifier: MIT
/* See packet_text.h. */
#include "tools/relaycat/packet_text.h"

#include <inttypes.h>
#include <stdio.h>

static const char *flag_word(const struct packet_header *header)
{
	if (header->type == PACKET_GAP)
		return header->flags & PACKET_FLAG_HOLE ? " hole" : "";
	if (header->type == PACKET_HEARTBEAT)
		return header->flags & PACKET_FLAG_MOVED ? " moved" : "";
	return header->flags & PACKET_FLAG_CONTINUED ? " continued" : "";
}

const char *packet_print_header(const struct packet_header *header, char buf[PACKET_TEXT_BYTES])
{
	(void)snprintf(buf, PACKET_TEXT_BYTES,
		       "%s session=%" PRIu32 " sequence=%" PRIu64 " count=%u length=%" PRIu32
		       " %s=%" PRIu64 "%s",
		       packet_type_name(header->type), header->session, header->sequence,
		       header->count, header->length, header->type == PACKET_GAP ? "next" : "time",
		       header->time, flag_word(header));
	return buf;
}

const char *packet_print_event(const struct packet_header *header, char buf[PACKET_TEXT_BYTES])
{
	switch ((enum packet_type)header->type) {
	case PACKET_GAP:
		if (header->flags & PACKET_FLAG_HOLE)
			return NULL;
		(void)snprintf(buf, PACKET_TEXT_BYTES,
			       "gap: %" PRIu64 " messages missed, from %" PRIu64 " to %" PRIu64,
			       header->time - header->sequence, header->sequence, header->time - 1);
		return buf;
	case PACKET_END:
		(void)snprintf(buf, PACKET_TEXT_BYTES, "end of session %" PRIu32, header->session);
		return buf;
	case PACKET_SOURCE_DOWN:
		return "source down";
	case PACKET_SOURCE_UP:
		return "source up";
	case PACKET_HEARTBEAT:
		if (!(header->flags & PACKET_FLAG_MOVED))
			return NULL;
		(void)snprintf(buf, PACKET_TEXT_BYTES,
			       "let go, session %" PRIu32 " goes on with message %" PRIu64
			       ", best at another address",
			       header->session, header->sequence);
		return buf;
	case PACKET_DATA:
		break;
	}
	return NULL;
}
