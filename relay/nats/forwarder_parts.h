// SPDX-License-Identifier: MIT
/*
 * For the files of the forwarder only: forwarder.c, which is the loop's, and those of its thread:
 * forwarder_thread.c, and forwarder_input.c and forwarder_output.c, which it calls.
 */
#pragma once

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/backoff.h"
#include "base/errmsg.h"
#include "base/log_rate.h"
#include "loop/inbox.h"
#include "nats/forwarder.h"
#include "nats/nats_connection.h"
#include "nats/nats_stream.h"
#include "nats/packet_input.h"
#include "nats/stream_tail.h"
#include "nats/unacked.h"
#include "packet/framing.h"

/* A packet whose messages are being published, one by one. */
struct packet_in_hand {
	const uint8_t *bytes; /* the input's: of those that are left */
	size_t count;         /* 0: none is left */
	uint64_t sequence;    /* of the first one that is left */
	uint64_t next_seq;    /* behind the packet */
};

struct forwarder {
	struct forwarder_params params;      /* ro */
	char feed_name[FEED_NAME_BYTES + 1]; /* ro */
	struct framing_params framing;       /* ro: where messages end in a packet */
	bool has_history;                    /* ro */
	_Atomic unsigned owners; /* the loop's, the thread's, and that of a task on its way */
	_Atomic bool is_stopped; /* it is to end at once; set with the lock */
	_Atomic bool is_ending;  /* with the stream that it has */

	/* The loop's. */
	struct forwarder_source source; /* feed NULL: it does not join any more */
	struct forwarder_report seen;   /* as of the last look */
	ev_timer look;
	struct task join;         /* the question of the thread for a stream */
	struct forward_id begin;  /* the same: it begins with this message */
	struct replay_read *read; /* owned: where that is in the history; NULL: not asked yet */
	bool is_reading;          /* the disk has not answered yet */
	/* monotonic: for the recorder to write that; 0: it does not wait */
	uint64_t waits_until_ms;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* With the lock. */
	struct inbox *inbox; /* as long as it is not stopped */
	bool has_ended;      /* the thread */
	bool is_answered;    /* its question for a stream */
	int stream;          /* the answer; -1: there is none */
	/* the question: begin with this message; session 0: with the oldest */
	struct forward_id from;
	struct forwarder_report report;

	/* The thread's. */
	struct forwarder_report counts; /* what `report` is to be */
	bool is_asking;                 /* it has asked for a stream, and has no answer yet */
	struct packet_input input;
	struct packet_in_hand hand;
	struct unacked unacked;
	struct forward_id position;  /* of the next message to publish; session 0: not known yet */
	uint64_t sent_until;         /* through this connection: unacked before this number */
	struct stream_target target; /* last_seq: once it has what is on its way */
	struct stream_tail tail;     /* what the stream has */
	bool is_aligned; /* target.last_seq is what the stream will have, by an acknowledgement */
	bool is_late;    /* it may no longer know what comes a second time */
	unsigned overtaken; /* so often in a row it had more than relay knew of */
	uint64_t joined_ms; /* monotonic: when it last had an answer to that */
	uint64_t heard_ms;  /* monotonic: when the stream last had all, or acknowledged anything */
	struct backoff backoff;
	struct errmsg told; /* what the log has been told of the trouble there is; "": none */
	bool has_told_look; /* that it looks at its stream, since it was last up */
	struct log_rate missed_log, too_long_log;
};

/* Gives up one of the shares in it; the last one frees it. */
void forwarder_release(struct forwarder *forwarder);

/* What the thread does. */
void *forwarder_run(void *forwarder);

/* ---- forwarder_input.c ---- */

/* A socket with what the feed publishes from the position on.  The first one is there already.  -1:
 * there is none now, or not yet: is_asking.  Waits for a moment. */
int forwarder_ask_for_stream(struct forwarder *forwarder);

/* With the lock: until something changes; false: it is later than that (monotonic). */
bool forwarder_wait(struct forwarder *forwarder, uint64_t until_ns);

/* Takes the next packet into the empty hand; there may be none.  Waits for one for a moment.
 * 0 or -ENOMEM. */
must_check int forwarder_take_packet(struct forwarder *forwarder);

/* The stream has had what comes up to the floor of its tail: it is not the next to be published. */
void forwarder_raise_to_floor(struct forwarder *forwarder);

/* ---- forwarder_output.c ---- */

/* Each that returns an int: 0; or -errno with a message, and the connection is to be left.  acks:
 * the answers to what is published, each by the number of its message. */

/* Publishes what was not acknowledged through another connection, as far as that may be on its way
 * now: from sent_until, which is 0 in the beginning. */
must_check int forwarder_publish_again(struct forwarder *forwarder,
				       struct nats_connection *connection,
				       const struct nats_answers *acks, struct errmsg *err);

/* May a new message be published now? */
bool forwarder_has_room(const struct forwarder *forwarder);

/* Publishes what is in the hand, as far as there may be more that is not acknowledged. */
must_check int forwarder_publish_hand(struct forwarder *forwarder,
				      struct nats_connection *connection,
				      const struct nats_answers *acks, struct errmsg *err);

/* Takes the acknowledgements that have come; waits so long for the first one. */
must_check int forwarder_take_acks(struct forwarder *forwarder, const struct nats_answers *acks,
				   uint32_t wait_ms, struct errmsg *err);
