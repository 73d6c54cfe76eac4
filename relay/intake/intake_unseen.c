// SPDX-License-Identifier: MIT
/*
 * Intake by splice: the payload goes from the socket to the ingest pipe and is not seen.  To find
 * boundaries a window at the head of the queue is peeked at; bodies behind it are walked by their
 * length alone.  So long messages cost a look at their prefix, short ones a copy of the window,
 * once per feed.  A packet that turns out to be small, or to lie loosely, is read out of the pipe
 * when it has been cut.
 */
#include "intake/intake_unseen.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "intake/intake_memory.h"
#include "pipe/density.h"
#include "pipe/pipe_io.h"

enum {
	WINDOW_BYTES = 16 * 1024,
	PREFIX_WINDOW_BYTES = 64,
	PAGE_BYTES = 4096,
	SLOTS_TO_SPARE = 2, /* for a header and a trailer, in the pipe of each format */
};

/* What is known of the head of the source's queue. */
struct queue {
	uint8_t window[WINDOW_BYTES];
	size_t visible; /* bytes in the window             */
	size_t queued;  /* bytes in the queue, at least    */
};

static struct pipe *last_pipe(struct intake *intake)
{
	return &intake->rest[intake->rest_count - 1];
}

bool intake_add_pipe(struct intake *intake)
{
	if (intake->rest_count == INTAKE_PIPES_MAX ||
	    pipe_pool_get(&intake->pipes->pool, &intake->rest[intake->rest_count]) < 0)
		return false;
	intake->rest_count++;
	return true;
}

enum intake_result intake_splice(struct intake *intake, const struct source *source, size_t max,
				 size_t *ret_bytes, bool *ret_full, int *ret_err)
{
	enum pipe_io result;

	*ret_bytes = 0;
	*ret_full = false;
	if (!intake->rest_count && !intake_add_pipe(intake)) {
		*ret_full = true;
		return INTAKE_EMPTY;
	}
	max = intake_allowed(intake, max);
	if (max == 0)
		return INTAKE_EMPTY;
	result = pipe_splice_in(last_pipe(intake), source->fd, max, ret_bytes, ret_err);
	switch (result) {
	case PIPE_IO_OK:
		intake->taken_bytes += *ret_bytes;
		return INTAKE_TOOK;
	case PIPE_IO_FULL:
		*ret_full = true;
		return INTAKE_EMPTY;
	case PIPE_IO_EMPTY:
		return INTAKE_EMPTY;
	case PIPE_IO_EOF:
		*ret_err = 0;
		return INTAKE_END;
	case PIPE_IO_ERROR:
		return INTAKE_END;
	case PIPE_IO_REFUSED:
		break;
	}
	pipe_set_note_refusal(intake->pipes, REFUSAL_SPLICE_IN);
	intake->splice_refused = true;
	*ret_full = true;
	return INTAKE_EMPTY;
}

static bool give_pipes(struct intake *intake, struct packet *packet)
{
	size_t before = intake_pipe_bytes(intake) - last_pipe(intake)->held_bytes;
	struct payload payload = {
		.kind = PAYLOAD_PIPES,
		.engine = ENGINE_SPLICE,
		.pipes = intake->rest,
		.count = intake->rest_count,
		.last_bytes = packet->length - before,
	};
	struct pipe last;

	engine_note_packet(&intake->choice, packet->length);
	if (!intake->sink.put_packet(intake->sink.owner, packet, &payload))
		return false;
	last = *last_pipe(intake);
	for (size_t i = 0; i + 1 < intake->rest_count; i++)
		pipe_pool_put_drained(&intake->pipes->pool, &intake->rest[i]);
	intake->rest_count = 0;
	if (pipe_is_open(&last))
		intake->rest[intake->rest_count++] = last;
	return true;
}

/* What cannot be seen counts as dense. */
static void look_at_slots(struct intake *intake, size_t length)
{
	struct pipe *first = &intake->rest[0];
	size_t slot_bytes;

	if (!engine_wants_look(&intake->choice, length))
		return;
	slot_bytes = density_look(intake->pipes, first, size_min(length, first->held_bytes));
	engine_note_slots(&intake->choice, slot_bytes ? slot_bytes : ENGINE_DENSE_BYTES);
}

int intake_put_pipes(struct intake *intake, struct packet *packet)
{
	int r;

	look_at_slots(intake, packet->length);
	if (engine_choose(&intake->choice, packet->length, true) == ENGINE_SPLICE)
		return give_pipes(intake, packet);
	r = intake_rest_to_memory(intake);
	if (r == -ENOMEM)
		return give_pipes(intake, packet);
	return r < 0 ? r : intake_put_memory(intake, packet);
}

/* Of messages longer than the window, the length at the front of the next one is all there is to
 * see.
 */
static size_t window_wanted(const struct intake *intake)
{
	bool sees_all = framing_row(intake->params.framing.kind)->sees_all;

	return !sees_all && intake->message_bytes > WINDOW_BYTES ? PREFIX_WINDOW_BYTES
								 : WINDOW_BYTES;
}

/* Looks at the head of the queue, as far as the framing needs it. */
static enum intake_result look(const struct intake *intake, const struct source *source,
			       struct queue *queue, int *ret_err)
{
	enum framing_kind kind = intake->params.framing.kind;
	size_t window = intake_allowed(intake, window_wanted(intake));
	ssize_t seen = 0;
	int queued = 0;

	queue->visible = 0;
	queue->queued = SIZE_MAX;
	if (kind == FRAMING_NONE)
		return INTAKE_TOOK;
	if (window == 0)
		return INTAKE_EMPTY;
	if (kind != FRAMING_FIXED) {
		seen = recv(source->fd, queue->window, window, MSG_PEEK | MSG_DONTWAIT);
		if (seen < 0 && (errno == EAGAIN || errno == EINTR))
			return INTAKE_EMPTY;
		if (seen <= 0) {
			*ret_err = seen < 0 ? errno : 0;
			return INTAKE_END;
		}
		queue->visible = queue->queued = (size_t)seen;
		if ((size_t)seen < window)
			return INTAKE_TOOK;
	}
	/* With nothing queued, a block's worth is asked for: it shows whether the source has ended.
	 */
	queue->queued = seen ? (size_t)seen : intake->params.framing.fixed_bytes;
	if (ioctl(source->fd, FIONREAD, &queued) == 0 && queued > seen)
		queue->queued = (size_t)queued;
	queue->queued = intake_allowed(intake, queue->queued);
	return INTAKE_TOOK;
}

/* How many of the queued bytes to take: up to a message's end if one ends there within `space`,
 * else what there is of a long message.  0: the next message does not fit behind the `messages`
 * that the pipe has, or does not belong there. */
static size_t bytes_to_take(const struct framing_scan *scan, const struct queue *queue,
			    size_t space, uint32_t messages, enum framing_fault *ret_fault)
{
	struct framing_scan ahead = *scan;
	struct framing_walk walk;

	*ret_fault = FRAMING_OK;
	if (queue->queued == SIZE_MAX)
		return space;
	framing_walk(&ahead, queue->window, queue->visible, queue->queued, &walk);
	*ret_fault = walk.fault;
	if (walk.fault != FRAMING_OK || messages + walk.messages > FRAMING_MESSAGES_MAX ||
	    (messages && walk.media_start != MEDIA_START_NONE))
		return 0;
	if (!walk.messages)
		return messages ? 0 : walk.walked_bytes;
	if (walk.whole_bytes <= space)
		return walk.whole_bytes;
	ahead = *scan;
	framing_walk(&ahead, queue->window, size_min(queue->visible, space), space, &walk);
	if (walk.messages)
		return walk.whole_bytes;
	if (messages)
		return 0;
	/* The first message alone is longer than a segment. */
	return walk.walked_bytes + ahead.need_bytes;
}

/* What one take has gathered in the ingest pipes. */
struct gathering {
	size_t whole_bytes; /* from the head of the pipes to the last message's end */
	uint32_t messages;
	enum media_start media_start;
	bool is_full; /* no room, no pipe: go on through memory */
	bool is_drained;
};

static void add(struct gathering *gathering, size_t whole_bytes, const struct framing_walk *walk)
{
	if (!gathering->messages)
		gathering->media_start = walk->media_start;
	gathering->whole_bytes = whole_bytes;
	gathering->messages += walk->messages;
}

/* A message that is in the pipes may have waited to be seen to end. */
static enum framing_fault end_waiting(struct intake *intake, const struct queue *queue,
				      struct gathering *gathering)
{
	struct framing_walk walk;

	framing_walk(&intake->scan, queue->window, queue->visible, 0, &walk);
	if (walk.messages)
		add(gathering, intake_pipe_bytes(intake), &walk);
	return walk.fault;
}

/* One step: looks, splices, walks.  INTAKE_TOOK: go on if there is room. */
static enum intake_result gather(struct intake *intake, const struct source *source, size_t space,
				 struct gathering *gathering, int *ret_err)
{
	enum framing_fault fault;
	struct framing_walk walk;
	struct queue queue;
	size_t before, want, got;
	enum intake_result result = look(intake, source, &queue, ret_err);

	if (result != INTAKE_TOOK)
		return result;
	fault = end_waiting(intake, &queue, gathering);
	want = fault == FRAMING_OK
		       ? bytes_to_take(&intake->scan, &queue, space, gathering->messages, &fault)
		       : 0;
	if (fault != FRAMING_OK)
		return intake_fault(intake, fault, ret_err);
	if (!want)
		return INTAKE_EMPTY;
	before = intake_pipe_bytes(intake);
	result = intake_splice(intake, source, want, &got, &gathering->is_full, ret_err);
	if (result != INTAKE_TOOK)
		return result;
	framing_walk(&intake->scan, queue.window, queue.visible, got, &walk);
	if (walk.messages) {
		add(gathering, before + walk.whole_bytes, &walk);
		intake->message_bytes = walk.whole_bytes / walk.messages;
	}
	gathering->is_drained = got == queue.queued || got < want;
	return INTAKE_TOOK;
}

static enum intake_result publish_gathered(struct intake *intake, const struct gathering *gathering,
					   int *ret_err)
{
	uint32_t messages = intake->params.framing.kind == FRAMING_NONE ? 1 : gathering->messages;
	struct packet packet = intake_cut(intake, messages, gathering->whole_bytes);
	int r;

	packet.media_start = gathering->media_start;
	r = intake_put_pipes(intake, &packet);
	*ret_err = r < 0 ? -r : 0;
	return r < 0 ? INTAKE_END : INTAKE_TOOK;
}

/* No room although nothing is whole: a long message goes on in the next pipe, or in memory. */
static enum intake_result make_room(struct intake *intake, const struct source *source,
				    int *ret_err)
{
	if (!intake->splice_refused && intake_add_pipe(intake))
		return INTAKE_TOOK;
	intake->metrics->engine_fallbacks++;
	if (intake->rest_count == 0)
		intake->splice_refused = true; /* until the next source: no pipe to be had */
	if (intake_rest_to_memory(intake) < 0) {
		*ret_err = ENOMEM;
		return INTAKE_END;
	}
	return intake_take_memory(intake, source, ret_err);
}

/* The most that one take may have.  Files and fifos give a page a slot.  A packet of theirs that
 * filled the pipe would take two pipes in each format that has a header. */
static size_t bytes_of_take(const struct intake *intake, const struct source *source)
{
	size_t bytes = intake->params.segment_bytes;
	size_t pages = pipe_set_slots(bytes) - SLOTS_TO_SPARE;

	if (!source->is_socket)
		bytes = size_min(bytes, pages * PAGE_BYTES);
	return source->max_bytes ? size_min(bytes, source->max_bytes) : bytes;
}

enum intake_result intake_take_unseen(struct intake *intake, const struct source *source,
				      int *ret_err)
{
	size_t space_max = bytes_of_take(intake, source);
	struct gathering gathering = {0};
	enum intake_result result;
	size_t taken = 0;

	for (;;) {
		size_t before = intake_pipe_bytes(intake);
		size_t space = space_max > taken ? space_max - taken : 0;

		if (!space || gathering.messages > FRAMING_MESSAGES_MAX / 2 ||
		    gathering.is_drained || framing_is_out_of_sync(&intake->scan)) {
			result = INTAKE_TOOK;
			break;
		}
		result = gather(intake, source, space, &gathering, ret_err);
		if (result != INTAKE_TOOK)
			break;
		taken += intake_pipe_bytes(intake) - before;
	}
	if (gathering.messages) {
		/* An end or a fault behind it shows itself again at the next take. */
		return publish_gathered(intake, &gathering, ret_err);
	}
	if (gathering.is_full)
		return make_room(intake, source, ret_err);
	return taken ? INTAKE_TOOK : result;
}
