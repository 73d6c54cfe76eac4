// SPDX-License-Identifier: MIT
/*
 * What an HTTP origin answers.  Pure.
 *
 *	HTTP/1.1 200 OK        with its fields, and a body behind them
 *	ICY 200 OK             the same of Icecast and Shoutcast; of NTRIP 1 the stream may follow
 *	SOURCETABLE 200 OK     NTRIP 1: there is no such mount point
 *
 * Read as leniently as clients do: a line may end in LF alone.  There is one answer on a
 * connection, so nothing can be hidden behind it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "pull/pull_request.h"

enum {
	PULL_HEAD_BYTES = 16384, /* of the head of an answer, at most */
};

enum pull_body_kind {
	PULL_TO_END,  /* all that comes, until the connection ends */
	PULL_LENGTH,  /* so many bytes */
	PULL_CHUNKED, /* chunks (RFC 9112, 7.1) */
};

/* The messages that another relay has: 416. */
struct pull_range {
	bool is_known;
	uint32_t session, oldest_session;
	uint64_t oldest, next;
};

struct pull_answer {
	int status;
	bool is_icy;
	bool is_source_table; /* NTRIP: in place of a stream */
	enum pull_body_kind kind;
	uint64_t bytes; /* LENGTH */
	char fault[80]; /* why its body cannot be read; "": it can */
	char type[96];  /* Content-Type; printable, cut; "": none */
	char location[160];
	struct pull_range range;
};

/* How many of `count` bytes are the head.  0: more has to come.  -EPROTO: this is no answer. */
ssize_t pull_answer_find_end(const char *bytes, size_t count, bool is_ntrip) must_check;

/* Reads a head.  0; -EPROTO: this is no answer. */
int pull_answer_parse(const char *head, size_t bytes, struct pull_answer *ret) must_check;

/* The head of the answer itself is yet to come (RFC 9110, 15.2).  101 is none of these: nothing
 * else was offered to the server. */
bool pull_answer_is_interim(const struct pull_answer *answer);

/* Is its body the stream that was asked for?  False: *err says why not, and what to do. */
bool pull_answer_is_stream(const struct pull_answer *answer, bool is_framed,
			   struct errmsg *err) must_check;

/* Where to begin instead, after 416: with the oldest message there is behind `asked`, or with
 * the next one. */
struct pull_place pull_answer_place(const struct pull_answer *answer,
				    const struct pull_place *asked);
