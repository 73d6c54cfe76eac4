// SPDX-License-Identifier: MIT
/* What the log says of the subscribers of a feed: few lines, however many there are. */
#pragma once

#include "base/log.h"
#include "fanout/fanout.h"

struct subscriber_log {
	const char *feed; /* its name; outlives this */
	struct log_rate skips, closes;
};

/* A subscriber has skipped. */
void subscriber_log_skip(struct subscriber_log *log, const struct subscriber *subscriber,
			 const struct skip *skip);

/* A subscriber is about to be closed; cause: what held it back, NULL if that is not why. */
void subscriber_log_close(struct subscriber_log *log, const struct subscriber *subscriber,
			  enum close_reason reason, const char *cause);

/* 10 times a second: what was held back is summed up.  now_ns: monotonic. */
void subscriber_log_tick(struct subscriber_log *log, uint64_t now_ns);
