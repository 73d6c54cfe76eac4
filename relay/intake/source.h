// SPDX-License-Identifier: MIT
/*
 * A source: the descriptor that an intake reads, and how the stream stands in it.
 *
 * Mostly the connection is the stream.  Then the kernel can pass it on, and nobody sees it.  A body
 * that a publisher sends by HTTP may have more in it, such as the sizes of its chunks.  Then it is
 * read through functions that an upper floor hands down, and its bytes are seen once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/endpoint.h"
#include "table/close_reason.h"

struct source_body;

struct source_body_functions {
	/* As read(2) of the stream; it is never interrupted.  0: the stream has ended as it should.
	 * -1 with EBADMSG: `fault` says why there can be no more of it.  Blocks no more than fd
	 * does.  Of a feed of lines, count is 2 or more: a line may get its end here. */
	ssize_t (*read)(struct source_body *body, int fd, void *bytes, size_t count);

	/* The publisher ends for this reason, and is told so if it can be.  Then frees the body.
	 * fd is open, and stays the caller's.  True: it has been told. */
	bool (*end)(struct source_body *body, int fd, enum close_reason reason);

	/* What end() would send, for somebody else to send it; a buffer of SOURCE_WORDS_BYTES.
	 * Returns its bytes, 0 for none.  NULL: there never are any. */
	size_t (*last_words)(struct source_body *body, enum close_reason reason, char *ret);
};

enum {
	SOURCE_WORDS_BYTES = 7168, /* an answer by HTTP fits */
};

#define SOURCE_ENDLESS UINT64_MAX

/* The first member of what its maker knows. */
struct source_body {
	const struct source_body_functions *functions;
	/* From here on the stream stands bare in the connection, which may be read without
	 * read(). */
	bool is_bare;
	/* With is_bare: bytes of the stream that are still to come, or SOURCE_ENDLESS: it ends with
	 * the connection.  Who takes them past read() counts them down. */
	uint64_t left_bytes;
	bool is_ready;                /* it can be read, or has ended, without waiting for fd */
	enum close_reason fault;      /* CLOSE_REASON_COUNT: none */
	struct endpoint_address peer; /* who sends it; proxies may stand between */
};

/* Bytes that somebody has received already. */
struct given_bytes {
	const uint8_t *bytes;
	size_t count;
};

/* What the bytes come from. */
struct source {
	int fd;                    /* non-blocking, or a regular file           */
	struct given_bytes *given; /* they are read instead, and are fewer then; NULL: from fd */
	bool is_socket;            /* MSG_PEEK works                            */
	bool is_file;              /* regular file: EOF is its end              */
	bool is_seen;              /* not to be spliced */
	size_t max_bytes;          /* of one take, never more; 0 = no limit but the segment */
	uint64_t came_ns; /* wall clock: since when the bytes of the next take are there; 0 = now */
	struct source_body *body; /* through which it is read; NULL: as it stands.  The owner's */
};
