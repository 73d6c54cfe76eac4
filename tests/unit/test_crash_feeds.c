// SPDX-License-Identifier: MIT
/*
 * Feeds and subscribers out of the region of a process that died: what is read is what was there,
 * and a region with wrong bytes in it is read as far as it holds together, or not at all.
 *
 * The feed is one of this process, which stands still meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/log.h"
#include "daemon/crash_feeds.h"
#include "daemon/crash_record.h"
#include "fanout/subscriber_kept.h"
#include "feed/feed_kept.h"
#include "feed/feed_report.h"
#include "tests/unit/feed_rig.h"
#include "tests/unit/put_right.h"

enum {
	DESCRIPTORS = 512,
	PARTS = 4,
	MUTATIONS = 1200,
	STREAM_BYTES = 600000,
	LONGEST = 77, // message of who is heard
};

// All that is open, under other numbers, as it would come out of a bag.
struct bag {
	int32_t numbers[DESCRIPTORS];
	int fds[DESCRIPTORS];
	struct kept_fds list;
};

static void fill_bag(struct bag *bag)
{
	bag->list = (struct kept_fds){.numbers = bag->numbers, .fds = bag->fds};
	for (int i = 3; i < DESCRIPTORS; i++) {
		if (fcntl(i, F_GETFD) < 0)
			continue;
		bag->numbers[bag->list.count] = i;
		bag->fds[bag->list.count++] = fcntl(i, F_DUPFD_CLOEXEC, DESCRIPTORS);
	}
}

static void empty_bag(struct bag *bag)
{
	for (size_t i = 0; i < bag->list.count; i++) {
		if (bag->fds[i] >= 0)
			(void)close(bag->fds[i]);
	}
}

struct scene {
	struct crash_record record;
	struct feed_records records;
	struct feed_rig rig;
	struct rig_stream stream;
};

#define WORDS "all."

// Is in the middle of something unless the last byte it has heard is a . or a !, and answers a ! by
// a note.
struct heard {
	bool is_in_the_middle;
};

static enum close_reason hear(void *owner, struct subscriber *subscriber, uint8_t *bytes,
			      size_t count)
{
	struct heard *heard = owner;

	heard->is_in_the_middle = !strchr(".!", bytes[count - 1]);
	if (memchr(bytes, '!', count))
		assert_true(subscriber_send_note(subscriber, bytes, count));
	return CLOSE_REASON_COUNT;
}

static bool may_go_on(const void *owner, uint64_t *ret_max_bytes)
{
	const struct heard *heard = owner;

	*ret_max_bytes = LONGEST;
	return !heard->is_in_the_middle;
}

static const struct subscriber_input echo = {
	.on_bytes = hear,
	.may_go_on = may_go_on,
	.free = free,
};

static bool is_heard(int reader)
{
	return reader == 4 || reader == 6;
}

static void say(struct scene *scene, int reader, const char *words)
{
	size_t count = strlen(words);

	assert_int_equal(write(scene->rig.readers[reader].fd, words, count), count);
	feed_rig_settle(&scene->rig);
}

static void open_scene(struct scene *scene, enum engine engine)
{
	const struct crash_room room = {
		.fd_limit = DESCRIPTORS,
		.workers = 1,
		.part_bytes = sizeof(struct part_record),
		.part_count = PARTS,
		.subscriber_bytes = sizeof(struct subscriber_record),
	};
	struct subscriber_params lossless = {
		.on_slow = ON_SLOW_WAIT, .input_rate = 7, .max_input_bytes = 49, .input_bytes = 7};
	struct feed_params params = feed_rig_params(FRAMING_LINE, engine);

	assert_int_equal(crash_record_open(&scene->record, &room), 0);
	scene->records = crash_record_feeds(&scene->record);
	feed_rig_open_recorded(&scene->rig, &params, true, &scene->records);
	for (int i = 0; i < 12; i++) {
		bool is_paused = i % 3 == 0;
		size_t reader;

		lossless.input = is_heard(i) ? &echo : NULL;
		lossless.input_owner = is_heard(i) ? calloc(1, sizeof(struct heard)) : NULL;
		reader = feed_rig_join(&scene->rig, i % 2, i % 4 < 2, is_paused ? 8192 : 0,
				       &lossless);
		scene->rig.readers[reader].is_paused = is_paused;
	}
	scene->stream = feed_rig_make_stream(&params.framing, STREAM_BYTES, 9000, 3);
	feed_rig_publish(&scene->rig, scene->stream.bytes, scene->stream.size);
	for (int i = 0; i < 12; i++) {
		if (is_heard(i))
			say(scene, i, WORDS);
	}
}

static void close_scene(struct scene *scene)
{
	feed_rig_free_stream(&scene->stream);
	feed_rig_close(&scene->rig);
	assert_false(atomic_load(&scene->records.parts[0].state));
	crash_record_close(&scene->record);
}

static const struct subscriber *subscriber_of(const struct feed *feed, uint64_t id)
{
	return fanout_find_subscriber(&feed->fanout, id);
}

static void check_rendition(const struct scene *scene, const struct rendition_state *state)
{
	const struct feed *feed = scene->rig.feed;
	bool is_raw = strcmp(state->format, "raw") == 0;
	const struct ring *ring = is_raw ? &scene->rig.raw->ring : &scene->rig.framed->ring;

	assert_true(is_raw || strcmp(state->format, "framed") == 0);
	assert_int_equal(state->ring.end_pos, ring->end_pos);
	assert_int_equal(state->ring.next_seq, feed->publish.sequence.next_seq);
	assert_int_equal(state->subscriber_count, 6);
	for (size_t i = 0; i < state->subscriber_count; i++) {
		const struct subscriber_snapshot *snapshot = &state->subscribers[i];
		const struct subscriber *subscriber = subscriber_of(feed, snapshot->id);

		assert_non_null(subscriber);
		assert_int_equal(snapshot->cursor.pos, subscriber->cursor.pos);
		assert_int_equal(snapshot->on_slow, ON_SLOW_WAIT);
		assert_memory_equal(&snapshot->input_bucket, &subscriber->input_bucket,
				    sizeof(snapshot->input_bucket));
		assert_int_equal(snapshot->input_bucket.per_second, 7);
		assert_true(snapshot->fd >= DESCRIPTORS);
		assert_string_equal(snapshot->listener, "");
		assert_int_equal(snapshot->note_bytes, 0);
		assert_int_equal(snapshot->has_input, is_heard((int)snapshot->id - 1));
		if (snapshot->has_input)
			assert_int_equal(snapshot->input_max_bytes, LONGEST);
	}
}

static void what_was_there_is_read(void **state)
{
	(void)state;
	for (enum engine engine = 0; engine < ENGINE_COUNT; engine++) {
		struct handover handover = {.config.fd = -1};
		struct scene scene;
		struct bag bag;

		open_scene(&scene, engine);
		fill_bag(&bag);
		assert_int_equal(crash_feeds_read(scene.record.map, &bag.list, &handover), 0);
		assert_int_equal(handover.workers, 1);
		assert_int_equal(handover.feed_count, 1);
		assert_int_equal(handover.lost, 0);
		assert_string_equal(handover.feeds[0].name, "test");
		assert_int_equal(handover.feeds[0].admitted, 12);
		assert_int_equal(handover.feeds[0].part_count, 1);
		assert_int_equal(handover.feeds[0].parts[0].rendition_count, 2);
		assert_true(handover.feeds[0].parts[0].is_source_up);
		assert_true(handover.feeds[0].parts[0].is_after_crash);
		assert_int_equal(handover.feeds[0].parts[0].session,
				 scene.rig.feed->publish.sequence.session);
		assert_int_equal(handover.feeds[0].parts[0].counts.closed[CLOSE_CRASH], 0);
		for (size_t i = 0; i < 2; i++)
			check_rendition(&scene, &handover.feeds[0].parts[0].renditions[i]);
		handover_fini(&handover);
		empty_bag(&bag);
		close_scene(&scene);
	}
}

static void each_format_is_read(void **state)
{
	struct handover handover = {.config.fd = -1};
	struct scene scene;
	struct bag bag;

	(void)state;
	open_scene(&scene, ENGINE_COPY);
	for (enum format i = 0; i < FORMAT_COUNT; i++) {
		if (i != FORMAT_RAW && i != FORMAT_FRAMED)
			assert_non_null(feed_open_rendition(scene.rig.feed, encoder_of(i)));
	}
	fill_bag(&bag);
	assert_int_equal(crash_feeds_read(scene.record.map, &bag.list, &handover), 0);
	assert_int_equal(handover.feed_count, 1);
	assert_int_equal(handover.feeds[0].parts[0].rendition_count, FORMAT_COUNT);
	handover_fini(&handover);
	empty_bag(&bag);
	close_scene(&scene);
}

/* Of the feed's first part. */
static size_t count_subscribers(const struct handover *handover)
{
	const struct feed_state *state = &handover->feeds[0].parts[0];
	size_t count = 0;

	for (size_t i = 0; i < state->rendition_count; i++)
		count += state->renditions[i].subscriber_count;
	return count;
}

static void who_is_lost_is_counted(void **state)
{
	struct handover handover = {.config.fd = -1};
	struct scene scene;
	struct bag bag;

	(void)state;
	open_scene(&scene, ENGINE_COPY);
	for (size_t i = 0; i < DESCRIPTORS; i++) {
		struct subscriber_record *record = &scene.records.subscribers[i];
		uint32_t was = atomic_load(&record->state);

		if ((was & RECORD_STATE_MASK) != RECORD_SETTLED)
			continue;
		if (record->kept.id == 1)
			atomic_store(&record->state, RECORD_LOST);
		else if (record->kept.id == 2)
			record->cookie++;      // another socket has the number
		else if (record->kept.id == 5) // has got a byte more than the record says; TCP
			record->places[subscriber_record_place(was)].sent_bytes--;
	}
	put_right_region(scene.record.map, scene.record.bytes);
	fill_bag(&bag);
	assert_int_equal(crash_feeds_read(scene.record.map, &bag.list, &handover), 0);
	assert_int_equal(handover.feeds[0].parts[0].counts.closed[CLOSE_CRASH], 3);
	assert_int_equal(count_subscribers(&handover), 9);
	handover_fini(&handover);
	empty_bag(&bag);
	close_scene(&scene);
}

static const struct subscriber_snapshot *find_snapshot(const struct feed_state *state, uint64_t id)
{
	for (size_t i = 0; i < state->rendition_count; i++) {
		const struct rendition_state *rendition = &state->renditions[i];

		for (size_t k = 0; k < rendition->subscriber_count; k++) {
			if (rendition->subscribers[k].id == id)
				return &rendition->subscribers[k];
		}
	}
	return NULL;
}

static bool is_fifth_idle(const struct feed_rig *rig)
{
	return subscriber_of(rig->feed, 5)->state == SUBSCRIBER_IDLE;
}

// One in mid-packet is answered behind it: that note is there. The other one was at rest: it has
// been answered.
static void an_answer_that_waits_is_kept(void **state)
{
	struct handover handover = {.config.fd = -1};
	const struct subscriber_snapshot *waits, *answered;
	struct scene scene;
	struct bag bag;

	(void)state;
	open_scene(&scene, ENGINE_COPY);
	assert_true(scene.rig.readers[6].is_paused);
	feed_rig_run_until(&scene.rig, is_fifth_idle);
	say(&scene, 4, "me!");
	say(&scene, 6, "me!");
	fill_bag(&bag);
	assert_int_equal(crash_feeds_read(scene.record.map, &bag.list, &handover), 0);
	assert_int_equal(handover.feeds[0].parts[0].counts.closed[CLOSE_CRASH], 0);
	waits = find_snapshot(&handover.feeds[0].parts[0], 7);
	answered = find_snapshot(&handover.feeds[0].parts[0], 5);
	assert_non_null(waits);
	assert_non_null(answered);
	assert_int_equal(waits->note_bytes, 3);
	assert_memory_equal(waits->note, "me!", 3);
	assert_int_equal(answered->note_bytes, 0);
	handover_fini(&handover);
	empty_bag(&bag);
	close_scene(&scene);
}

static uint64_t count_lost(const struct scene *scene)
{
	struct handover handover = {.config.fd = -1};
	struct bag bag;
	uint64_t lost;

	fill_bag(&bag);
	assert_int_equal(crash_feeds_read(scene->record.map, &bag.list, &handover), 0);
	lost = handover.feeds[0].parts[0].counts.closed[CLOSE_CRASH];
	assert_int_equal(count_subscribers(&handover), 12 - lost);
	handover_fini(&handover);
	empty_bag(&bag);
	return lost;
}

static void who_is_in_the_middle_of_its_words_is_lost(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene, ENGINE_COPY);
	say(&scene, 4, "half a ");
	say(&scene, 6, "half a ");
	assert_int_equal(count_lost(&scene), 2);
	say(&scene, 4, "word.");
	assert_int_equal(count_lost(&scene), 1);
	say(&scene, 6, "word!");
	assert_int_equal(count_lost(&scene), 0);
	close_scene(&scene);
}

// As they were last told, or at the last tick.
static void counters_are_read_as_they_were_noted(void **state)
{
	struct handover handover = {.config.fd = -1};
	struct feed_report report = {0};
	const struct part_counts *counts;
	struct scene scene;
	struct bag bag;

	(void)state;
	open_scene(&scene, ENGINE_COPY);
	feed_report_add(&report, scene.rig.feed, true);
	scene.rig.feed->metrics.gaps += 1000; // nobody has been told
	fill_bag(&bag);
	assert_int_equal(crash_feeds_read(scene.record.map, &bag.list, &handover), 0);
	counts = &handover.feeds[0].parts[0].counts;
	assert_true(report.metrics.in_bytes > 0 && report.metrics.delivered_messages > 0);
	assert_int_equal(counts->metrics.in_bytes, report.metrics.in_bytes);
	assert_int_equal(counts->metrics.delivered_messages, report.metrics.delivered_messages);
	assert_int_equal(counts->metrics.subscribers_total, 12);
	assert_int_equal(counts->metrics.gaps, report.metrics.gaps);
	handover_fini(&handover);
	empty_bag(&bag);
	// It never goes back, and the walk over all of them is not needed for that.
	feed_report_add(&report, scene.rig.feed, false);
	assert_int_equal(scene.records.parts[0].counts.metrics.gaps, scene.rig.feed->metrics.gaps);
	assert_true(scene.records.parts[0].counts.metrics.delivered_messages >=
		    scene.rig.feed->metrics.delivered_messages);
	close_scene(&scene);
}

static void check_accounts(const struct scene *scene, uint64_t joined, uint64_t closed_crash)
{
	struct handover handover = {.config.fd = -1};
	const struct feed_state *part;
	struct bag bag;

	fill_bag(&bag);
	assert_int_equal(crash_feeds_read(scene->record.map, &bag.list, &handover), 0);
	part = &handover.feeds[0].parts[0];
	assert_int_equal(part->counts.metrics.subscribers_total, joined);
	assert_int_equal(part->counts.closed[CLOSE_CRASH], closed_crash);
	assert_int_equal(part->lost_before, closed_crash);
	assert_int_equal(handover.feeds[0].refused[CLOSE_LIMIT], 3);
	handover_fini(&handover);
	empty_bag(&bag);
}

// Also where it died between two of the steps by which somebody comes or goes.
static void accounts_balance(void **state)
{
	const uint64_t refused[CLOSE_REASON_COUNT] = {[CLOSE_LIMIT] = 3};
	uint64_t *joined;
	struct scene scene;

	(void)state;
	open_scene(&scene, ENGINE_COPY);
	joined = &scene.records.parts[0].counts.metrics.subscribers_total;
	feed_record_note_refused(&scene.rig.feed->fanout, refused);
	assert_int_equal(*joined, 12);
	subscriber_close(fanout_find_subscriber(&scene.rig.feed->fanout, 3), CLOSE_KICKED);
	check_accounts(&scene, 12, 0);
	*joined += 2;
	check_accounts(&scene, 14, 2);
	*joined -= 5;
	check_accounts(&scene, 12, 0);
	close_scene(&scene);
}

static void a_torn_part_keeps_nobody(void **state)
{
	struct handover handover = {.config.fd = -1};
	struct scene scene;
	struct bag bag;

	(void)state;
	open_scene(&scene, ENGINE_SPLICE);
	feed_record_begin_sequence(&scene.rig.feed->fanout);
	fill_bag(&bag);
	assert_int_equal(crash_feeds_read(scene.record.map, &bag.list, &handover), 0);
	assert_int_equal(handover.feeds[0].parts[0].counts.closed[CLOSE_CRASH], 12);
	assert_int_equal(count_subscribers(&handover), 0);
	handover_fini(&handover);
	empty_bag(&bag);
	close_scene(&scene);
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 4;
}

// Where something is written down: in a part, a rendition of it, or a subscriber's record.
static uint8_t *pick(const struct scene *scene, uint8_t *copy, uint32_t *random)
{
	const struct crash_head *head = crash_record_head(&scene->record);
	uint32_t what = next_random(random) % 4;
	size_t at = 0;

	if (what == 0) {
		at = head->parts.offset +
		     next_random(random) % offsetof(struct part_record, counts);
	} else if (what == 1) {
		at = head->parts.offset + offsetof(struct part_record, renditions) +
		     next_random(random) % (3 * sizeof(struct rendition_record));
	} else {
		uint32_t number = next_random(random) % 80;

		at = head->subscribers.offset + number * sizeof(struct subscriber_record) +
		     next_random(random) % sizeof(struct subscriber_record);
	}
	return copy + at;
}

static void check_sound(const struct handover *handover)
{
	for (size_t i = 0; i < handover->feed_count; i++) {
		const struct feed_state *part = &handover->feeds[i].parts[0];

		for (size_t k = 0; k < part->rendition_count; k++) {
			const struct rendition_state *rendition = &part->renditions[k];

			assert_null(ring_state_fault(&rendition->ring));
			for (size_t n = 0; n < rendition->subscriber_count; n++) {
				const struct subscriber_snapshot *one = &rendition->subscribers[n];

				assert_null(cursor_state_fault(&one->cursor, &rendition->ring));
				assert_true(one->note_bytes <= RECORD_NOTES_BYTES);
				assert_true(one->end_reason < CLOSE_REASON_COUNT);
			}
		}
	}
}

static void wrong_bytes_do_no_harm(void **state)
{
	struct scene scene;
	uint32_t random = 5;
	unsigned kept = 0;
	uint8_t *copy;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	open_scene(&scene, ENGINE_SPLICE);
	copy = aligned_alloc(64, scene.record.bytes);
	assert_non_null(copy);
	for (int i = 0; i < MUTATIONS; i++) {
		struct handover handover = {.config.fd = -1};
		uint32_t changes = 1 + next_random(&random) % 20;
		struct bag bag;

		memcpy(copy, scene.record.map, scene.record.bytes);
		while (changes--)
			*pick(&scene, copy, &random) = (uint8_t)next_random(&random);
		if (i % 2)
			put_right_region(copy, scene.record.bytes);
		fill_bag(&bag);
		assert_int_equal(crash_feeds_read(copy, &bag.list, &handover), 0);
		check_sound(&handover);
		if (handover.feed_count)
			kept += (unsigned)count_subscribers(&handover);
		handover_fini(&handover);
		empty_bag(&bag);
	}
	free(copy);
	print_message("%u of %u were kept\n", kept, 12 * MUTATIONS);
	close_scene(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_there_is_read, feed_rig_setup,
						feed_rig_teardown),
		cmocka_unit_test_setup_teardown(each_format_is_read, feed_rig_setup,
						feed_rig_teardown),
		cmocka_unit_test_setup_teardown(who_is_lost_is_counted, feed_rig_setup,
						feed_rig_teardown),
		cmocka_unit_test_setup_teardown(an_answer_that_waits_is_kept, feed_rig_setup,
						feed_rig_teardown),
		cmocka_unit_test_setup_teardown(who_is_in_the_middle_of_its_words_is_lost,
						feed_rig_setup, feed_rig_teardown),
		cmocka_unit_test_setup_teardown(counters_are_read_as_they_were_noted,
						feed_rig_setup, feed_rig_teardown),
		cmocka_unit_test_setup_teardown(accounts_balance, feed_rig_setup,
						feed_rig_teardown),
		cmocka_unit_test_setup_teardown(a_torn_part_keeps_nobody, feed_rig_setup,
						feed_rig_teardown),
		cmocka_unit_test_setup_teardown(wrong_bytes_do_no_harm, feed_rig_setup,
						feed_rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
