// SPDX-License-Identifier: MIT
/*
 * Messages as they come: of a stream in its order, or of a plain subject.
 *
 * Of a stream, the server counts what it delivers, and says so in each message and in a heartbeat
 * whenever it is idle.  So what is missing shows at the next of either, and so does a server that
 * has stopped.  Nothing is acknowledged, and nothing comes a second time: whoever lacks anything
 * makes a new consumer that begins with it.
 *
 * What has come and is not taken yet is bounded.  Of a stream by flow control: the server sends no
 * more than a window of 32 MiB at most before it is answered, and is answered when all before has
 * been taken.  Of a plain subject by the library: beyond CONSUMER_PENDING_BYTES messages are
 * dropped, and counted.
 *
 * A consumer belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "nats/nats_connection.h"

enum {
	CONSUMER_HEARTBEAT_MS = 1000,
	CONSUMER_SILENT_MS =
		3000, /* neither message nor heartbeat: the server does not send any more */
	CONSUMER_PENDING_BYTES = 64 << 20,
};

struct nats_message {
	natsMsg *message;     /* owned; natsMsg_Destroy() */
	uint64_t sequence;    /* in the stream; 0: of a plain subject */
	uint64_t time_ns;     /* wall clock, when the stream has taken it; 0: of a plain subject */
	uint64_t pending;     /* messages that are still to come of what the stream has now */
	uint64_t missed;      /* of a plain subject: dropped before it */
	const uint8_t *bytes; /* the library's */
	size_t count;
};

enum nats_arrival {
	NATS_ARRIVAL_MESSAGE,
	NATS_ARRIVAL_NONE, /* within the time */
	NATS_ARRIVAL_LOST, /* the consumer is to be made anew */
};

struct nats_consumer {
	struct nats_connection *connection;
	natsSubscription *subscription;
	char stream[256];   /* "": of a plain subject */
	char name[128];     /* the server's */
	uint64_t pending;   /* messages of the past that it began with */
	uint64_t delivered; /* how many the server has, by its own count */
	uint64_t heard_ms;  /* monotonic: the last message or heartbeat */
	int64_t dropped;    /* of a plain subject: as of the last message */
};

/* Of a stream: begins with message `from_seq`; or, where that is 0, with those that came since
 * from_ns (wall clock).  Of a plain subject both are 0.  0; or -errno with a message, nothing
 * is open then. */
int nats_consumer_open(struct nats_consumer *ret, struct nats_connection *connection,
		       const struct backbone_params *params, uint64_t from_seq, uint64_t from_ns,
		       struct errmsg *err) must_check;

/* Removes it from the server, if that can be told.  Idempotent. */
void nats_consumer_close(struct nats_consumer *consumer);

/* Waits up to wait_ms.  *ret is set with NATS_ARRIVAL_MESSAGE, and *why with
 * NATS_ARRIVAL_LOST. */
enum nats_arrival nats_consumer_next(struct nats_consumer *consumer, uint32_t wait_ms,
				     struct nats_message *ret, const char **why);
