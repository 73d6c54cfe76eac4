// SPDX-License-Identifier: MIT
/*
 * A subscriber by HTTP on its way to its worker.
 *
 * Who may want what is only in the history goes to the worker that reads it.  The ring there is
 * looked at first.
 *
 * The head of the answer is sent there, right before the first byte of the stream: only the worker
 * knows whether its ring has the message that was asked for, and nothing can be trimmed between
 * looking and joining, since both are one task.
 */
#pragma once

#include "fanout/subscriber.h"
#include "history/replay.h"
#include "http/stream_answer.h"
#include "serve/quota.h"

struct feed;

struct http_arrival {
	struct task task;            /* private */
	struct feed *feed;           /* in that worker */
	struct rendition *rendition; /* of the feed */
	struct quota *quota;
	int fd;
	struct subscriber_params params; /* quota and id: of http_arrival_post() */
	struct stream_answer answer;
	struct history
		*history; /* where its worker reads what its ring does not have; NULL: nowhere */
	struct replay_range range; /* with history */
};

/* Sends it to the worker of its quota; takes all of it over. */
void http_arrival_post(struct http_arrival *arrival);
