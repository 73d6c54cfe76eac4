// SPDX-License-Identifier: MIT
/* A state against the stream: the same steps are gone through again, and nothing else is believed.
 */
#include "tests/unit/ring_kept_rig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pipe/pipe_io.h"

/* The steps that the writer had begun, by number - 1. */
struct checking {
	const struct ring_state *state;
	const struct rig_progress *progress;
	struct rig_step *steps;
	uint64_t step_count; /* that are in the state */
};

/* The steps that have been done, or that and the one which has been begun. */
static bool count_steps(struct checking *checking, uint64_t begun, uint64_t done)
{
	const struct ring_state *state = checking->state;

	for (uint64_t count = begun + 1; count-- > done;) {
		const struct rig_step *last = count ? &checking->steps[count - 1] : NULL;

		if (state->end_pos == (last ? last->pos + last->length : 0) &&
		    state->session == (last ? last->session : 0) &&
		    state->next_seq == (last ? last->next_seq : 1) &&
		    state->message_count ==
			    (last ? last->messages_before + last->packet.count : 0)) {
			checking->step_count = count;
			return true;
		}
	}
	return false;
}

static bool is_mark_of(const struct packet_mark *mark, const struct rig_step *step)
{
	return mark->first_seq == step->packet.first_seq &&
	       mark->messages_before == step->messages_before && mark->arrived_ns == step->number;
}

/* A packet without bytes leaves nothing but its count. */
static bool has_mark(const struct rig_step *step)
{
	return step->kind != RIG_JUMP && step->length > 0;
}

/* The next packet behind step `number`; NULL when the state has no more. */
static const struct rig_step *packet_behind(const struct checking *checking, uint64_t number)
{
	while (number < checking->step_count) {
		if (has_mark(&checking->steps[number]))
			return &checking->steps[number];
		number++;
	}
	return NULL;
}

/* A segment knows what comes behind its last packet, `last`: jumps and packets without bytes too,
 * as long as it is the newest.  A ring that is cleared in between has no newest one. */
static bool knows_what_is_behind(const struct checking *checking,
				 const struct segment_state *segment, const struct rig_step *last)
{
	const struct rig_step *next = packet_behind(checking, last->number);
	uint64_t end = next ? next->number - 1 : checking->step_count;
	uint64_t number;

	if (segment->is_continued)
		end = last->number;
	/* What is of another session does not come behind it. */
	for (uint64_t i = last->number; i < end; i++) {
		if (checking->steps[i].session != last->session)
			end = i;
	}
	number = segment->is_retained ? end : last->number;
	for (; number <= end; number++) {
		const struct rig_step *step = &checking->steps[number - 1];

		if (segment->next_seq == step->next_seq &&
		    segment->next_messages == step->messages_before + step->packet.count)
			return true;
	}
	return false;
}

static const char *check_bytes(const struct segment_state *segment)
{
	static uint8_t taken[1 << 16];
	const uint8_t *bytes = segment->block;

	if (segment->read_fd >= 0) {
		struct pipe from = {segment->read_fd, segment->write_fd, segment->length,
				    segment->slots};
		struct pipe copy;
		size_t held = 0;
		int queued = 0, err = 0;
		ssize_t got;

		if (ioctl(from.read_fd, FIONREAD, &queued) < 0 || (size_t)queued != segment->length)
			return "length of a pipe";
		if (fcntl(from.write_fd, F_GETPIPE_SZ) != (int)segment->slots * 4096)
			return "slots of a pipe";
		if (pipe_open(&copy, segment->slots) < 0)
			return "no pipe to copy into";
		(void)!pipe_tee(&from, &copy, segment->length, &held, &err);
		got = read(copy.read_fd, taken, sizeof(taken));
		pipe_close(&copy);
		if (got < 0 || (size_t)got != segment->length)
			return "a pipe's bytes";
		bytes = taken;
	}
	for (size_t i = 0; i < segment->length; i++) {
		if (bytes[i] != rig_byte(segment->start_pos + i))
			return "bytes";
	}
	return NULL;
}

static const char *check_segment(const struct checking *checking,
				 const struct segment_state *segment)
{
	uint64_t number = segment->begin.arrived_ns;
	const struct rig_step *last;

	if (number == 0 || number > checking->step_count)
		return "begin";
	last = &checking->steps[number - 1];
	if (!has_mark(last) || !is_mark_of(&segment->begin, last))
		return "begin";
	if (segment->is_continuation ? last->pos >= segment->start_pos
				     : last->pos != segment->start_pos)
		return "continuation";
	for (size_t i = 0; i < segment->mark_count; i++) {
		const struct packet_mark *mark = &segment->marks[i];
		bool is_first = i == 0 && !segment->is_continuation;

		if (!is_first)
			last = packet_behind(checking, last->number);
		if (!last || !is_mark_of(mark, last) ||
		    segment->start_pos + mark->offset != last->pos)
			return "mark";
		if (segment->session != last->session)
			return "session";
	}
	if (!segment->is_continuation && !segment->mark_count)
		return "no mark";
	if (!knows_what_is_behind(checking, segment, last))
		return "what is behind";
	if (segment->is_continued !=
	    (segment->start_pos + segment->length < last->pos + last->length))
		return "continued";
	return check_bytes(segment);
}

/* Between two that follow each other nothing is missing. */
static const char *check_follows(const struct checking *checking,
				 const struct segment_state *before,
				 const struct segment_state *segment)
{
	uint64_t last = before->mark_count ? before->marks[before->mark_count - 1].arrived_ns
					   : before->begin.arrived_ns;
	const struct rig_step *next = packet_behind(checking, last);

	if (segment->start_pos != before->start_pos + before->length)
		return "place";
	if (segment->is_continuation)
		return segment->begin.arrived_ns == last ? NULL : "rest of a packet";
	return next && next->number == segment->begin.arrived_ns ? NULL : "packet is missing";
}

static const struct segment_state *find(const struct ring_state *state, uint64_t index)
{
	for (size_t i = 0; i < state->segment_count; i++) {
		if (state->segments[i].index == index)
			return &state->segments[i];
	}
	return NULL;
}

static const char *check_media(const struct checking *checking)
{
	const struct rig_step *last =
		checking->step_count ? &checking->steps[checking->step_count - 1] : NULL;
	struct ring_media expected = last ? last->media : (struct ring_media){0};

	return memcmp(&checking->state->media, &expected, sizeof(expected)) == 0 ? NULL : "media";
}

static const char *check_places(const struct checking *checking)
{
	const struct rig_progress *progress = checking->progress;
	bool may_lose = atomic_load(&progress->may_lose);

	for (size_t i = 0; i < RIG_CURSORS; i++) {
		const struct rig_place *place = &progress->places[i];
		const struct segment_state *segment;

		if (!atomic_load(&place->is_known) || !atomic_load(&place->is_inside))
			continue;
		segment = find(checking->state, atomic_load(&place->index));
		if (!segment && !may_lose)
			return "segment of a cursor";
		if (segment && atomic_load(&place->offset) > segment->length)
			return "place of a cursor";
	}
	return NULL;
}

static const char *check_start(const struct checking *checking)
{
	const struct ring_state *state = checking->state;
	uint64_t start = atomic_load(&checking->progress->start_pos);
	const struct segment_state *first = NULL;

	for (size_t i = 0; !first && i < state->segment_count; i++)
		first = state->segments[i].is_retained ? &state->segments[i] : NULL;
	if (first && first->is_continuation)
		return "retained from within a packet";
	if (atomic_load(&checking->progress->may_lose))
		return state->start_pos >= start ? NULL : "start";
	return state->start_pos == start ? NULL : "start";
}

static const char *check_all(struct checking *checking)
{
	const struct ring_state *state = checking->state;
	const char *fault = ring_state_fault(state);

	if (!fault)
		fault = check_media(checking);
	if (!fault)
		fault = check_start(checking);
	for (size_t i = 0; !fault && i < state->segment_count; i++) {
		fault = check_segment(checking, &state->segments[i]);
		if (!fault && i && state->segments[i - 1].index + 1 == state->segments[i].index)
			fault = check_follows(checking, &state->segments[i - 1],
					      &state->segments[i]);
	}
	if (!fault && state->segment_count &&
	    state->segments[state->segment_count - 1].is_retained) {
		const struct segment_state *newest = &state->segments[state->segment_count - 1];

		if (packet_behind(checking,
				  newest->mark_count
					  ? newest->marks[newest->mark_count - 1].arrived_ns
					  : newest->begin.arrived_ns))
			return "newest packet";
	}
	return fault ? fault : check_places(checking);
}

const char *rig_find_fault(const struct ring_state *state, uint64_t seed, bool is_long,
			   const struct rig_progress *progress)
{
	uint64_t begun = atomic_load(&progress->steps_begun);
	struct rig_stream stream = rig_stream_new(seed, is_long);
	struct checking checking = {.state = state, .progress = progress};
	const char *fault;

	checking.steps = calloc(begun + 1, sizeof(*checking.steps));
	if (!checking.steps)
		return "no memory";
	for (uint64_t i = 0; i < begun; i++)
		checking.steps[i] = rig_stream_next(&stream);
	fault = count_steps(&checking, begun, atomic_load(&progress->steps_done))
			? check_all(&checking)
			: "end of the ring";
	free(checking.steps);
	return fault;
}

static bool is_same_mark(const struct packet_mark *left, const struct packet_mark *right)
{
	return left->offset == right->offset && left->first_seq == right->first_seq &&
	       left->messages_before == right->messages_before &&
	       left->arrived_ns == right->arrived_ns;
}

static bool is_same_segment(const struct segment *left, bool is_retained,
			    const struct segment_state *right)
{
	bool is_pipe = left->kind == SEGMENT_PIPE;
	bool is_same = left->index == right->index && left->start_pos == right->start_pos &&
		       left->session == right->session && left->next_seq == right->next_seq &&
		       left->next_messages == right->next_messages &&
		       left->length == right->length && left->tag == right->tag &&
		       is_retained == right->is_retained && left->is_sealed == right->is_sealed &&
		       left->is_continuation == right->is_continuation &&
		       (left->continued_by != NULL) == right->is_continued &&
		       is_same_mark(&left->begin, &right->begin) &&
		       left->mark_count == right->mark_count && is_pipe == (right->read_fd >= 0);

	for (size_t i = 0; is_same && i < left->mark_count; i++)
		is_same = is_same_mark(&left->marks[i], &right->marks[i]);
	if (is_same && is_pipe)
		return left->pipe.read_fd == right->read_fd &&
		       left->pipe.write_fd == right->write_fd && left->pipe.slots == right->slots;
	return is_same && left->block_bytes == right->block_bytes &&
	       memcmp(left->block, right->block, left->length) == 0;
}

/* The one with the lowest index, from `from` on, that the ring has given up. */
static const struct segment *next_gone(const struct ring *ring, struct segment *const *held,
				       size_t held_count, uint64_t from)
{
	const struct segment *next = NULL;

	for (size_t i = 0; i < held_count; i++) {
		for (const struct segment *at = held[i]; at; at = at->continued_by) {
			if (at->index >= from && at->index < ring_first_index(ring) &&
			    (!next || at->index < next->index))
				next = at;
		}
	}
	return next;
}

const char *rig_find_difference(const struct ring *ring, struct segment *const *held,
				size_t held_count, const struct ring_state *state)
{
	const struct segment *gone = next_gone(ring, held, held_count, 0);
	uint64_t index = ring_first_index(ring);

	if (ring->start_pos != state->start_pos || ring->end_pos != state->end_pos ||
	    ring->next_index != state->next_index || ring->session != state->session ||
	    ring->next_seq != state->next_seq || ring->message_count != state->message_count ||
	    ring->blocks_made != state->blocks_made ||
	    memcmp(&ring->media, &state->media, sizeof(ring->media)) != 0)
		return "the ring's values";
	for (size_t i = 0; i < state->segment_count; i++) {
		const struct segment *segment =
			gone ? gone
			     : (index < ring->next_index ? ring_find_segment(ring, index++) : NULL);

		if (!segment || !is_same_segment(segment, gone == NULL, &state->segments[i]))
			return "a segment";
		gone = gone ? next_gone(ring, held, held_count, gone->index + 1) : NULL;
	}
	return gone || index < ring->next_index ? "number of segments" : NULL;
}

const char *rig_find_retained_difference(const struct ring *ring, const struct ring_state *state)
{
	struct ring_state retained = *state;

	while (retained.segment_count && !retained.segments->is_retained) {
		retained.segments++;
		retained.segment_count--;
	}
	return rig_find_difference(ring, NULL, 0, &retained);
}
