// SPDX-License-Identifier: MIT
/*
 * A connection to one of the NATS servers that are configured, by libnats (nats.h, 3.4).
 *
 * It is made to whichever server answers first; the library tries them in random order.  It is
 * never mended: when it is lost, or its server is about to shut down (lame duck), the owner closes
 * it and opens another.  So there is one way to begin, and each server of the list is tried again.
 *
 * All functions wait for the network, for NATS_WAIT_MS and a server at most.  They are called by a
 * reader's thread, never by a loop.
 */
#pragma once

#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "source/ingest.h"

enum {
	NATS_WAIT_MS = 2000, /* for one answer of a server */
	NATS_SERVER_BYTES = 256,
	NATS_ANSWER_BYTES = 128, /* a subject for an answer */
};

struct nats_events;

struct nats_connection {
	natsConnection *connection; /* NULL: closed */
	jsCtx *stream_api;
	struct nats_events *events;     /* private: what the library's threads have told */
	char server[NATS_SERVER_BYTES]; /* such as nats://a:4222 */
};

/* Connects, and reads the secrets of `params` from their files for it.  name: who is connected, for
 * the lists of the server.  0; or -errno, with what is wrong and what to do about it in *err. */
int nats_connection_open(struct nats_connection *ret, const struct backbone_params *params,
			 const char *name, struct errmsg *err) must_check;

/* Idempotent. */
void nats_connection_close(struct nats_connection *connection);

/* Ends a subscription, and clears the pointer; NULL inside is fine.  Until libnats 3.6 the
 * library's reading thread looks at a subscription that it does not hold (nats.c, issue 637).  So
 * it is freed once that thread is past all that came for it, which the server's answer shows, or
 * has ended: without an answer the connection is closed, and then lost. */
void nats_connection_unsubscribe(struct nats_connection *connection,
				 natsSubscription **subscription);

/* Why it is to be left: "" while it is not. */
const char *nats_connection_why_lost(const struct nats_connection *connection);

/* What the server last refused for want of permission.  False: nothing.  It is asked for once. */
bool nats_connection_take_refusal(struct nats_connection *connection, struct errmsg *ret);

/* Reads the secrets and the list of servers, as nats_connection_open() does; connects to nobody.  0
 * or -errno with a message. */
int nats_connection_check(const struct backbone_params *params, struct errmsg *err) must_check;

/* ---- many questions at once ---- */

/* The answers to them.  Each question has a number, which stands in the subject that it
 * is answered to. */
struct nats_answers {
	struct nats_connection *connection;
	natsSubscription *subscription;
	natsInbox *inbox;
};

/* nats_answers_close() is next, in any case.  0 or -errno with a message. */
must_check int nats_answers_open(struct nats_answers *ret, struct nats_connection *connection,
				 struct errmsg *err);
void nats_answers_close(struct nats_answers *answers);

/* Where the question with this number is to be answered. */
void nats_answers_subject(const struct nats_answers *answers, uint64_t number,
			  char ret[NATS_ANSWER_BYTES]);

/* The next one, with the number of its question; waits up to wait_ms.  NATS_OK: natsMsg_Destroy()
 * is the caller's. */
must_check natsStatus nats_answers_next(const struct nats_answers *answers, uint32_t wait_ms,
					natsMsg **ret, uint64_t *ret_number);
