// SPDX-License-Identifier: MIT
/*
 * Framing: where messages end in the publisher's bytes.
 *
 * A scan is the state of one source: what is known of the message that is not finished yet.  It is
 * moved over the bytes in the order of the stream, a walk at a time, and never looks at a byte
 * twice.  To look ahead without taking, walk a copy of the scan.  Pure: no I/O.  With framing =
 * relay the packet headers say everything; intake/intake_relay.c reads them and needs no scan.
 *
 * Where messages are searched (framing.def), a scan begins out of sync, and is so again where no
 * message begins.  Then framing_find_sync() has to find them.
 *
 * With framing = ts a message is a packet of 188 bytes.  A packet has ended when the byte behind it
 * is seen to be the sync byte of the next one.  So what lost bytes have torn apart is never taken
 * for a packet, however the stream is cut.  With framing = rtcm3 and beast a message is a frame of
 * packet/sync_frame.h, which shows by itself that it has ended.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/packet.h"
#include "packet/sync_frame.h"
#include "packet/ts_packet.h"
#include "table/framing.h"

enum framing_fault {
	FRAMING_OK,
	FRAMING_TOO_LONG,   /* a message is longer than max_message            */
	FRAMING_BAD_MAGIC,  /* relay: not a packet header                      */
	FRAMING_BAD_HEADER, /* relay: a header that contradicts itself         */
	FRAMING_BAD_COUNT,  /* octet-counted: no length where one should be    */
	FRAMING_NO_SYNC,    /* searched: no message begins where one should    */
	FRAMING_TS_192,     /* ts: the packets are 192 bytes apart             */
	FRAMING_TS_204,     /* ts: the packets are 204 bytes apart             */
};

enum {
	FRAMING_MESSAGES_MAX = UINT16_MAX
}; /* in one walk, since they are one packet's */

struct framing_params {
	enum framing_kind kind;
	/* RELAY: where messages end in a packet; NONE: that is not known */
	enum framing_kind inside;
	uint32_t fixed_bytes;
	uint64_t max_message;  /* length prefix and end do not count */
	bool ends_with_source; /* where the source ends, so does a line without its end */
};

struct framing_scan {
	struct framing_params params;
	uint64_t message_bytes; /* of the unfinished message, walked so far; 0 = between messages */
	uint64_t need_bytes;    /* still missing of it; 0 = not known yet                         */
	uint8_t prefix[4];      /* of its length, as far as seen                                  */
	unsigned prefix_bytes;
	uint64_t count;          /* OCTET_COUNTED: the length, as far as its digits were seen */
	uint8_t last_byte;       /* CRLF: of the unfinished message; 0: none */
	bool is_in_sync;         /* searched: it is known where messages begin */
	struct sync_frame frame; /* RTCM3, BEAST: the unfinished message */
	struct ts_head ts_head;  /* TS: of the unfinished packet        */
	struct ts_video ts_video;
	enum media_start media_start; /* TS: of the packet with the last complete head */
};

struct framing_walk {
	size_t walked_bytes; /* how far the scan has been moved                               */
	size_t whole_bytes;  /* up to the end of the last message that ends in there; 0: none */
	uint32_t messages;   /* that end in there                                             */
	enum media_start media_start; /* of the first one that ends in there                  */
	enum framing_fault fault;     /* of the message after these                               */
};

/* Where messages end in what is published. */
struct framing_params framing_published(const struct framing_params *params);

void framing_scan_init(struct framing_scan *scan, const struct framing_params *params);

/* True between two messages, even if it has to be seen yet that the one before has ended. */
bool framing_is_between(const struct framing_scan *scan);

/* True when framing_find_sync() has to be called.  The scan is as at the start of a source. */
bool framing_is_out_of_sync(const struct framing_scan *scan);

/* Out of sync: looks for a message in bytes that nobody has walked yet.  Returns how many of them
 * to pass over, for no message begins there.  In sync then, a message begins behind them, to be
 * walked.  Else the rest is to come again, with more.  *ret_fault: the packets are of another size,
 * and the source is of no use.
 *
 * TS packets are found where three sync bytes are 188 bytes apart.  If other bytes look like that
 * too, the headers decide (ISO/IEC 13818-1, 2.4.3.3).  A frame is found where it is whole; a Beast
 * frame, where the next one begins behind it.  What is found does not depend on how the stream is
 * cut. */
size_t framing_find_sync(struct framing_scan *scan, const uint8_t *bytes, size_t count,
			 enum framing_fault *ret_fault);

/* The source is silent, or has ended in good order.  True when what has been walked of a message is
 * the whole of it, and the scan is between messages then: a TS packet that no other one has come
 * behind, or at such an end a line without its end, with ends_with_source. */
bool framing_finish(struct framing_scan *scan, bool has_ended);

/* Moves the scan over `bytes` of the stream, of which the first `visible` can be seen at `seen`
 * (the others are still in the kernel, or have been spliced unseen).  Unseen bytes are walked only
 * as far as they are known to belong to a message of known length.  What can be seen behind `bytes`
 * may show that a message has ended with them; so with no bytes to walk, one may end that was
 * walked before.  Ends early, at a message's end, after FRAMING_MESSAGES_MAX messages, before a TS
 * packet that a player may begin with, or before a message with a fault; a fault is returned when
 * no message precedes it in this walk, and the scan is then of no further use. */
void framing_walk(struct framing_scan *scan, const uint8_t *seen, size_t visible, size_t bytes,
		  struct framing_walk *ret);

/* Bytes of the message at the start of published bytes, with its end or length prefix: all `count`
 * when its end is not in there, and with framing = none and relay, where it cannot be told. */
size_t framing_message_bytes(const struct framing_params *params, const uint8_t *bytes,
			     size_t count);

/* The bytes of such a message without its length prefix, and without its end.  With framing = line
 * the end is LF or CR LF.  *ret_at: where they begin in it. */
size_t framing_body(enum framing_kind kind, const uint8_t *message, size_t count, size_t *ret_at);
