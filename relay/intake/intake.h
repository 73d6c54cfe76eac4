// SPDX-License-Identifier: MIT
/*
 * Intake: from the source's bytes to packets of whole messages.
 *
 * There are two ways, and the engine says which: unseen, by splice into the ingest pipe with a look
 * ahead by MSG_PEEK to find the boundaries (intake_unseen.c), or through memory (intake_memory.c: a
 * buffer for copy, a gift arena for compact).  framing = relay reads header by header and takes the
 * payloads either way (intake_relay.c).  What belongs to an unfinished message stays behind as the
 * rest: in the ingest pipes or in memory, never in both.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/packet_header.h"
#include "intake/engine.h"
#include "packet/framing.h"
#include "packet/packet.h"
#include "pipe/gift_arena.h"
#include "pipe/pipe.h"
#include "table/close_reason.h"

struct feed;

/* What the bytes come from. */
struct source {
	int fd;           /* non-blocking, or a regular file                   */
	bool is_socket;   /* MSG_PEEK works                                    */
	bool is_file;     /* regular file: EOF is its end                      */
	size_t max_bytes; /* of one take; 0 = no limit but the segment         */
};

enum intake_result {
	INTAKE_TOOK,  /* bytes were taken; there may be more                                    */
	INTAKE_EMPTY, /* nothing there: wait until it is readable                               */
	INTAKE_END,   /* the source has ended: *ret_err 0, or an errno                          */
	INTAKE_FAULT, /* the publisher broke the framing: *ret_err is the enum close_reason     */
};

enum {
	INTAKE_PIPES_MAX = 16
}; /* full ingest pipes that wait for the end of a long message */

/* The way through memory: bytes[start .. end) are not published yet. */
struct intake_memory {
	uint8_t *bytes;
	size_t start;
	size_t end;
	size_t room;
	bool is_arena;      /* bytes is in the arena, else it is own_bytes */
	uint8_t *own_bytes; /* malloc'ed */
	size_t own_room;
	struct gift_arena arena;
	bool has_arena;
};

/* framing = relay: the packet being read, and what must come next. */
struct intake_relay {
	uint8_t head[PACKET_HEADER_BYTES];
	size_t head_bytes;
	struct packet_header header; /* once head is complete */
	bool has_session;
	bool in_message; /* the packet before was continued */
};

struct intake {
	struct framing_scan scan;
	double mean_bytes;                   /* of the packets of late: what the next one may be  */
	size_t message_bytes;                /* mean of those found by the last look         */
	bool splice_refused;                 /* by the kernel, for this source                    */
	struct pipe pipes[INTAKE_PIPES_MAX]; /* the unseen way; the last one is being filled */
	size_t pipe_count;
	uint64_t taken_bytes; /* from all sources, published or not */
	struct intake_memory memory;
	struct intake_relay relay;
};

void intake_init(struct intake *intake, const struct framing_params *framing);

/* Gives pipes and memory back. */
void intake_fini(struct feed *feed);

/* Takes over a changed max_message. */
void intake_change(struct intake *intake, const struct framing_params *framing);

/* True when no part of an unfinished message is there. */
bool intake_is_empty(const struct intake *intake);

/* Forgets the rest; returns its bytes. */
uint64_t intake_reset(struct feed *feed);

/* Takes in what makes one packet (or a part of a long one), and publishes what is whole. */
enum intake_result intake_take(struct feed *feed, const struct source *source, int *ret_err);

/* ---- between the intake files ---- */

enum intake_result intake_take_unseen(struct feed *feed, const struct source *source, int *ret_err);
enum intake_result intake_take_memory(struct feed *feed, const struct source *source,
				      enum engine engine, int *ret_err);
enum intake_result intake_take_relay(struct feed *feed, const struct source *source, int *ret_err);

/* Reads up to `max` bytes behind the rest in memory, for which there is room afterwards.
 * INTAKE_FAULT here means that there is no memory. */
enum intake_result intake_read(struct feed *feed, const struct source *source, enum engine engine,
			       size_t max, size_t *ret_bytes, int *ret_err);

/* Splices up to `max` bytes into the ingest pipes, which are lengthened when they are full.
 * *ret_full: there is no room and no further pipe; the rest must go to memory. */
enum intake_result intake_splice(struct feed *feed, const struct source *source, size_t max,
				 size_t *ret_bytes, bool *ret_full, int *ret_err);

/* One more ingest pipe; false when there is none to be had. */
bool intake_add_pipe(struct feed *feed);

/* Publishes the first packet->length bytes of the rest in memory, or in the ingest pipes. */
void intake_publish_memory(struct feed *feed, const struct packet *packet, enum engine engine);
void intake_publish_pipes(struct feed *feed, const struct packet *packet);

/* Bytes of the rest in the ingest pipes, and in memory. */
size_t intake_pipe_bytes(const struct intake *intake);
size_t intake_memory_bytes(const struct intake *intake);

/* Moves the rest from the ingest pipes to memory: 0, -ENOMEM or -EIO.  Or back, when it is short
 * enough: true when the rest is in the pipes now. */
int intake_rest_to_memory(struct feed *feed);
bool intake_rest_to_pipe(struct feed *feed);

/* The engine for the next packet, which is expected to be in `size_class`. */
enum engine intake_choose(struct feed *feed, unsigned size_class);

/* A packet of `bytes` has been taken in. */
void intake_note_length(struct intake *intake, size_t bytes);

/* A data packet of `messages` messages in `bytes` bytes, next in sequence. */
struct packet intake_next_packet(struct feed *feed, uint32_t messages, size_t bytes);

enum intake_result intake_fault(enum framing_fault fault, int *ret_err);
