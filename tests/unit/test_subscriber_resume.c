// SPDX-License-Identifier: MIT
/*
 * Subscribers that a process before has left: what they were about to be told is told once, they
 * are what they were, and whoever cannot be kept is closed with nothing of it left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fanout/subscriber_resume.h"
#include "feed/feed.h"
#include "feed/feed_state.h"
#include "tests/unit/feed_rig.h"

static struct feed_rig rig;
static struct rendition *rendition;

static void begin(void)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);

	feed_rig_open(&rig, &params, false);
	rendition = feed_open_rendition(rig.feed, &encoder_chunked);
	assert_non_null(rendition);
}

// At the live edge, with a reader at the other end.
static struct subscriber_snapshot snapshot(void)
{
	struct subscriber_snapshot state = {.id = 7, .on_slow = ON_SLOW_WAIT};
	struct cursor cursor;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	state.fd = fds[0];
	rig.readers[rig.reader_count++] = (struct rig_reader){.fd = fds[1]};
	cursor_join_live(&cursor, &rendition->ring);
	cursor_capture(&cursor, &state.cursor);
	cursor_leave(&cursor);
	return state;
}

static void resume(struct subscriber_snapshot *state)
{
	const struct ring_restored nothing = {.count = 0};

	subscriber_resume(rendition, state, &nothing);
	assert_int_equal(state->fd, -1);
	feed_serve_packet(rig.feed, 0);
}

// As the next process would.
static void read_ring(struct rendition_state *ret)
{
	struct kept_fds none = {.count = 0};

	assert_int_equal(ring_record_read(ring_record_fd(rendition->ring_record), &none, &ret->ring,
					  &ret->map),
			 0);
}

static bool has_ended(const struct feed_rig *some)
{
	return some->readers[0].has_ended;
}

// has: they are among its notes, of which the last byte has not been sent.
static void end_with_last_words(bool has, const char *expected)
{
	static uint8_t rest[] = "\n";
	struct subscriber_snapshot state;

	begin();
	state = snapshot();
	state.is_ending = true;
	state.end_reason = CLOSE_SOURCE_LOST;
	state.end_pos = rendition->ring.end_pos;
	state.has_farewell = has;
	state.note = rest;
	state.note_bytes = has;
	resume(&state);
	feed_rig_run_until(&rig, has_ended);
	assert_int_equal(rig.readers[0].end_errno, 0);
	assert_int_equal(rig.readers[0].size, strlen(expected));
	assert_memory_equal(rig.readers[0].bytes, expected, strlen(expected));
	assert_int_equal(rig.feed->fanout.closed[CLOSE_SOURCE_LOST], 1);
	feed_rig_close(&rig);
}

static void last_words_are_said_once(void **state)
{
	(void)state;
	end_with_last_words(true, "\n");
	end_with_last_words(false, "0\r\n\r\n");
}

static void a_fin_means_what_it_meant(void **state)
{
	(void)state;
	for (int ends = 0; ends < 2; ends++) {
		struct subscriber_snapshot one;

		begin();
		one = snapshot();
		one.ends_with_fin = ends;
		resume(&one);
		assert_int_equal(shutdown(rig.readers[0].fd, SHUT_WR), 0);
		while (list_length(&rig.feed->fanout.half_closed) == 0 &&
		       rig.feed->fanout.closed[CLOSE_PEER_CLOSED] == 0)
			(void)feed_rig_turn(&rig);
		assert_int_equal(rig.feed->fanout.closed[CLOSE_PEER_CLOSED], ends);
		feed_rig_close(&rig);
	}
}

// --- input

struct listener {
	unsigned bytes, frees, places;
};

static enum close_reason on_bytes(void *owner, struct subscriber *subscriber, uint8_t *bytes,
				  size_t count)
{
	(void)subscriber;
	(void)bytes;
	((struct listener *)owner)->bytes += (unsigned)count;
	return CLOSE_REASON_COUNT;
}

static void on_free(void *owner)
{
	((struct listener *)owner)->frees++;
}

static bool may_go_on(const void *owner, uint64_t *ret_max_bytes)
{
	*ret_max_bytes = (uintptr_t)owner;
	return true;
}

static bool may_not_go_on(const void *owner, uint64_t *ret_max_bytes)
{
	return !may_go_on(owner, ret_max_bytes);
}

static void on_quota_closed(void *owner)
{
	((struct listener *)owner)->places++;
}

static const struct subscriber_input input = {
	.on_bytes = on_bytes, .may_go_on = may_go_on, .free = on_free};
static const struct subscriber_input half_said = {
	.on_bytes = on_bytes, .may_go_on = may_not_go_on, .free = on_free};
static const struct subscriber_input plain_input = {.on_bytes = on_bytes, .free = on_free};

static void the_input_goes_on(void **state)
{
	struct listener listener = {.bytes = 0};
	struct subscriber_snapshot one;

	(void)state;
	begin();
	one = snapshot();
	one.has_input = true;
	one.input = &input;
	one.input_owner = &listener;
	resume(&one);
	assert_null(one.input);
	assert_int_equal(write(rig.readers[0].fd, "abc", 3), 3);
	while (listener.bytes < 3)
		(void)feed_rig_turn(&rig);
	feed_rig_close(&rig);
	assert_int_equal(listener.frees, 1);
}

static void who_is_in_the_middle_of_its_words_ends(void **state)
{
	const struct subscriber_input *const inputs[] = {&input, NULL, &half_said, &plain_input,
							 &input};
	struct listener listeners[5] = {{0}};
	struct rendition_state *seen = NULL;
	struct feed_state captured;

	(void)state;
	begin();
	for (size_t i = 0; i < 5; i++) {
		const struct subscriber_params params = {.on_slow = ON_SLOW_WAIT,
							 .ends_with_fin = i % 2,
							 .input = inputs[i],
							 .input_owner = &listeners[i]};

		feed_rig_join_rendition(&rig, rendition, false, 0, &params);
	}
	feed_rig_settle(&rig);
	assert_int_equal(feed_capture(rig.feed, &captured), 0);
	for (size_t i = 0; i < captured.rendition_count; i++) {
		if (strcmp(captured.renditions[i].format, "http") == 0)
			seen = &captured.renditions[i];
	}
	assert_non_null(seen);
	assert_int_equal(seen->subscriber_count, 5);
	for (size_t i = 0; i < 5; i++) {
		const struct subscriber_snapshot *one = &seen->subscribers[i];
		const struct subscriber_input *expected = inputs[one->id - 1];
		bool ends = expected == &half_said || expected == &plain_input;

		assert_int_equal(one->has_input, expected != NULL);
		if (expected == &input)
			assert_int_equal(one->input_max_bytes, &listeners[one->id - 1]);
		assert_int_equal(one->is_ending, ends);
		assert_int_equal(one->end_reason, ends ? CLOSE_HANDOVER : 0);
		assert_int_equal(one->end_pos, ends ? rendition->ring.end_pos : 0);
		assert_null(one->input);
		assert_int_equal(one->ends_with_fin, (one->id - 1) % 2);
	}
	feed_state_free(&captured);
	feed_rig_close(&rig);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(listeners[i].frees, inputs[i] != NULL);
}

// Of a format that is offered: without its input it is closed, another one beside it goes on.  Of
// one that is not, it is closed with its input.
static void who_cannot_be_kept_leaves_nothing(void **state)
{
	static const char *const formats[] = {"http", "events"};
	static const enum close_reason reasons[] = {CLOSE_HANDOVER, CLOSE_REMOVED};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct listener listener = {.bytes = 0}, other = {.bytes = 0};
		struct rendition_state *one = calloc(1, sizeof(*one));
		struct feed_state fresh = {.renditions = one, .rendition_count = 1};
		struct subscriber_snapshot *subscribers = calloc(2, sizeof(*subscribers));

		begin();
		memcpy(one->format, formats[i], strlen(formats[i]));
		one->subscribers = subscribers;
		one->subscriber_count = 2;
		read_ring(one);
		for (size_t j = 0; j < 2; j++) {
			subscribers[j] = snapshot();
			subscribers[j].has_input = true;
			subscribers[j].delivered = 5;
			subscribers[j].quota = (struct subscriber_quota){
				.on_closed = on_quota_closed,
				.owner = j ? &other : &listener,
			};
		}
		subscribers[1].input = &input;
		subscribers[1].input_owner = &other;
		assert_int_equal(feed_restore(rig.feed, NULL, &fresh, CLOSE_REASON_COUNT), 0);
		assert_int_equal(rig.feed->fanout.closed[reasons[i]], i + 1);
		assert_int_equal(rig.feed->metrics.delivered_messages, 5 * (i + 1));
		assert_int_equal(rig.feed->metrics.subscribers, 1 - i);
		assert_int_equal(listener.places, 1);
		assert_int_equal(other.places, i);
		assert_int_equal(other.frees, i);
		feed_state_close(&fresh);
		feed_rig_run_until(&rig, has_ended);
		feed_rig_close(&rig);
		assert_int_equal(listener.frees, 0);
		assert_int_equal(other.places, 1);
		assert_int_equal(other.frees, 1);
	}
}

// Where its ring is known and its place is in it, a subscriber goes on; else it is closed, and
// nobody beside it.
static void who_stands_nowhere_is_closed(void **state)
{
	(void)state;
	for (int is_unread = 0; is_unread < 2; is_unread++) {
		struct rendition_state *one = calloc(1, sizeof(*one));
		struct feed_state fresh = {.renditions = one, .rendition_count = 1};
		struct subscriber_snapshot *subscribers = calloc(4, sizeof(*subscribers));

		begin();
		memcpy(one->format, "http", 5);
		one->subscribers = subscribers;
		one->subscriber_count = 4;
		read_ring(one);
		one->is_unread = is_unread;
		for (size_t i = 0; i < 4; i++)
			subscribers[i] = snapshot();
		subscribers[1].cursor.pos++;
		subscribers[2].cursor.next_index++;
		subscribers[3].end_pos = one->ring.end_pos + 1;
		assert_int_equal(feed_restore(rig.feed, NULL, &fresh, CLOSE_REASON_COUNT), 0);
		assert_int_equal(rig.feed->fanout.closed[CLOSE_HANDOVER], 3 + is_unread);
		assert_int_equal(rig.feed->metrics.subscribers, 1 - is_unread);
		feed_state_close(&fresh);
		feed_rig_close(&rig);
	}
}

// Nothing is left behind in silence.
static void what_the_record_does_not_have_is_told(void **state)
{
	const struct subscriber_params params = {.on_slow = ON_SLOW_WAIT};
	struct feed_state captured;
	struct segment *newest;

	(void)state;
	begin();
	feed_rig_join_rendition(&rig, rendition, false, 0, &params);
	feed_rig_publish(&rig, "a\n", 2);
	feed_rig_settle(&rig);
	newest = ring_newest(&rendition->ring);
	ring_record_hide(newest);
	assert_int_equal(feed_capture(rig.feed, &captured), 0);
	assert_true(captured.is_partial);
	feed_state_free(&captured);
	ring_record_show_block(newest);
	assert_int_equal(feed_capture(rig.feed, &captured), 0);
	assert_false(captured.is_partial);
	feed_state_free(&captured);
	feed_rig_close(&rig);
}

// The ring has lost what they were to get: who may not miss anything is closed.
static void after_a_crash_nobody_skips_who_may_not(void **state)
{
	static const enum on_slow kinds[] = {ON_SLOW_WAIT, ON_SLOW_DISCONNECT, ON_SLOW_SKIP};
	struct rendition_state *one = calloc(1, sizeof(*one));
	struct subscriber_snapshot *subscribers = calloc(3, sizeof(*subscribers));
	struct feed_state fresh = {
		.is_awake = true, .is_after_crash = true, .renditions = one, .rendition_count = 1};

	(void)state;
	begin();
	for (size_t i = 0; i < 3; i++) {
		subscribers[i] = snapshot();
		subscribers[i].id = i;
		subscribers[i].on_slow = kinds[i];
	}
	feed_rig_publish(&rig, "gone\n", 5);
	ring_clear(&rendition->ring);
	memcpy(one->format, "http", 5);
	one->subscribers = subscribers;
	one->subscriber_count = 3;
	read_ring(one);
	fresh.session = rig.feed->publish.sequence.session;
	fresh.next_seq = rig.feed->publish.sequence.next_seq;
	assert_int_equal(feed_restore(rig.feed, NULL, &fresh, CLOSE_REASON_COUNT), 0);
	assert_int_equal(rig.feed->fanout.closed[CLOSE_CRASH], 2);
	assert_int_equal(rig.feed->metrics.subscribers_resumed, 1);
	assert_int_equal(rig.feed->metrics.skipped_messages, 1);
	feed_state_close(&fresh);
	feed_rig_close(&rig);
}

// --- the publisher

// One that came before the feed was made again must not go on in the message of the one before.
static void a_new_publisher_begins_anew(void **state)
{
	(void)state;
	for (int is_new = 0; is_new < 2; is_new++) {
		static uint8_t half[] = "half a ";
		struct feed_state fresh = {.is_source_up = true,
					   .session = 9,
					   .next_seq = 5,
					   .intake = {.framing = FRAMING_LINE,
						      .rest = half,
						      .rest_bytes = sizeof(half) - 1}};

		begin();
		if (!is_new)
			feed_source_down(rig.feed, CLOSE_PEER_CLOSED);
		assert_int_equal(feed_restore(rig.feed, NULL, &fresh, CLOSE_REASON_COUNT), 0);
		feed_rig_join_rendition(&rig, rig.raw, false, 0,
					&(struct subscriber_params){.on_slow = ON_SLOW_WAIT});
		assert_true(rig.feed->publish.sequence.is_source_up);
		feed_rig_publish(&rig, "whole\n", 6);
		feed_rig_settle(&rig);
		assert_int_equal(rig.readers[0].size, is_new ? 6 : 13);
		assert_memory_equal(rig.readers[0].bytes, is_new ? "whole\n" : "half a whole\n",
				    rig.readers[0].size);
		assert_int_equal(rig.feed->metrics.partial_messages, is_new);
		assert_int_equal(rig.feed->metrics.partial_bytes, is_new ? 7 : 0);
		assert_int_equal(rig.feed->source_ends[CLOSE_TAKEN_OVER], is_new);
		assert_int_equal(rig.feed->publish.sequence.next_seq, 6);
		feed_rig_close(&rig);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(last_words_are_said_once),
		TEST(a_fin_means_what_it_meant),
		TEST(the_input_goes_on),
		TEST(who_is_in_the_middle_of_its_words_ends),
		TEST(who_cannot_be_kept_leaves_nothing),
		TEST(a_new_publisher_begins_anew),
		TEST(who_stands_nowhere_is_closed),
		TEST(what_the_record_does_not_have_is_told),
		TEST(after_a_crash_nobody_skips_who_may_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
