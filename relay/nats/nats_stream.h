// SPDX-License-Identifier: MIT
/*
 * What a reader has to know of a stream of JetStream before it reads, and while nothing comes.
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "nats/nats_connection.h"
#include "nats/stream_position.h"

/* Asks for it.  *ret is what was seen before, all 0 at first: what has not changed since is not asked for
 * again.  0; or -errno, with what is wrong and what to do about it in *err.  A stream from which
 * messages go as they are read (work queue, interest) is wrong: relay would take them from others. */
int nats_stream_look(struct nats_connection *connection, const struct backbone_params *params,
		     struct stream_seen *ret, struct errmsg *err) must_check;

/* What a call to the stream's API has come to, in words for the operator: as nats_stream_look(). */
int nats_stream_error(struct nats_connection *connection, const struct backbone_params *params,
		      natsStatus status, jsErrCode code, struct errmsg *err);
