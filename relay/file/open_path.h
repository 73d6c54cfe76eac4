// SPDX-License-Identifier: MIT
/* Opening the path of an ingest, and making sure of what is there. */
#pragma once

#include <stdint.h>

#include <stdbool.h>

#include "base/compiler.h"
#include "base/errmsg.h"

/* A fifo, for reading, without waiting for a writer (fifo(7)). 0 and *ret_fd, which does not block;
 * or -errno with a message that names it, -EINVAL: it is none. */
int open_fifo(const char *path, int *ret_fd, struct errmsg *err) must_check;

/* How a serial line is set: 8N1 is 8 bits, no parity, 1 stop bit. */
struct serial_mode {
	uint32_t speed;     /* baud */
	unsigned data_bits; /* 5 to 8 */
	char parity;        /* N, E or O */
	unsigned stop_bits; /* 1 or 2 */
};

/* A serial device, for bytes as they come (termios(3), raw), and for nobody else from now on.
 * What has come before is dropped.  is_written: it can be written to as well.  As above; -ENOTTY:
 * it is none. */
int open_serial(const char *path, const struct serial_mode *mode, bool is_written, int *ret_fd,
		struct errmsg *err) must_check;

/* A regular file, and its length. word: file or tail, for the message. As above. */
int open_regular(const char *word, const char *path, int *ret_fd, uint64_t *ret_bytes,
		 struct errmsg *err) must_check;
