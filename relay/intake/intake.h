// SPDX-License-Identifier: MIT
/*
 * Intake: reads a source, and cuts what it sends into packets of whole messages.
 *
 *   source ---> rest of an unfinished message ---> packets ---> sink
 *
 * A source is a descriptor (source.h).  Framing (packet/framing.h) says where messages end.  Each
 * take makes one packet or a few, and gives them to the sink (sink.h).  Bytes behind the last whole
 * message stay here until the next take.  They are called the rest.
 *
 * The engine (engine.h) says which way the bytes go.  It is chosen twice: before they are taken in,
 * by the packets of late, and for each packet once it has been cut.
 *   splice          from the source into pipes, without being seen          intake_unseen.c
 *   copy, compact   through memory, where each byte is seen once            intake_memory.c
 *                   compact: and from there into pipes (pipe/compact.h)
 * With framing = relay, the headers of another relay's packets are read first (intake_relay.c).
 *
 * An intake lives in one loop, and is used from there only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/packet_header.h"
#include "intake/engine.h"
#include "intake/sink.h"
#include "intake/source.h"
#include "packet/framing.h"
#include "pipe/pipe_set.h"

enum intake_result {
	INTAKE_TOOK,  /* bytes were taken; there may be more                                */
	INTAKE_EMPTY, /* nothing there: wait until it is readable                           */
	INTAKE_END,   /* the source has ended: *ret_err is 0, or an errno                   */
	INTAKE_FAULT, /* the publisher broke the framing: *ret_err is the enum close_reason */
};

enum {
	INTAKE_PIPES_MAX = 32, /* full pipes that wait for the end of a long message */
};

struct intake_params {
	struct framing_params framing;
	bool is_auto;       /* the engine is chosen for each packet */
	enum engine engine; /* else it is this one                  */
	struct engine_thresholds thresholds;
	size_t segment_bytes; /* of a packet at most, but for long messages */
};

/* The rest in memory: bytes[start .. end). */
struct intake_memory {
	uint8_t *bytes; /* malloc'ed; NULL: nothing has come this way yet */
	size_t start;
	size_t end;
	size_t room;
	unsigned short_packets; /* since the last long message */
};

/* framing = relay: the packet that is being read.  Those that share a message are one packet. */
struct intake_relay {
	uint8_t head[PACKET_HEADER_BYTES];
	size_t head_bytes;
	struct packet_header header; /* as far as heads are complete; all zero: none is */
};

/* True when there is a header, and more of the packet is to come. */
static inline bool intake_relay_has_packet(const struct intake_relay *relay)
{
	return relay->head_bytes == sizeof(relay->head) ||
	       relay->header.flags & PACKET_FLAG_CONTINUED;
}

struct intake {
	struct intake_params params; /* ro */
	struct packet_sink sink;     /* ro */
	struct pipe_set *pipes;      /* the owner's */
	struct metrics *metrics;     /* the owner's: what goes another way is counted there */
	struct engine_choice choice; /* ro; readers: rw */
	struct framing_scan scan;    /* private */
	uint64_t came_ns;            /* private: of the packet that is cut next; 0 = now */
	size_t message_bytes;        /* private: mean of those found by the last look */
	bool splice_refused;         /* private: by the kernel, for this source */
	struct pipe rest[INTAKE_PIPES_MAX]; /* private: the last one is being filled */
	size_t rest_count;                  /* private: pipes in rest; else the rest is in memory */
	uint64_t taken_bytes;               /* ro: from all sources, published or not */
	uint64_t take_end;                  /* private: where in them this take is to end */
	struct intake_memory memory;        /* private */
	struct intake_relay relay;          /* private */
};

/* Makes an intake without a source.  `params` and `sink` are copied; `pipes` and `metrics` must
 * outlive it. */
void intake_init(struct intake *intake, const struct intake_params *params,
		 const struct packet_sink *sink, struct pipe_set *pipes, struct metrics *metrics);

/* Gives pipes and memory back. */
void intake_fini(struct intake *intake);

/* Takes over max_message, ends_with_source, the engine and the thresholds.  All else stays
 * as it was.
 */
void intake_change(struct intake *intake, const struct intake_params *params);

/* Takes what makes one packet, or a part of a long one.  Packets that are complete are given to the
 * sink before it returns. */
enum intake_result intake_take(struct intake *intake, const struct source *source, int *ret_err);

/* True between two messages: there is no rest, or only a TS packet that no other one has come
 * behind. */
bool intake_is_between(const struct intake *intake);

/* True when there is no rest. */
bool intake_is_empty(const struct intake *intake);

/* The source is silent, or has ended in good order.  Gives the sink the rest if that is a whole
 * message; see framing_finish().  True: it is, and there is no rest now. */
bool intake_finish(struct intake *intake, bool has_ended);

/* Drops the rest and all else that is known of the source, since another one is to come.  Returns
 * the bytes of the rest. */
uint64_t intake_reset(struct intake *intake);

/* The kernel does not do what engines with pipes need: from now on it is copied. */
void intake_refuse_pipes(struct intake *intake);

/* ---- for the other files of this folder: the rest, and the choice of a way ---- */

/* Bytes of the rest in pipes, and in memory. */
size_t intake_pipe_bytes(const struct intake *intake);
size_t intake_memory_bytes(const struct intake *intake);

/* Drops the rest; the source goes on. */
void intake_drop_rest(struct intake *intake);

/* Moves the rest from the pipes to memory: 0, -ENOMEM or -EIO.  Or back, when it is short enough:
 * true when it is in the pipes now. */
int intake_rest_to_memory(struct intake *intake);
bool intake_rest_to_pipe(struct intake *intake);

/* By which engine to take in what a packet of about `bytes` will be cut of. */
enum engine intake_expect(const struct intake *intake, const struct source *source, size_t bytes);

/* Of `count` bytes, what this take may still have. */
size_t intake_allowed(const struct intake *intake, size_t count);

/* As read(2) of the source, for no more than this take may have.  What it returns is counted.  With
 * nothing allowed it fails with EAGAIN. */
must_check ssize_t intake_receive(struct intake *intake, const struct source *source, void *bytes,
				  size_t count);

/* A data packet that is cut here. */
struct packet intake_cut(struct intake *intake, uint32_t messages, size_t bytes);

/* What a fault of the framing is to the publisher.  INTAKE_FAULT; or INTAKE_TOOK: only the sync is
 * lost, and counted, and packets have to be looked for in the rest. */
enum intake_result intake_fault(struct intake *intake, enum framing_fault fault, int *ret_err);
