// SPDX-License-Identifier: MIT
/*
 * A subscriber: one reader of a rendition.  It has a socket and a cursor, and no pipe of its own.
 *
 *        begin             publish                 all read
 *   JOINING -----> READY <------------ IDLE <--------------------+
 *                    |                                           |
 *                    +--- served in a pass: all read ------------+
 *                    |                                           |
 *                    +--- socket full ---> BLOCKED --writable, --+
 *
 *   any --- subscriber_close(reason) ---> CLOSED, freed at the end of the loop turn
 *
 * It begins at once, unless packets have to be asked for first (fanout_events.on_wanted).
 *
 * The fd is valid in all states but CLOSED.  The state is the list that the subscriber is on, and
 * only subscriber_state.c changes it; EV_WRITE is watched in BLOCKED only.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "fanout/notes.h"
#include "fanout/slow_cause.h"
#include "net/endpoint.h"
#include "net/token_bucket.h"
#include "ring/cursor.h"
#include "table/close_reason.h"

struct rendition;
struct subscriber;
struct subscriber_record;

enum on_slow {
	ON_SLOW_SKIP,       /* finish the packet in hand, announce the gap, go to the live edge */
	ON_SLOW_DISCONNECT, /* close with the reason                                            */
	ON_SLOW_WAIT,       /* the ingest waits                                                 */
	ON_SLOW_REPLAY,     /* finish the packet in hand, go on elsewhere: quota.on_behind()    */
};

struct subscriber_params;

/* What a subscriber counts for, with somebody above; given back when it closes, in its loop. */
struct subscriber_quota {
	void (*on_closed)(void *owner); /* NULL: nobody does */
	void *owner;
	/* With ON_SLOW_REPLAY, it has left, and is to go on with params->from_seq.  Takes over the
	 * socket and what comes with the params.  NULL: it is closed instead (LAG). */
	void (*on_behind)(void *owner, int fd, const struct subscriber_params *params);
};

/* Who reads what subscribers send. */
struct subscriber_input {
	/* Bytes from the subscriber, may be changed in place.  Returns CLOSE_REASON_COUNT to go on,
	 * else the reason for which it is closed: without a reset, if its notes have gone by then
	 * and no packet is unfinished.  May call subscriber_send_note(), but not close it. */
	enum close_reason (*on_bytes)(void *owner, struct subscriber *subscriber, uint8_t *bytes,
				      size_t count);
	/* May a new one go on in another process?  Not in the middle of what the subscriber says.
	 * *ret_max_bytes: the longest message that it takes.  NULL: never. */
	bool (*may_go_on)(const void *owner, uint64_t *ret_max_bytes);
	/* Once, at the end of the turn of the loop in which it was closed. */
	void (*free)(void *owner);
};

/* Where a stream goes on. */
struct stream_place {
	uint32_t session;
	uint64_t sequence;
};

/* What came of a call of send(). */
enum replay_outcome {
	REPLAY_MORE,    /* there is more to send                                            */
	REPLAY_BLOCKED, /* the socket takes no more for now                                 */
	REPLAY_RESTS,   /* it gets no more for now, whatever is published: rests(), or wake() */
	REPLAY_SEAM,    /* between two packets: it may go on from the ring, or be called on */
	REPLAY_AT_END,  /* the same, but there is no more for now                           */
	REPLAY_OVER,    /* all that was asked for has been sent                             */
	REPLAY_GONE,    /* what comes next has gone while it was sending                    */
	REPLAY_FAILED,  /* ret->err                                                         */
};

/* What a call of send() has done. */
struct replay_progress {
	size_t sent;     /* bytes that the socket took */
	uint64_t missed; /* messages that are missing, of which the format says nothing */
	/* with SEAM, AT_END and RESTS: what comes next; session 0: unknown */
	struct stream_place place;
	int err; /* with FAILED: an errno */
};

/* The next byte that comes out of files. */
struct replay_place {
	uint64_t file;   /* its number */
	uint64_t offset; /* in it: where a packet begins; in the framed format, anywhere */
	uint64_t sent;   /* of what the format makes of the file from there on: the socket has it */
	bool is_inside;  /* as that of struct subscriber_replay */
};

/* What another process has to know to go on with it. */
struct kept_replay {
	uint64_t device, inode; /* of the folder; stat(2) */
	uint64_t until_ns;      /* wall clock: nothing that came later; 0: no such end */
	uint64_t delay_ns;      /* everything so much later; 0: at once */
	uint64_t rate;          /* bytes a second; 0: as many as the socket takes */
	struct replay_place place;
};

/* Who sends subscribers what the ring does not have any more. */
struct subscriber_replay {
	/* Before all else: what to call, in its loop, when it need not rest any longer.  NULL: it
	 * is called on at a tick, and that is soon enough. */
	void (*attend)(void *owner, void (*wake)(void *subscriber), void *subscriber);
	/* Sends some bytes to the socket, from where it is.  *ret is all zero before. */
	enum replay_outcome (*send)(void *owner, int fd, struct replay_progress *ret);
	/* True: the socket has, or may have, a part of a packet, so nothing else may be said. */
	bool (*is_inside)(const void *owner);
	/* True: send() would only say RESTS. */
	bool (*rests)(void *owner);
	/* True: it would be GONE before it came to the end, so it need not go on. */
	bool (*is_cut_off)(const void *owner);
	/* Where it is. */
	void (*capture)(const void *owner, struct kept_replay *ret);
	/* Once, when it is not needed any more. */
	void (*free)(void *owner);
};

/* What goes on of one that has left another fan-out. */
struct subscriber_before {
	bool is_there; /* else nothing here counts */
	bool is_half_closed;
	uint32_t user_timeout_ms;
	uint64_t joined_ms, progress_ms;
	struct token_bucket input_bucket;
};

/* What a listener asks for its subscribers; copied at join. */
struct subscriber_params {
	uint64_t id; /* names it in the log */
	enum on_slow on_slow;
	uint64_t burst_bytes;     /* of the past, at join; 0 = none          */
	uint64_t burst_ms;        /* the same as a time; 0 = none            */
	bool burst_key_frame;     /* in place of these: from the newest one on */
	bool has_from;            /* begin at from_seq, whatever the burst   */
	bool may_miss;            /* with has_from: if it is gone, tell a gap   */
	uint32_t from_session;    /* of from_seq; 0 = of whichever there is  */
	uint64_t from_seq;        /* 0 = nobody knows: a gap                 */
	uint64_t oldest_seq;      /* with may_miss: what is older counts as gone */
	uint64_t since_ns;        /* monotonic: begin with what came then; 0 = no    */
	uint64_t until_ns;        /* monotonic: end with what came then; 0 = never   */
	uint64_t input_rate;      /* bytes a second it may send; 0 = any     */
	uint32_t max_input_bytes; /* of these at once; more closes           */
	uint32_t input_bytes;     /* that it has sent already                */
	bool ends_with_fin;       /* FIN means gone, not that it only listens  */
	bool is_relays_own; /* it does not outlive the process: whoever it is for joins anew */
	const struct subscriber_input *input; /* NULL: what it sends is ignored */
	void *input_owner;                    /* for input's functions; its own with the fd     */
	/* Begins with what this sends; then has_from, since_ns and the burst do not count.  NULL:
	 * begins in the ring. */
	const struct subscriber_replay *replay;
	void *replay_owner;        /* its own with the fd */
	struct stream_place place; /* what comes first */
	bool has_missed;   /* with replay: what lies between from_seq and place is told as a gap */
	uint64_t delay_ns; /* with replay: all is so old at least, and it never reads the ring */
	struct peer_address peer; /* unknown: as its socket says */
	struct subscriber_before before;
	struct subscriber_quota quota;
};

static inline bool subscriber_params_have_burst(const struct subscriber_params *params)
{
	return params->burst_bytes || params->burst_ms || params->burst_key_frame;
}

enum subscriber_state {
	SUBSCRIBER_JOINING,
	SUBSCRIBER_IDLE,
	SUBSCRIBER_READY,
	SUBSCRIBER_BLOCKED,
	SUBSCRIBER_CLOSED,
};

/* How it ends.  It never goes back. */
enum subscriber_end {
	END_NONE,      /* it goes on                                                         */
	END_READS_OUT, /* it is closed for end_reason once it has read all up to end_pos     */
	END_TOLD,      /* the same, and its format's last words are among its notes, or sent */
	END_BY_INPUT,  /* its input closes it, and has said what there is to say             */
};

struct subscriber {
	struct list_node node; /* private: in a list of the rendition, or the reaper */
	struct rendition *rendition;
	struct list_node half_node;  /* private: in fanout->half_closed once it has sent FIN */
	struct list_node until_node; /* private: in fanout->until while until_ns counts */
	struct cursor cursor;
	ev_io read_watcher;               /* private */
	ev_io write_watcher;              /* private */
	uint64_t id;                      /* ro: names it in the log */
	uint64_t joined_ms;               /* ro: monotonic */
	uint64_t progress_ms;             /* ro: monotonic; when its socket last took a byte   */
	uint64_t joined_messages;         /* private: read by nobody but before it came */
	uint64_t skipped;                 /* private: messages it was told it missed          */
	uint64_t sent_bytes;              /* private: that its socket took since it joined    */
	struct token_bucket input_bucket; /* bytes it may still send: subscriber_spend_input() */
	struct peer_address peer;         /* ro: who it is, whatever proxies stand between */
	int fd;                           /* ro: -1 once closed */
	bool is_relays_own;               /* ro: not counted among metrics->subscribers */
	enum subscriber_state state;      /* ro */
	enum on_slow on_slow;
	uint32_t user_timeout_ms;     /* fanout_tick.c: its socket's, which does not count now */
	uint64_t unanswered_ms;       /* fanout_tick.c: since when a probe has no answer; 0 */
	bool ends_with_fin;           /* private: FIN means gone */
	bool has_from;                /* private: while JOINING: begin at from_seq */
	uint32_t from_session;        /* private: with has_from */
	bool is_in_input;             /* private: its input's on_bytes is being called */
	bool must_skip;               /* private: over a limit: skip at the next packet */
	enum slow_cause slow_cause;   /* private: with must_skip: why, when it was found out */
	enum subscriber_end end;      /* private */
	enum close_reason end_reason; /* private: with READS_OUT and TOLD */
	uint64_t end_pos;             /* private: with READS_OUT and TOLD */
	struct notes notes;           /* private: for it alone, before the next packet */
	uint64_t from_seq;            /* private: with has_from */
	uint64_t oldest_seq;          /* private: with has_from */
	uint64_t until_ns;            /* private: monotonic: nothing that came later; 0: all */
	const struct subscriber_input *input;   /* private */
	void *input_owner;                      /* private */
	const struct subscriber_replay *replay; /* private: NULL: it reads the ring */
	void *replay_owner;                     /* private */
	struct list_node replay_node;           /* private: in fanout->replaying, with replay */
	uint64_t delay_ns;                      /* private: with replay */
	struct stream_place rests_at;           /* private: what comes next while it rests */
	bool is_resting;                        /* private: IDLE, and no packet wakes it */
	struct subscriber_quota quota;          /* private */
	struct subscriber_record *record;       /* private: NULL: it would not survive a crash */
};

/* True when it gets what is up to end_pos, and is closed then. */
static inline bool subscriber_is_ending(const struct subscriber *subscriber)
{
	return subscriber->end == END_READS_OUT || subscriber->end == END_TOLD;
}

/* Attaches `fd` (connected, non-blocking stream socket) at the live edge or, with a burst, before
 * it.  With has_from it begins with the packet that holds from_seq, so no message from there on is
 * missing and some before it may come as well; one still to come means the live edge.  With
 * may_miss, where from_seq is gone or belongs to another session, it is told of a gap and begins
 * with the oldest message there is; the format must be able to say so.  With since_ns it begins
 * with the first message that came then.  With until_ns it ends (reason UNTIL) with the last one
 * that came by then.
 *
 * With replay it gets what that one sends, and goes on from the ring as soon as that has what comes
 * next.  Until then it stands nowhere in the ring, and no limit but stall_timeout counts.  With
 * delay_ns it never goes on from the ring: it outlives a source that is lost, and has no end to
 * wait for when the feed ends.
 *
 * `fd`, the quota, replay_owner and input_owner are its own from here on: closed, given back and
 * freed on -ENOMEM as well.  Returns 0, -ENOMEM, or -ERANGE when the rendition does not have
 * from_seq (rendition_has()), or all that came since since_ns (rendition_reaches()): then nothing
 * has happened to them.  Where packets have to be asked for first, that cannot be known yet: a
 * subscriber with has_from is told of the gap, or closed (reason LAG) where the format cannot say
 * it; one with since_ns begins at the live edge.
 */
int subscriber_join(struct rendition *rendition, int fd, const struct subscriber_params *params);

/* For one that waited for packets, which come now: it begins at the live edge, or with from_seq. */
void subscriber_begin(struct subscriber *subscriber);

/* Bytes for this subscriber alone (a pong), sent at its next packet boundary.  False: more than
 * NOTES_MAX are waiting already, there is no memory, or it is closed; nothing has changed. */
bool subscriber_send_note(struct subscriber *subscriber, const uint8_t *bytes,
			  size_t count) must_check;

/* For its input: of what it may send, `count` bytes are used up, or given back.  False: they are
 * more than it has left, and it is to be closed. */
bool subscriber_spend_input(struct subscriber *subscriber, size_t count) must_check;
void subscriber_return_input(struct subscriber *subscriber, size_t count);

/* Ends it with a reason: gives up its quota at once, closes the socket, counts and logs.  For a
 * reason that is SLOW (close_reason.def), what held it back is counted and logged too.  One that
 * has read all is sent the format's farewell first, if the socket takes it at once.  The socket is
 * closed by reset when it is forced out without one or has an unfinished packet.  Idempotent; freed
 * at the end of the loop turn. */
void subscriber_close(struct subscriber *subscriber, enum close_reason reason);

/* Serves it until it is idle, blocked, closed, or has had its share of the turn (then it stays
 * READY). */
void subscriber_serve(struct subscriber *subscriber);

/* Marks every idle subscriber of the rendition as ready: a packet has been appended. */
void subscriber_wake_all(struct rendition *rendition);

/* Applies stall_timeout, max_lag and max_lag_time to it.  now_ms: monotonic. */
void subscriber_check_limits(struct subscriber *subscriber, uint64_t now_ms);

/* For late_ms until now_ms, relay itself did nothing: that counts against nobody. */
void subscriber_excuse(struct subscriber *subscriber, uint64_t now_ms, uint64_t late_ms);

/* Its time has come to an end: it gets what came by then, and is closed. */
void subscriber_end_by_time(struct subscriber *subscriber);

/* Looks whether a half-closed one has gone altogether; closes it then. */
void subscriber_check_half_closed(struct subscriber *subscriber);

/* Lets it finish what is in the ring now, and then closes it with the reason; the farewell is the
 * last of what it is waited for to take. */
void subscriber_finish(struct subscriber *subscriber, enum close_reason reason);

/* Messages delivered whole so far. */
static inline uint64_t subscriber_delivered_messages(const struct subscriber *subscriber)
{
	return cursor_messages_read(&subscriber->cursor) - subscriber->joined_messages -
	       subscriber->skipped;
}

/* For fanout_tick.c: frees a closed one. */
void subscriber_free(struct subscriber *subscriber);
