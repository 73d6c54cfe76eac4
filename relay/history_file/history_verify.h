// SPDX-License-Identifier: MIT
/*
 * Verifying a history file: its packets follow one another, its bytes have the sums of its index,
 * and the index says of each packet what the packet says.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "history_file/history_index.h"

struct history_verified {
	uint64_t packets, messages; /* messages that end in it */
	uint64_t gaps, missed;      /* gap packets, and the messages in them */
	uint64_t bytes;             /* of whole packets */
	uint64_t left_bytes;        /* behind them; not 0 only where it was not closed for good */
	uint64_t entries;           /* of the index */
	bool is_sealed;             /* closed for good */
	struct history_entry first; /* its first packet */
	struct history_entry end;   /* behind the last whole packet; without crc */
	/* With -EBADMSG: the first byte that is wrong is one of these.  wrong_from counts from the
	 * beginning of the file; before it, everything is as it was written. */
	uint64_t wrong_from, wrong_to;
};

/* Reads all of it.  Of a file that was not closed for good, the index may be behind, and the end
 * may be a part of a packet: it may be written just now.  Both descriptors are the caller's.
 * Returns 0; -EBADMSG, with a message that says what is wrong where; or -errno of reading. */
must_check int history_verify(int fd, int index_fd, struct history_verified *ret,
			      struct errmsg *err);
