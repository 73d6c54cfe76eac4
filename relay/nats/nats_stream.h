// SPDX-License-Identifier: MIT
/*
 * What has to be known of a stream of JetStream before it is read or published to, and
 * while nothing comes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "nats/nats_connection.h"
#include "nats/stream_position.h"
#include "nats/stream_tail.h"

/* Asks for it.  *ret is what was seen before, all 0 at first: what has not changed since is not
 * asked for again.  0; or -errno, with what is wrong and what to do about it in *err.  A stream
 * from which messages go as they are read (work queue, interest) is wrong: relay would take them
 * from others.  One whose replicas have no leader is not believed. */
int nats_stream_look(struct nats_connection *connection, const struct backbone_params *params,
		     struct stream_seen *ret, struct errmsg *err) must_check;

/* When the stream took the message with this number, wall clock; 0: it has none.  0 or -errno
 * with a message. */
int nats_stream_find_time(struct nats_connection *connection, const struct backbone_params *params,
			  uint64_t sequence, uint64_t *ret_ns, struct errmsg *err) must_check;

/* What a call to the stream's API has come to, in words for the operator: as nats_stream_look(). */
int nats_stream_error(struct nats_connection *connection, const struct backbone_params *params,
		      natsStatus status, jsErrCode code, struct errmsg *err);

/* For who publishes to params->subject. */
struct stream_target {
	/* a message may have, with its header fields: to the server and the stream */
	size_t max_bytes;
	uint64_t window_ms; /* so long the stream remembers ids of messages */
	uint64_t first_seq; /* of the stream: its oldest message */
	uint64_t last_seq;  /* of the stream: its newest message, also if that is gone */
	/* it has this subject and no other, and nothing comes into it elsewhere */
	bool is_ours_alone;
};

/* Asks for it.  0; or -errno, with what is wrong and what to do about it in *err: there is no such
 * stream, it does not have the subject, or it acknowledges nothing. */
int nats_stream_look_at_target(struct nats_connection *connection,
			       const struct backbone_params *params, struct stream_target *ret,
			       struct errmsg *err) must_check;

/* Asks the leader for the newest message of params->subject; or, is_whole, for as many as there
 * are in a tail, from the newest one backwards and many at once: on a busy machine an answer may
 * take 100 ms.  (A consumer would be no help: it may read from a replica that is behind, and a
 * user that only publishes may not make one.)  target->last_seq is raised to that.  0; or -errno
 * with a message. */
int nats_stream_find_tail(struct nats_connection *connection, const struct backbone_params *params,
			  struct stream_target *target, bool is_whole, struct stream_tail *ret,
			  struct errmsg *err) must_check;

/* Has the server refused something for want of permission?  Then *err says what, and what is
 * needed.  It is said once. */
bool nats_stream_take_refusal(struct nats_connection *connection,
			      const struct backbone_params *params, struct errmsg *err);
