// SPDX-License-Identifier: MIT
/*
 * A stream of state that one process writes and the next one reads: numbers, texts, bytes and
 * descriptors, in a fixed order.
 *
 * One function says the order for both directions: it calls state_...() with pointers to members,
 * which are written from, or read to.  So what is written and what is read cannot differ.  Reading
 * is strict: the first value that is out of its bounds, or missing, is the stream's fault, with
 * what it was and where; all later calls do nothing and leave zeros, so only the end has to be
 * checked.  Numbers are in the byte order of the machine, which is the same for both.
 *
 * Descriptors travel beside the stream.  In it is only the number that each has in the process that
 * writes, by which the next one finds it (kept_fds.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct kept_fds;

struct state_stream {
	bool is_reading; /* ro */
	uint8_t *bytes;  /* ro: writing: owned; reading: the caller's */
	size_t length;   /* ro: bytes there are */
	size_t offset;   /* private: reading: where */
	size_t room;     /* private: writing */
	int *fds;        /* ro: writing: all that were written; owned, the descriptors are not */
	size_t fd_count; /* ro */
	size_t fd_room;  /* private */
	struct kept_fds *kept; /* private: reading */
	const char *fault;     /* ro: what was wrong first; NULL: nothing */
	size_t fault_offset;
};

/* An empty stream to write to. */
void state_stream_write(struct state_stream *stream);

/* A stream to read from; `bytes` must outlive it and what is read by state_bytes().  Descriptors
 * are taken out of `kept`; NULL: they are read as the numbers that stand there. */
void state_stream_read(struct state_stream *stream, uint8_t *bytes, size_t length,
		       struct kept_fds *kept);

/* Frees what is owned; descriptors stay open.  Idempotent. */
void state_stream_free(struct state_stream *stream);

/* For checks of what belongs together: notes `what` unless something was wrong before.  Written
 * state is checked too, so that nobody leaves what the next one would refuse. */
void state_fail(struct state_stream *stream, const char *what);

/* A fault where reading ends with bytes left over. */
void state_end(struct state_stream *stream);

/* `what` names the value in a fault; a value read is at most `max`. */
void state_u64(struct state_stream *stream, uint64_t *value, uint64_t max, const char *what);
void state_size(struct state_stream *stream, size_t *value, uint64_t max, const char *what);
void state_unsigned(struct state_stream *stream, unsigned *value, unsigned max, const char *what);
void state_bool(struct state_stream *stream, bool *value, const char *what);

/* A text in an array of `size` bytes, its zero byte included. */
void state_text(struct state_stream *stream, char *text, size_t size, const char *what);

/* `length` bytes (already transferred) at *bytes; read: a pointer into the stream. */
void state_bytes(struct state_stream *stream, uint8_t **bytes, size_t length, const char *what);

/* The length of an array whose elements take at least `least_bytes` each in the stream; read: an
 * array of zeros, malloc'ed and the caller's, NULL for 0 elements.  Returns false, with *count 0,
 * when there is nothing to go on with. */
bool state_array(struct state_stream *stream, void **array, size_t *count, size_t element_bytes,
		 size_t least_bytes, const char *what);

/* A descriptor, or -1.  Written: among the stream's, where each may be once.  Read: the number that
 * it has here; a fault where it did not come. */
void state_fd(struct state_stream *stream, int *fd, const char *what);

/* Written: one more that is to come along, by whatever else its number is known. */
void state_add_fd(struct state_stream *stream, int fd);
