// SPDX-License-Identifier: MIT
/*
 * A reader: a thread that reads one subject or stream of NATS for one feed.
 *
 *   NATS ---> libnats ---> reader's thread ---> socket pair ---> the worker's loop: intake, feed
 *
 * Why a thread, though the library can be driven by an event loop: it connects, resolves names,
 * does TLS and waits for answers of JetStream inside its calls, for seconds where a server is gone.
 * A worker must never wait.  So the library is used from a thread of its own, and the worker reads
 * a socket, as of any publisher.  The socket is the bounded queue between them: while the feed does
 * not read, the thread waits, and the server is held up by flow control (nats_consumer.h).
 *
 * In the socket are packets of the framed format with the numbers that the feed follows
 * (feed/number.h):
 *	of a stream     its own sequence.  The session is the time of its creation, so both are
 *	                the same at every relay that reads it.  What the stream skips is a gap
 *	                with the flag HOLE.
 *	of a subject    the feed's session, counted on from where it was.
 *
 * The thread goes through this again and again, until it is stopped:
 *
 *   connect to any server --> look at the stream --> consumer from the next message on --> read
 *       ^                                                                                   |
 *       +--- lost, silent, or something missing: from the first message that has not come --+
 *
 * While nothing comes it compares the stream's last message with what has come, for a server may
 * have stopped sending though its connection looks well.
 *
 * The source is up once something can be read, and down when it could not for READER_DOWN_MS.  That
 * is longer than the election of a stream's leader takes.  A subject is down at once, since what is
 * sent meanwhile is lost.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "nats/nats_connection.h"

enum {
	READER_DOWN_MS = 10000,
};

struct nats_reader;

struct nats_reader_params {
	const struct backbone_params *backbone; /* copied */
	const char *feed;                       /* its name, for the log; copied */
	uint32_t session;                       /* of the feed; where the stream's is the same, */
	uint64_t next_seq;                      /* it begins with this message */
	uint64_t max_message;                   /* what is longer is passed over, and counted */
	struct ev_loop *loop;                   /* in which `news` is told that */
	ev_async *news;                         /* the report has changed; started */
};

struct nats_report {
	bool is_up;   /* something can be read */
	bool is_down; /* it cannot, and could not for READER_DOWN_MS.  At first neither is true */
	uint32_t session;               /* of the packets in the socket; 0: there are none yet */
	char server[NATS_SERVER_BYTES]; /* "": to none */
	uint64_t lag;                   /* messages that the stream has and that have not come */
	uint64_t connects;              /* to servers, since the start */
	uint64_t renewals;              /* consumers that were made anew, since the start */
	uint64_t losses;                /* times that the stream had lost what was read */
	uint64_t too_long;              /* messages longer than max_message, since the start */
};

/* Starts the thread.  Packets come out of *ret_fd, which is the caller's, non-blocking and
 * close-on-exec.  0 or -errno. */
int nats_reader_start(const struct nats_reader_params *params, struct nats_reader **ret,
		      int *ret_fd) must_check;

/* In the loop of `news`.  Afterwards it gets no more news, and the thread ends by itself as soon as
 * it can: nobody waits for it.  Clears the pointer; NULL inside is fine. */
void nats_reader_stop(struct nats_reader **reader);

/* From any thread. */
void nats_reader_report(struct nats_reader *reader, struct nats_report *ret);

/* What is longer is passed over from now on. */
void nats_reader_set_max_message(struct nats_reader *reader, uint64_t max_message);
