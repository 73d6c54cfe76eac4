// SPDX-License-Identifier: MIT
/*
 * Moving bytes from a segment to one subscriber's socket, by tee and splice or by sendmsg.
 * It knows nothing of policies; subscriber.c decides what to do with the outcome.
 */
#pragma once

#include "fanout/subscriber.h"

enum send_outcome {
	SEND_DONE,    /* the segment has been read to its end (or the limit)   */
	SEND_BLOCKED, /* the socket takes no more for now                      */
	SEND_FAILED,  /* the socket is broken: *ret_err                        */
};

/* Sends at most `limit` bytes of the cursor's segment from where the cursor is, and advances it. */
enum send_outcome send_segment(struct subscriber *subscriber, size_t limit, int *ret_err);

/* Sends `bytes` for this subscriber alone; *ret_sent says how many went. */
enum send_outcome send_note(struct subscriber *subscriber, const uint8_t *bytes, size_t length,
			    size_t *ret_sent, int *ret_err);
