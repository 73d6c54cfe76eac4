// SPDX-License-Identifier: MIT
/*
 * Histories that were not closed for good, or that were damaged: what is served is the stream, from
 * its beginning up to some message, and never a byte that was not in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history/history_folder.h"
#include "history/history_reader.h"
#include "history/history_sync.h"
#include "history_file/history_scan.h"
#include "history_file/history_verify.h"
#include "tests/unit/history_rig.h"
#include "tests/unit/ring_kept_rig.h"

enum {
	ROUNDS = 60,
	STREAM_BYTES = 1 << 20,
	FILE_BYTES = 300 << 10,
};

/* ---- doing damage ---- */

static int open_file(const struct history_rig *rig, const char *name)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", rig->path, name);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	return fd;
}

static int open_number(const struct history_rig *rig, uint64_t number, enum history_kind kind)
{
	char name[HISTORY_NAME_BYTES];

	return open_file(rig, history_name_print(name, number, kind));
}

static size_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (size_t)st.st_size;
}

static void cut_file(const struct history_rig *rig, uint64_t number, enum history_kind kind,
		     size_t size)
{
	int fd = open_number(rig, number, kind);

	assert_true(size <= size_of(fd));
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(close(fd), 0);
}

/* What it has not is zero bytes. */
static void extend_file(const struct history_rig *rig, uint64_t number, enum history_kind kind,
			size_t size)
{
	int fd = open_number(rig, number, kind);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(close(fd), 0);
}

static void flip_byte(const struct history_rig *rig, uint64_t number, enum history_kind kind,
		      size_t offset)
{
	int fd = open_number(rig, number, kind);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 0x40;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	assert_int_equal(close(fd), 0);
}

static size_t file_size(const struct history_rig *rig, uint64_t number, enum history_kind kind)
{
	int fd = open_number(rig, number, kind);
	size_t size = size_of(fd);

	assert_int_equal(close(fd), 0);
	return size;
}

/* The machine seems to have started anew since. */
static void start_machine(const struct history_rig *rig)
{
	static const char text[] = "relay history 1\nfeed prices\nframing line\nboot another\n";
	int fd = open_file(rig, "history");

	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(close(fd), 0);
}

/* ---- recording ---- */

/* Records as far as `bytes` of the stream, and dies.  Returns the number of the newest file. */
static uint64_t record_and_die(struct history_rig *rig, size_t bytes)
{
	struct history_found found;
	struct history_writer writer;
	struct history *history = history_rig_open(rig, &found);
	uint64_t newest;

	history_writer_begin(&writer, history, &found.end);
	(void)history_rig_append(rig, &writer, 0, bytes);
	newest = history->next_number - 1;
	assert_int_equal(history_sync(history, true, 0), 0); /* of the files before */
	/* Death closes descriptors, and nothing else. */
	(void)close(writer.fd);
	(void)close(writer.index_fd);
	history_unref_file(history, &writer.file);
	history_close(&history);
	return newest;
}

/* Messages of the stream that are whole within so many bytes, as a number of packets. */
static size_t whole_packets(const struct history_rig *rig, size_t bytes)
{
	size_t count = 0;

	while (count < rig->count && rig->packets[count].offset + PACKET_HEADER_BYTES +
						     rig->packets[count].header.length <=
					     bytes)
		count++;
	while (count && count < rig->count && rig->packets[count].is_continued)
		count--;
	return count;
}

/* Opens it again: the stream is there up to some packet, which is returned. */
static size_t check_prefix(struct history_rig *rig, struct history_found *found)
{
	struct history *history = history_rig_open(rig, found);
	struct history_reader reader;
	size_t next = 0;

	if (history_reader_open_oldest(&reader, history) == 0) {
		next = history_rig_follow(rig, &reader, 0);
		history_reader_close(&reader);
		assert_int_equal(found->end.sequence, next < rig->count
							      ? rig->packets[next].header.sequence
							      : rig->next_seq);
	}
	assert_int_equal(history_sync(history, true, 0), 0);
	history_close(&history);
	return next;
}

static void begin_round(struct history_rig *rig)
{
	history_rig_empty(rig);
	rig->bytes = rig->count = 0;
	rig->next_seq = 1000;
	rig->params.max_file_bytes = FILE_BYTES;
	history_rig_add(rig, STREAM_BYTES);
}

/* ---- the tests ---- */

/* What was written is all there, whatever of the index was. */
static void a_crash_loses_nothing_that_was_written(void **state)
{
	struct history_rig *rig = *state;

	for (int i = 0; i < ROUNDS; i++) {
		struct history_found found;
		size_t bytes, index_bytes;
		uint64_t newest;

		begin_round(rig);
		bytes = 1 + rig_random_below(&rig->random, rig->bytes);
		newest = record_and_die(rig, bytes);
		if (newest) {
			index_bytes = file_size(rig, newest, HISTORY_INDEX);
			cut_file(rig, newest, HISTORY_INDEX,
				 rig_random_below(&rig->random, index_bytes + 1));
		}
		assert_int_equal(check_prefix(rig, &found), whole_packets(rig, bytes));
		assert_int_equal(check_prefix(rig, &found), whole_packets(rig, bytes));
		assert_int_equal(found.cut_bytes + found.rebuilt, 0);
	}
}

/* What an index begins with, the number of its version too, of the newest file and of one that was
 * closed for good: it is made anew, and nothing is missing. */
static void an_index_that_begins_wrong_is_made_anew(void **state)
{
	enum {
		MAGIC_AND_VERSION = 5
	};
	struct history_rig *rig = *state;

	for (size_t at = 0; at < MAGIC_AND_VERSION; at++) {
		struct history_found found;
		uint64_t newest;

		begin_round(rig);
		newest = record_and_die(rig, rig->bytes);
		assert_true(newest > 1);
		flip_byte(rig, newest, HISTORY_INDEX, at);
		flip_byte(rig, newest - 1, HISTORY_INDEX, at);
		assert_int_equal(check_prefix(rig, &found), whole_packets(rig, rig->bytes));
		assert_int_equal(check_prefix(rig, &found), whole_packets(rig, rig->bytes));
		assert_int_equal(found.cut_bytes + found.rebuilt, 0);
	}
}

static int verify(const struct history_rig *rig, uint64_t number, struct history_verified *ret)
{
	int fd = open_number(rig, number, HISTORY_PACKETS);
	int index_fd = open_number(rig, number, HISTORY_INDEX);
	struct errmsg err;
	int r = history_verify(fd, index_fd, ret, &err);

	if (r < 0)
		assert_true(*err.text);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(index_fd), 0);
	return r;
}

/* An entry of a closed file's index whose sequence, time or offset cannot be, or the end: the start
 * sees it, and makes the index anew. */
static void an_entry_out_of_order_is_seen(void **state)
{
	enum {
		NUMBERS = 3, /* of 8 bytes each */
	};
	struct history_rig *rig = *state;

	for (size_t i = 0; i < ROUNDS; i++) {
		struct history_verified verified;
		struct history_found found;
		uint64_t number, entries;

		begin_round(rig);
		number = record_and_die(rig, rig->bytes) - 1;
		entries = file_size(rig, number, HISTORY_INDEX) / HISTORY_ENTRY_BYTES - 1;
		flip_byte(rig, number, HISTORY_INDEX,
			  history_index_offset(rig_random_below(&rig->random, entries)) +
				  8 * (i % NUMBERS) + 1);
		assert_int_equal(verify(rig, number, &verified), -EBADMSG);
		assert_int_equal(check_prefix(rig, &found), whole_packets(rig, rig->bytes));
		assert_int_equal(verify(rig, number, &verified), 0);
	}
}

static void a_torn_tail_is_cut_off(void **state)
{
	struct history_rig *rig = *state;

	for (int i = 0; i < ROUNDS; i++) {
		struct history_found found;
		uint64_t newest;
		size_t size, cut, count;

		begin_round(rig);
		newest = record_and_die(rig, rig->bytes);
		size = file_size(rig, newest, HISTORY_PACKETS);
		cut = 64 + rig_random_below(&rig->random, size - 64); /* behind its heartbeat */
		cut_file(rig, newest, HISTORY_PACKETS, cut);
		count = check_prefix(rig, &found);
		assert_int_equal(count, whole_packets(rig, rig->bytes - size + cut));
		assert_int_equal(check_prefix(rig, &found), count);
	}
}

/* After a power cut any byte of the newest file may be another one. */
static void a_power_cut_lets_no_wrong_byte_through(void **state)
{
	struct history_rig *rig = *state;

	for (int i = 0; i < ROUNDS; i++) {
		struct history_found found;
		uint64_t newest;
		size_t size;

		begin_round(rig);
		newest = record_and_die(
			rig, rig->bytes / 2 + rig_random_below(&rig->random, rig->bytes / 2));
		size = file_size(rig, newest, HISTORY_PACKETS);
		if (!size)
			continue;
		for (int k = 0; k < 3; k++)
			flip_byte(rig, newest, HISTORY_PACKETS,
				  rig_random_below(&rig->random, size));
		start_machine(rig);
		(void)check_prefix(rig, &found); /* which checks each byte */
		assert_true(found.cut_bytes > 0);
	}
}

/* Appends as far as `bytes`, commits, and appends `more`, of which readers are shown no more
 * than that new files have committed; then dies.  *ret: what was shown last.  Returns the number
 * of its file. */
static uint64_t commit_and_die(struct history_rig *rig, size_t bytes, size_t more,
			       struct history_writer *ret)
{
	struct history_entry oldest, before, end;
	struct history_found found;
	struct history *history = history_rig_open(rig, &found);
	struct history_writer *writer = ret;
	uint64_t number;
	size_t taken;

	history_writer_begin(writer, history, &found.end);
	writer->shows_committed = true;
	taken = history_rig_append(rig, writer, 0, bytes);
	assert_int_equal(history_writer_commit(writer), 0);
	assert_true(history_range(history, &oldest, &before));
	assert_int_equal(before.sequence, rig->packets[whole_packets(rig, taken)].header.sequence);
	number = history->next_number - 1;
	(void)history_rig_append(rig, writer, taken, more);
	assert_true(history_range(history, &oldest, &end));
	if (history->next_number - 1 == number)
		assert_int_equal(end.offset, before.offset);
	number = history->next_number - 1;
	assert_int_equal(history_sync(history, false, 0), 0); /* of the files before */
	(void)close(writer->fd);
	(void)close(writer->index_fd);
	history_unref_file(history, &writer->file);
	history_close(&history);
	return number;
}

/* What lies behind: as if it never came to the disk, or not all of it. */
static void lose_tail(struct history_rig *rig, uint64_t number, enum history_kind kind,
		      size_t least)
{
	size_t size = file_size(rig, number, kind);
	size_t left = least + rig_random_below(&rig->random, size - least + 1);

	if (rig_random_below(&rig->random, 2))
		cut_file(rig, number, kind, least);
	extend_file(rig, number, kind, left);
}

/* Nothing that was committed is missing, whatever became of the rest; and none of the
 * rest is there. */
static void a_power_cut_takes_nothing_that_was_committed(void **state)
{
	struct history_rig *rig = *state;

	for (int i = 0; i < ROUNDS; i++) {
		struct history_found found;
		struct history_writer writer;
		uint64_t number;
		size_t bytes, count;

		begin_round(rig);
		bytes = 100000 + rig_random_below(&rig->random, rig->bytes - 200000);
		number = commit_and_die(rig, bytes,
					bytes + rig_random_below(&rig->random, rig->bytes - bytes),
					&writer);
		lose_tail(rig, number, HISTORY_PACKETS, (size_t)writer.shown.offset);
		lose_tail(rig, number, HISTORY_INDEX,
			  (size_t)history_index_offset(writer.shown_entry_count));
		start_machine(rig);
		count = check_prefix(rig, &found);
		assert_true(count >= whole_packets(rig, bytes));
		if (writer.shown.session)
			assert_int_equal(found.end.sequence, writer.shown.sequence);
		assert_int_equal(check_prefix(rig, &found), count);
	}
}

/* Everything is found without the index, and with one that is not right. */
static void an_index_can_be_lost_or_wrong(void **state)
{
	struct history_rig *rig = *state;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t number = 1 + rig_random_below(&rig->random, 3);
		struct history_reader reader;
		struct history_found found;
		struct history *history;
		size_t size, packet;

		begin_round(rig);
		history_rig_record(rig);
		size = file_size(rig, number, HISTORY_INDEX);
		if (i % 3 == 0)
			cut_file(rig, number, HISTORY_INDEX, rig_random_below(&rig->random, size));
		else
			flip_byte(rig, number, HISTORY_INDEX,
				  sizeof("RLYX") +
					  rig_random_below(&rig->random, size - sizeof("RLYX")));
		history = history_rig_open(rig, &found);
		for (int k = 0; k < 20; k++) {
			uint64_t sequence;

			packet = rig_random_below(&rig->random, rig->count);
			while (rig->packets[packet].is_continued ||
			       rig->packets[packet].header.type != PACKET_DATA ||
			       !rig->packets[packet].header.count)
				packet = (packet + 1) % rig->count;
			sequence = rig->packets[packet].header.sequence;
			assert_int_equal(history_reader_open_at(&reader, history, 0, sequence), 0);
			history_rig_check(rig, &reader, packet, rig->count);
		}
		history_close(&history);
	}
}

/* Files are as they were written, also the one that nobody closed; a wrong byte is one of those
 * that are named. */
static void a_wrong_byte_is_named(void **state)
{
	struct history_rig *rig = *state;

	for (int i = 0; i < ROUNDS; i++) {
		struct history_verified found;
		uint64_t newest, number;
		size_t at;

		begin_round(rig);
		newest = record_and_die(rig, rig->bytes);
		assert_true(newest > 2);
		for (number = 1; number <= newest; number++)
			assert_int_equal(verify(rig, number, &found), 0);
		number = 1 +
			 rig_random_below(&rig->random, newest - 1); /* of those closed for good */
		at = rig_random_below(&rig->random, file_size(rig, number, HISTORY_PACKETS));
		flip_byte(rig, number, HISTORY_PACKETS, at);
		assert_int_equal(verify(rig, number, &found), -EBADMSG);
		assert_true(found.wrong_from <= at && at <= found.wrong_to);
		flip_byte(rig, number, HISTORY_PACKETS, at);
		at = sizeof("RLYX") +
		     rig_random_below(&rig->random,
				      file_size(rig, number, HISTORY_INDEX) - sizeof("RLYX"));
		flip_byte(rig, number, HISTORY_INDEX, at);
		assert_true(at < HISTORY_ENTRY_BYTES || verify(rig, number, &found) == -EBADMSG);
	}
}

/* However much of its newest packet is there, which seldom has an entry in the index. */
static void a_file_that_is_being_written_is_not_wrong(void **state)
{
	struct history_rig *rig = *state;

	for (int i = 0; i < 5 * ROUNDS; i++) {
		struct history_verified found;
		uint64_t newest;

		begin_round(rig);
		newest = record_and_die(rig, 1 + rig_random_below(&rig->random, rig->bytes));
		if (newest)
			assert_int_equal(verify(rig, newest, &found), 0);
	}
}

/* The packets of all files follow one another; what is missing is told by gaps. */
static void check_no_jump(struct history *history)
{
	struct history_reader reader;
	struct history_run run;
	uint64_t next_seq = 0;
	int r;

	assert_int_equal(history_reader_open_oldest(&reader, history), 0);
	while ((r = history_reader_next(&reader, &run)) > 0) {
		struct packet_header header;
		struct history_scan scan;
		uint64_t offset;

		history_scan_init(&scan, run.fd, run.offset, run.offset + run.length);
		while (history_scan_next(&scan, &header, &offset) > 0) {
			assert_true(!next_seq || header.sequence == next_seq);
			next_seq = packet_header_next_seq(&header);
		}
		assert_int_equal(scan.offset, run.offset + run.length);
		history_reader_advance(&reader, run.length);
	}
	assert_int_equal(r, 0);
	history_reader_close(&reader);
}

/* None of the files was closed for good, and each may have lost its end. */
static void what_a_power_cut_took_is_a_gap(void **state)
{
	struct history_rig *rig = *state;
	int joined = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct history_verified verified;
		struct history_found found;
		struct history *history;
		uint64_t newest;

		begin_round(rig);
		newest = record_and_die(rig, rig->bytes);
		for (uint64_t number = 1; number <= newest; number++) {
			size_t entries = file_size(rig, number, HISTORY_INDEX);

			cut_file(rig, number, HISTORY_INDEX, entries - HISTORY_ENTRY_BYTES);
			cut_file(rig, number, HISTORY_PACKETS,
				 file_size(rig, number, HISTORY_PACKETS) -
					 rig_random_below(&rig->random, 2000));
		}
		start_machine(rig);
		history = history_rig_open(rig, &found);
		check_no_jump(history);
		assert_int_equal(history_sync(history, true, 0), 0);
		history_close(&history);
		for (uint64_t number = 1; number < newest; number++) {
			assert_int_equal(verify(rig, number, &verified), 0);
			joined += verified.left_bytes == 0 && verified.gaps > 0;
		}
	}
	assert_true(joined > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, history_rig_begin, history_rig_end)
	const struct CMUnitTest tests[] = {
		TEST(a_crash_loses_nothing_that_was_written),
		TEST(an_index_that_begins_wrong_is_made_anew),
		TEST(an_entry_out_of_order_is_seen),
		TEST(a_torn_tail_is_cut_off),
		TEST(a_power_cut_lets_no_wrong_byte_through),
		TEST(an_index_can_be_lost_or_wrong),
		TEST(a_wrong_byte_is_named),
		TEST(a_file_that_is_being_written_is_not_wrong),
		TEST(what_a_power_cut_took_is_a_gap),
		TEST(a_power_cut_takes_nothing_that_was_committed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
