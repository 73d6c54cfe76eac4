// SPDX-License-Identifier: MIT
/* Pieces of a buffer on their way to a descriptor, gathered into few large writes.
 *
 * Pieces are referred to, not copied: output_flush() comes before their buffer is used again.
 * The descriptor may be blocking (standard output is not ours to change). */
#pragma once

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	OUTPUT_PIECES = 512,
};

struct output {
	int fd; // the caller's; -1 throws the pieces away
	int pieces;
	struct iovec piece[OUTPUT_PIECES];
};

void output_init(struct output *output, int fd);

/* 0 or as output_flush(), which it calls when there are OUTPUT_PIECES. */
must_check int output_add(struct output *output, const uint8_t *bytes, size_t size);

/* Writes all there is.  0, -EPIPE when the reader is gone, -EINTR when stop was requested before
 * all was written, or -errno of writev(2); the pieces are gone in any case. */
must_check int output_flush(struct output *output);
