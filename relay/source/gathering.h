// SPDX-License-Identifier: MIT
/*
 * Gathering: what a publisher sends waits in its socket until it is worth a packet.
 *
 * A packet costs each subscriber about the same, whether it has 1 KiB or 20 KiB.  So small pieces
 * are left where they are for a moment, and are taken together.
 *
 *	OPEN ---bytes come---> HELD ---enough, the time is up, or the end---> DUE ---taken---> OPEN
 *
 * The kernel has the bytes meanwhile, and relay none.  With TCP it also says when there are enough
 * (SO_RCVLOWAT, socket(7)).  Unix sockets and fifos cannot say that, and a full one stops its
 * writer.  They are held for GATHERING_BLIND_MS at most, and not at all by `auto`.
 *
 * `auto` holds only while the thread is busy, and only where it is worth it: where a hold brings in
 * too little, it has cost time and saved nothing.  So the next pieces are taken at once, and then
 * one hold is tried again.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	GATHERING_AUTO_MS = 2,            /* auto: held so long at most */
	GATHERING_AUTO_BYTES = 64 * 1024, /* auto: taken once there are so many */
	GATHERING_BLIND_MS = 2,
	GATHERING_WORTH = 4,        /* auto: worth it is what becomes so many times as much */
	GATHERING_SKIPS_MOST = 255, /* auto: so many pieces are taken at once before the next try */
};

struct gathering_params {
	bool is_auto;     /* as long as the thread is busy, see gathering_load_change() */
	uint64_t bytes;   /* else: taken once there are so many; 0: nothing is held */
	uint32_t time_ms; /* or the first byte has waited so long */
};

struct gathering {
	struct gathering_params params; /* ro */
	int fd;                         /* ro: the source; -1: none */
	bool is_deaf;                   /* ro: `fd` must not be watched for now */
	uint64_t since_ns; /* ro: when what is held began to come, wall clock; 0: nothing is */

	struct ev_loop *loop; /* private from here on */
	void (*on_due)(struct gathering *gathering);
	ev_timer timer;
	bool can_tell; /* SO_RCVLOWAT works */
	bool is_due;
	/* with is_due: of those that were held, so many are still to be taken */
	uint64_t due_bytes;
	uint32_t auto_ms;     /* auto: what it has come to */
	uint64_t begun_bytes; /* what was there when the hold began */
	uint32_t skips;       /* auto: pieces that are not held before the next try */
	uint32_t skips_left;  /* and how many of them are still to come */
	uint64_t looked_ns;   /* auto: at the load of the thread, monotonic */
	uint64_t thread_ns;   /* and what it had worked until then */
};

/* `on_due` is called once the time is up: what is there is to be taken. */
void gathering_init(struct gathering *gathering, struct ev_loop *loop,
		    const struct gathering_params *params,
		    void (*on_due)(struct gathering *gathering));

/* Takes new parameters over; what is held is due. */
void gathering_change(struct gathering *gathering, const struct gathering_params *params);

/* From here on it is about this source, which is open and stays the caller's. */
void gathering_begin(struct gathering *gathering, int fd);

/* Nothing is held any more, and the source is as it was.  Idempotent. */
void gathering_end(struct gathering *gathering);

/* What is held is due now.  Returns how many bytes that is; 0: nothing was held. */
uint64_t gathering_let_go(struct gathering *gathering);

/* The source is readable, and gives left_bytes more at most.  True: not yet to be taken.  Then
 * the timer runs. */
bool gathering_holds(struct gathering *gathering, uint64_t left_bytes);

/* So many bytes were taken; UINT64_MAX: nothing is left that can be.  Only what was held is due.
 * What has come meanwhile waits anew: else a thread that is busy would hold nothing any more. */
void gathering_note_take(struct gathering *gathering, uint64_t bytes);

/* auto: how long to hold from now on, in ms, after the thread has worked `worked_ns` of
 * `passed_ns`.  One more above a quarter, one less below an eighth, up to `limit_ms`. */
uint32_t gathering_load_change(uint32_t now_ms, uint64_t worked_ns, uint64_t passed_ns,
			       uint32_t limit_ms);

/* auto: how many pieces not to hold, after a hold that began with `begun_bytes` and ended with
 * `due_bytes`.  None after one that was worth it, else twice as many each time, and one more. */
uint32_t gathering_skips_change(uint32_t now, uint64_t begun_bytes, uint64_t due_bytes);
