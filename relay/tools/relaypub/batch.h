// SPDX-License-Identifier: MIT
/* Messages on their way: those to be sent, and those sent that relay's kernel has not acknowledged.
 *
 * What is forgotten is whole messages from the front, so after a lost connection sending begins
 * again with a whole message.  Pure but for its memory: no I/O. */
#pragma once

#include "base/compiler.h"
#include "tools/shared/delimiter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch {
	enum delimiter framing; // tells messages apart; none: they may be parted anywhere
	uint8_t *bytes;
	size_t room;
	size_t start; // of the oldest message that is kept
	size_t sent;  // so far; start <= sent <= whole
	size_t whole; // end of the last whole message; what is behind it is not sent yet
	size_t end;   // of all bytes
};

/* Room for `room` bytes, which are used as they are needed.  0 or -ENOMEM. */
must_check int batch_init(struct batch *batch, enum delimiter framing, size_t room);
void batch_fini(struct batch *batch);

/* Where `need` bytes can be added; NULL while too much is kept.  Moves what is kept. */
must_check uint8_t *batch_space(struct batch *batch, size_t need);

/* Adds what was written there.  With `line` messages are whole up to the last line feed; with any
 * other framing the bytes end with a whole message. */
void batch_add(struct batch *batch, size_t size);

/* No more will come: what is behind the last line feed is a message too. */
void batch_finish(struct batch *batch);

size_t batch_unsent_bytes(const struct batch *batch);
const uint8_t *batch_unsent(const struct batch *batch);
void batch_note_sent(struct batch *batch, size_t size);

/* Forgets the messages of which no byte is among the last `unacknowledged` that were sent.  Returns
 * the bytes that it forgot. */
size_t batch_acknowledge(struct batch *batch, size_t unacknowledged);

/* Nothing is sent of what is kept.  Returns the bytes that were. */
size_t batch_rewind(struct batch *batch);

/* Forgets the oldest message, when it is whole; to be called with nothing sent.  Returns its bytes:
 * 0 where there is none. */
size_t batch_drop_first(struct batch *batch);
