// SPDX-License-Identifier: MIT
/*
 * Packets of a history in another format than that of the files: encoded anew, and gathered in a
 * block.
 *
 *   run of packets --- replay_block_fill() ---> block [payload in the file] [trailer]
 *                  --- replay_block_send() ---> socket
 *
 * A large payload that the format leaves as it is stays in the file, and goes by sendfile(2).  All
 * else is copied.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "packet/encoder.h"

struct history_run;

/* What a reader wants. */
struct replay_format {
	const struct encoder *encoder;
	const struct framing_params *framing; /* of the feed; they outlive the reader */
	bool passes_gaps; /* a gap that the format cannot tell does not end it */
};

/* All zero: it is empty. */
struct replay_block {
	uint8_t *bytes; /* private: owned; NULL: it is empty */
	size_t room, count, sent;
	uint64_t payload_offset, payload_left; /* ro: what is sent behind it, of the file */
	uint8_t trailer[ENCODER_TRAILER_MAX];  /* private: and what behind that */
	size_t trailer_bytes;
};

static inline bool replay_block_is_empty(const struct replay_block *block)
{
	return !block->bytes;
}

/* Takes whole packets from the start of the run, and of its first `limit` bytes only, which end
 * between two packets.  The block is empty before.  *ret_taken: bytes of the run.
 * *ret_missed: messages that a gap says are missing, where the format cannot tell of a gap; that
 * gap has been taken alone.  Heartbeats are left out, but where the format is framed.  Returns 0;
 * -ENOMEM, -EBADMSG: the file is not as it was written; or -errno of pread(2).  -EINPROGRESS: so
 * many bytes of the run, *ret_taken, have to be brought into the page cache first.  The block is
 * empty after an error. */
must_check int replay_block_fill(struct replay_block *block, const struct replay_format *format,
				 struct history_run *run, uint64_t limit, uint64_t *ret_taken,
				 uint64_t *ret_missed);

/* Sends what the socket takes.  run: as before.  *ret_sent: how many bytes, also when
 * there is an error.  Returns 1: the block is empty; 0: the socket takes no more for now; or
 * -errno of send(2) or sendfile(2), -EIO where the file has become shorter.  -EINPROGRESS: the
 * payload has to be brought into the page cache first, from payload_offset on. */
must_check int replay_block_send(struct replay_block *block, int fd, struct history_run *run,
				 size_t *ret_sent);

/* Leaves out the first `bytes` of what is to be sent, or as many as there are; returns how many. */
uint64_t replay_block_drop(struct replay_block *block, uint64_t bytes);

/* Gives up what is in it. */
void replay_block_clear(struct replay_block *block);
