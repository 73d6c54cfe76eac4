// SPDX-License-Identifier: MIT
/*
 * What a replay asks of the disk (history_read.h), one thing at a time.
 *
 * It has a reader of its own meanwhile.  So the replay may end, and the file stays open for as long
 * as the reading thread needs it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "history/history_read.h"
#include "history/history_reader.h"
#include "history/replay.h"

enum replay_wish {
	REPLAY_WANTS_PAGES, /* bytes in the page cache; 1: history_bring_in_and_look()            */
	REPLAY_WANTS_NEXT,  /* what comes next: its file open, and some of it in the page cache   */
	REPLAY_WANTS_END,   /* the first packet that came later than until_ns; 1: there is one    */
	REPLAY_WANTS_DELAY, /* history_reader_open_behind() that, which may be where all ends     */
	REPLAY_WANTS_START, /* replay_find_start(), and the oldest message that may be asked for  */
};

struct replay_read {
	struct history_read read; /* its result: 0; 1: see the wish; or -errno */
	enum replay_wish wish;
	struct history_reader
		reader;              /* closed, but from replay_read_begin() to the end of done() */
	uint64_t offset, bytes;      /* with PAGES; of NEXT only bytes */
	uint64_t until_ns;           /* with END and DELAY: wall clock */
	struct replay_range range;   /* with START */
	uint64_t since_ns;           /* with START: what may be asked for came then or later (wall
				      * clock); 0: all there is */
	struct replay_start start;   /* of START: closed, but from 0 to the end of done() */
	struct history_entry oldest; /* of START with since_ns; session 0: there is none */
	void (*done)(void *owner);
	void *owner;
};

/* done: in the loop, when what was asked for has been done.  NULL: no memory. */
struct replay_read *replay_read_new(struct history *history, void (*done)(void *owner),
				    void *owner);

/* Asks for what `wish` and the rest say.  from: where the replay stands, of PAGES and NEXT; else
 * NULL.  True: it has been done at once, and done() has been called. */
must_check bool replay_read_begin(struct replay_read *read, const struct history_reader *from);

/* The first packet that came later than until_ns: 1, and the reader stands there, open; 0 and
 * closed: there is none.  Or -errno.  Waits for the disk. */
must_check int replay_find_end(struct history_reader *reader, struct history *history,
			       uint64_t until_ns);

/* Clears the pointer; NULL inside is fine. */
void replay_read_drop(struct replay_read **read);
