// SPDX-License-Identifier: MIT
/*
 * A publisher by HTTP on its way from its request to the worker where its feed is at home.
 *
 * The control thread has read the request and let it in.  The worker tells the publisher to go on,
 * and gives it to the ingest, which may refuse it still: another one may have come meanwhile.
 */
#pragma once

#include "loop/inbox.h"
#include "http/http_connection.h"
#include "http/stream_answer.h"
#include "source/ingest.h"

struct publisher_request {
	struct http_connection *connection; /* whose request it is */
	const struct http_request *request;
	const struct stream_answer *answer; /* how it is answered; with a checked handshake */
	bool is_websocket;
	bool ends_lines; /* as in publisher_body_params */
};

/* Takes the socket and sends it off; inbox: of the ingest's worker.  The ingest must be there until
 * the task has run.  0; -ENOMEM: the connection is still to be answered. */
int publisher_arrive(const struct publisher_request *from, struct ingest *ingest,
		     struct inbox *inbox) must_check;
