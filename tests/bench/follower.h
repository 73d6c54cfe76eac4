// SPDX-License-Identifier: MIT
/*
 * One subscriber in broadcast mode, without its socket: what to ask the socket for next, and what
 * the bytes mean that came. To read all that a fast server sends would make the load the limit, so
 * most bytes are only counted; at every 64th read, and where the mode wants it, each byte is
 * compared.
 * Invariant: all frames of a run are equally long, so `place` says which byte of which message
 * comes next. A read that is compared proves or corrects it. What a server says between messages,
 * such as a ping, is passed over and not counted in it. Pure: the unit test
 * (tests/unit/test_bench_follower.c) cuts the stream at every byte.
 */
#ifndef BENCH_FOLLOWER_H
#define BENCH_FOLLOWER_H

#include "dialect.h"
#include "reader.h"

/* No read is longer. */
#define FOLLOWER_READ_BYTES (UINT64_C(1) << 20)

/* What all followers of a run have in common. */
struct stream {
	const struct dialect *dialect;
	const uint8_t *pattern; /* a payload by reader_fill() */
	uint64_t size;          /* its bytes */
	bool compares;          /* every byte */
	uint64_t head, frame;   /* bytes of a frame as it comes; 0 = not known yet */
	uint64_t tail;          /* of these, behind the payload */
	uint64_t received;      /* bytes of frames, all followers */
	uint64_t compared;      /* of these, looked at */
	uint64_t torn;          /* times that a follower's stream was not what was sent */
	uint8_t head_bytes[DIALECT_HEAD_BYTES];
};

struct follower {
	struct reader reader;
	struct dialect_frame packet; /* of a server that sends packets: what is left of one */
	uint64_t head_left;          /* of its head, and of what ended the one before */
	uint64_t place;              /* bytes since message 0, once the frame is known */
	uint64_t next;               /* message under way; only while bytes are compared */
	uint64_t reads;              /* how many there were */
	bool is_following;           /* the reader stands at place */
	bool is_whole;               /* of the message under way the reader has the stamp */
	bool is_adrift;              /* place is wrong: a frame must be found first */
	bool is_reached;             /* a message has come */
};

enum follower_how {
	FOLLOWER_LOOK,    /* and leave the bytes in the socket (MSG_PEEK) */
	FOLLOWER_DROP,    /* take them; nobody looks at them */
	FOLLOWER_COUNT,   /* the same, of payload */
	FOLLOWER_COMPARE, /* take them, and hand them over */
};

struct follower_wish {
	enum follower_how how;
	uint64_t bytes; /* at most */
};

/* At the beginning of a stream. */
void follower_init(struct follower *follower, const struct stream *stream, int fd);

/* What the socket is to be asked for. */
struct follower_wish follower_wish(const struct stream *stream, const struct follower *follower);

/*
 * Takes `count` bytes that the socket gave for a wish, 1 to wish.bytes. `bytes` are not looked at
 * where the wish is to drop or to count. Returns the bytes of frames among them, 0 also for heads;
 * -EAGAIN when a head is not complete yet: ask again when more has come; -EPROTO when what came is
 * no packet, which is counted as torn: the follower is of no use then.
 */
int64_t follower_take(struct stream *stream, struct follower *follower, struct follower_wish wish,
		      const uint8_t *bytes, uint64_t count);

#endif
