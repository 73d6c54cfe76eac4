// SPDX-License-Identifier: MIT
/*
 * Where a cursor begins: found by halving, first over segments, then over the marks of one.
 *
 * So a wish costs a few steps more when the ring is twice as large, and no more.  What a segment
 * has is bounded by itself, and so is the chain of segments that one packet consists of.
 */
#include "ring/cursor.h"

#include <errno.h>

#include "packet/packet.h"

enum {
	SINCE_SLACK_NS = 1000000, /* times are told to the millisecond */
};

void cursor_join_live(struct cursor *cursor, const struct ring *ring)
{
	struct segment *last = ring_newest(ring);

	*cursor = (struct cursor){
		.next_index = ring->next_index,
		.pos = ring->end_pos,
		.session = ring->session,
		.next_seq = ring->next_seq,
		.messages_read = ring->message_count,
	};
	/* The newest block may still grow: then the next packet is in it. */
	if (last && !last->is_sealed) {
		cursor->segment = last;
		cursor->offset = last->length;
		segment_ref(last);
	}
}

/* ---- finding a packet ---- */

/* A packet in the ring, by the segment that it begins in.  No segment: none, or behind the last. */
struct packet_found {
	struct segment *segment;
	size_t number; /* of its mark */
};

static const struct packet_mark *mark_of(const struct packet_found *found)
{
	return found->segment ? &found->segment->marks[found->number] : NULL;
}

/* What is looked for: all that is behind a packet which has it, has it too. */
struct sought {
	bool (*has)(const struct sought *sought, uint64_t start_pos,
		    const struct packet_mark *mark);
	uint64_t pos, since_ns, above;
};

static bool is_within(const struct sought *sought, uint64_t start_pos,
		      const struct packet_mark *mark)
{
	return start_pos + mark->offset >= sought->pos && mark->arrived_ns >= sought->since_ns;
}

static bool is_above_seq(const struct sought *sought, uint64_t start_pos,
			 const struct packet_mark *mark)
{
	(void)start_pos;
	return mark->first_seq > sought->above;
}

static bool is_behind_messages(const struct sought *sought, uint64_t start_pos,
			       const struct packet_mark *mark)
{
	(void)start_pos;
	return mark->messages_before >= sought->above;
}

/* The number of the first mark that has what is sought; mark_count: none. */
static size_t find_mark(const struct segment *segment, const struct sought *sought)
{
	size_t low = 0, high = segment->mark_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sought->has(sought, segment->start_pos, &segment->marks[middle]))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* The first packet from segment `from` on that has it. */
static struct packet_found find_packet(const struct ring *ring, uint64_t from,
				       const struct sought *sought)
{
	uint64_t low = from, high = ring->next_index;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		const struct segment *segment = ring_find_segment(ring, middle);

		if (sought->has(sought, segment->start_pos, &segment->begin))
			high = middle;
		else
			low = middle + 1;
	}
	/* What the segment at `low` begins with has it.  Others that do may lie before that. */
	for (low -= low > from; low < ring->next_index; low++) {
		struct segment *segment = ring_find_segment(ring, low);
		size_t number = find_mark(segment, sought);

		if (number < segment->mark_count)
			return (struct packet_found){segment, number};
	}
	return (struct packet_found){NULL, 0};
}

/* The last packet before `found`, from segment `from` on. */
static struct packet_found packet_before(const struct ring *ring, uint64_t from,
					 struct packet_found found)
{
	uint64_t index = found.segment ? found.segment->index : ring->next_index;

	if (found.segment && found.number > 0)
		return (struct packet_found){found.segment, found.number - 1};
	while (index > from) {
		struct segment *segment = ring_find_segment(ring, --index);

		if (segment->mark_count)
			return (struct packet_found){segment, segment->mark_count - 1};
	}
	return (struct packet_found){NULL, 0};
}

/* ---- joining ---- */

static void join_at(struct cursor *cursor, const struct packet_found *found)
{
	const struct packet_mark *mark = mark_of(found);

	*cursor = (struct cursor){
		.segment = found->segment,
		.offset = mark->offset,
		.next_index = found->segment->index + 1,
		.pos = found->segment->start_pos + mark->offset,
		.session = found->segment->session,
		.next_seq = mark->first_seq,
	};
	segment_ref(found->segment);
}

/* At `found`, or else at the newest packet with messages, from segment `first` on. */
static void join_from(struct cursor *cursor, const struct ring *ring, uint64_t first,
		      struct packet_found found)
{
	/* Nothing but news comes behind the last message. */
	const struct sought news = {.has = is_behind_messages, .above = ring->message_count};

	if (!found.segment || mark_of(&found)->messages_before >= ring->message_count)
		found = packet_before(ring, first, find_packet(ring, first, &news));
	if (found.segment)
		join_at(cursor, &found);
	else
		cursor_join_live(cursor, ring);
}

void cursor_join_past(struct cursor *cursor, const struct ring *ring, uint64_t bytes,
		      uint64_t since_ns)
{
	const struct sought within = {
		.has = is_within,
		.pos = bytes && ring->end_pos > bytes ? ring->end_pos - bytes : 0,
		.since_ns = since_ns,
	};
	uint64_t first = ring_first_index(ring);

	join_from(cursor, ring, first, find_packet(ring, first, &within));
}

/* The oldest packet from segment `from` on. */
static struct packet_found oldest_packet(const struct ring *ring, uint64_t from)
{
	const struct sought any = {.has = is_within};

	return find_packet(ring, from, &any);
}

int cursor_join_since(struct cursor *cursor, const struct ring *ring, uint64_t since_ns)
{
	const struct sought within = {.has = is_within, .since_ns = since_ns};
	struct packet_found found = oldest_packet(ring, ring_first_index(ring));

	if (found.segment ? mark_of(&found)->arrived_ns > since_ns + SINCE_SLACK_NS &&
				    mark_of(&found)->first_seq > SEQUENCE_FIRST
			  : ring->next_seq > SEQUENCE_FIRST)
		return -ERANGE;
	found = find_packet(ring, ring_first_index(ring), &within);
	if (found.segment)
		join_at(cursor, &found);
	else
		cursor_join_live(cursor, ring);
	return 0;
}

uint64_t cursor_oldest_time(const struct ring *ring)
{
	const struct packet_found found = oldest_packet(ring, ring_first_index(ring));

	return found.segment ? mark_of(&found)->arrived_ns : 0;
}

/* In a segment that may not be in the ring any more. */
static const struct packet_mark *find_later_mark(const struct segment *segment, size_t offset,
						 uint64_t until_ns)
{
	const struct packet_mark *mark = segment_mark_from(segment, offset);

	for (; mark && mark < segment->marks + segment->mark_count; mark++) {
		if (mark->arrived_ns > until_ns)
			return mark;
	}
	return NULL;
}

uint64_t cursor_find_later(const struct cursor *cursor, const struct ring *ring, uint64_t until_ns)
{
	const struct sought later = {
		.has = is_within, .pos = cursor->pos, .since_ns = until_ns + 1};
	const struct segment *segment = cursor->segment;
	const struct packet_mark *mark = NULL;
	struct packet_found found;

	if (segment && segment->index < ring_first_index(ring))
		mark = find_later_mark(segment, cursor->offset, until_ns);
	if (mark)
		return segment->start_pos + mark->offset;
	found = find_packet(ring, ring_first_index(ring), &later);
	return found.segment ? found.segment->start_pos + mark_of(&found)->offset : UINT64_MAX;
}

bool cursor_join_position(struct cursor *cursor, const struct ring *ring, uint64_t pos)
{
	const struct sought within = {.has = is_within, .pos = pos};
	struct packet_found found;

	cursor_join_live(cursor, ring);
	if (pos == cursor->pos)
		return true;
	if (pos < ring->start_pos)
		return false;
	found = find_packet(ring, ring_first_index(ring), &within);
	if (!found.segment || found.segment->start_pos + mark_of(&found)->offset != pos)
		return false;
	cursor_leave(cursor);
	join_at(cursor, &found);
	return true;
}

void cursor_join_key_frame(struct cursor *cursor, const struct ring *ring)
{
	const struct ring_media *media = &ring->media;

	const uint64_t begins[] = {media->lead, media->key_frame};

	cursor_join_live(cursor, ring);
	for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
		if (!begins[i])
			continue;
		cursor_leave(cursor);
		if (cursor_join_position(cursor, ring, begins[i] - 1))
			return;
	}
}

/* The oldest segment of the sequence that runs. */
static uint64_t first_of_sequence(const struct ring *ring)
{
	return u64_max(ring_first_index(ring), ring->sequence_index);
}

/* Takes what is in the segment off.  False: that is more than there is. */
static bool take_off(struct cursor_reach *left, const struct segment *segment)
{
	uint64_t messages = segment->next_messages - segment->begin.messages_before;

	if (segment->length > left->bytes || messages > left->messages ||
	    segment->mark_count > left->packets)
		return false;
	left->bytes -= segment->length;
	left->messages -= messages;
	left->packets -= segment->mark_count;
	return true;
}

void cursor_join_recent(struct cursor *cursor, const struct ring *ring,
			const struct cursor_reach *most)
{
	const uint64_t first = first_of_sequence(ring);
	struct packet_found found = {NULL, 0};
	struct cursor_reach left = *most;

	for (uint64_t index = ring->next_index; index > first; index--) {
		struct segment *segment = ring_find_segment(ring, index - 1);

		if (!take_off(&left, segment))
			break;
		if (segment->mark_count)
			found.segment = segment;
	}
	join_from(cursor, ring, first, found);
}

uint64_t cursor_oldest_seq(const struct ring *ring)
{
	const struct packet_found found = oldest_packet(ring, first_of_sequence(ring));

	return found.segment ? mark_of(&found)->first_seq : ring->next_seq;
}

uint64_t cursor_find_seq(const struct ring *ring, uint64_t seq)
{
	const struct sought from = {.has = is_above_seq, .above = seq ? seq - 1 : 0};
	struct packet_found found = find_packet(ring, first_of_sequence(ring), &from);

	return found.segment ? found.segment->start_pos + mark_of(&found)->offset : ring->end_pos;
}

/* True when all messages of the packet come before `seq`.  `next`: the packet behind, or NULL. */
static bool ends_before(const struct ring *ring, const struct packet_mark *mark,
			const struct packet_mark *next, uint64_t seq)
{
	uint64_t count =
		(next ? next->messages_before : ring->message_count) - mark->messages_before;

	/* Without messages it is news, and a gap says more than it counts. */
	return count && mark->first_seq + count <= seq;
}

int cursor_join_seq(struct cursor *cursor, const struct ring *ring, uint64_t seq)
{
	const struct sought later = {.has = is_above_seq, .above = seq};
	uint64_t first = first_of_sequence(ring);
	struct packet_found found, next;

	if (seq >= ring->next_seq) {
		cursor_join_live(cursor, ring);
		return 0;
	}
	next = find_packet(ring, first, &later);
	found = packet_before(ring, first, next);
	if (!found.segment)
		return -ERANGE;
	if (ends_before(ring, mark_of(&found), mark_of(&next), seq))
		found = next;
	if (found.segment)
		join_at(cursor, &found);
	else
		cursor_join_live(cursor, ring);
	return 0;
}
