// SPDX-License-Identifier: MIT
/*
 * Histories: what was appended is read, from any sequence and any time on; files are retired whole;
 * a folder that is not relay's own is refused as it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "history_file/crc32c.h"
#include "history/history_folder.h"
#include "history/history_reader.h"
#include "history/history_sync.h"
#include "tests/unit/history_rig.h"
#include "tests/unit/ring_kept_rig.h"

static void the_sum_is_that_of_the_standard(void **state)
{
	/* RFC 3720, B.4. */
	uint8_t zeros[32] = {0}, rising[32];
	uint64_t random = 3;
	uint8_t bytes[1000];

	(void)state;
	for (unsigned i = 0; i < sizeof(rising); i++)
		rising[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa);
	assert_int_equal(crc32c(0, rising, sizeof(rising)), 0x46dd794e);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)rig_random(&random);
	for (unsigned i = 0; i < 500; i++) {
		size_t cut = rig_random_below(&random, sizeof(bytes));
		uint32_t whole = crc32c_by_table(0, bytes, sizeof(bytes));

		assert_int_equal(crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof(bytes) - cut),
				 whole);
	}
}

static void what_is_appended_is_read(void **state)
{
	struct history_rig *rig = *state;
	struct history_reader reader;
	struct history_found found;
	struct history_report report;
	struct history *history;

	history_rig_add(rig, 5 << 20);
	history_rig_record(rig);
	history = history_rig_open(rig, &found);
	assert_int_equal(found.cut_bytes + found.rebuilt, 0);
	assert_true(found.files >= 5);
	assert_int_equal(found.end.sequence, rig->next_seq);
	history_read_report(history, &report);
	assert_int_equal(report.files, found.files);
	assert_int_equal(report.oldest.sequence, 1000);
	assert_int_equal(history_reader_open_oldest(&reader, history), 0);
	history_rig_check(rig, &reader, 0, rig->count);
	history_close(&history);
}

/* The first packet that has a part of the message, or says that it is missing. */
static size_t packet_with(const struct history_rig *rig, uint64_t sequence)
{
	size_t i = 0;

	for (; i < rig->count; i++) {
		const struct packet_header *header = &rig->packets[i].header;
		uint64_t behind = header->sequence + header->count;

		if (header->type == PACKET_GAP)
			behind = header->time;
		if (behind + (header->flags & PACKET_FLAG_CONTINUED) > sequence)
			break;
	}
	return i;
}

static void a_sequence_is_found(void **state)
{
	struct history_rig *rig = *state;
	struct history_reader reader;
	struct history_found found;
	struct history *history;

	history_rig_add(rig, 5 << 20);
	history_rig_record(rig);
	history = history_rig_open(rig, &found);
	for (int i = 0; i < 100; i++) {
		uint64_t sequence = 1000 + rig_random_below(&rig->random, rig->next_seq + 1 - 1000);

		assert_int_equal(history_reader_open_at(&reader, history,
							i % 2 ? HISTORY_RIG_SESSION : 0, sequence),
				 0);
		history_rig_check(rig, &reader, packet_with(rig, sequence), rig->count);
	}
	assert_int_equal(history_reader_open_at(&reader, history, 0, rig->next_seq), 0);
	history_rig_check(rig, &reader, rig->count, rig->count);
	assert_int_equal(history_reader_open_at(&reader, history, 0, rig->next_seq + 1), -EAGAIN);
	assert_int_equal(history_reader_open_at(&reader, history, 0, 999), -ERANGE);
	assert_int_equal(history_reader_open_at(&reader, history, 78, 1000), -ENOENT);
	history_close(&history);
}

/* Of the times of one file, the highest so far counts. */
static void a_time_is_found(void **state)
{
	struct history_rig *rig = *state;
	struct history_reader reader;
	struct history_found found;
	struct history *history;
	uint64_t begin_ns = rig->time_ns;

	rig->params.max_file_bytes = 64 << 20;
	history_rig_add(rig, 5 << 20);
	history_rig_record(rig);
	history = history_rig_open(rig, &found);
	for (int i = 0; i < 100; i++) {
		uint64_t time_ns =
			begin_ns + rig_random_below(&rig->random, rig->time_ns - begin_ns);
		uint64_t highest = 0;
		size_t first = 0;

		for (; first < rig->count; first++) {
			const struct history_rig_packet *packet = &rig->packets[first];

			if (packet->header.type != PACKET_GAP)
				highest = u64_max(highest, packet->header.time);
			if (highest >= time_ns && !packet->is_continued)
				break;
		}
		assert_int_equal(history_reader_open_since(&reader, history, time_ns), 0);
		history_rig_check(rig, &reader, first, rig->count);
	}
	assert_int_equal(history_reader_open_since(&reader, history, 0), 0);
	history_rig_check(rig, &reader, 0, rig->count);
	assert_int_equal(history_reader_open_since(&reader, history, UINT64_MAX), 0);
	history_rig_check(rig, &reader, rig->count, rig->count);
	history_close(&history);
}

/* While it is written, a reader sees what has been appended up to the last whole message, and goes
 * on from there. */
static void a_reader_follows_the_writer(void **state)
{
	struct history_rig *rig = *state;
	struct history_reader reader;
	struct history_found found;
	struct history_writer writer;
	struct history *history = history_rig_open(rig, &found);
	size_t appended = 0, next = 0, seen = 0;

	history_rig_add(rig, 4 << 20);
	assert_int_equal(history_reader_open_oldest(&reader, history), -ENOENT);
	history_writer_begin(&writer, history, &found.end);
	appended = history_rig_append(rig, &writer, 0, rig->packets[50].offset);
	assert_int_equal(history_reader_open_oldest(&reader, history), 0);
	while (next < rig->count) {
		size_t to = size_min(rig->bytes, appended + rig_random_below(&rig->random, 50000));

		appended = history_rig_append(rig, &writer, appended, to);
		while (next < rig->count && rig->packets[next].offset + PACKET_HEADER_BYTES +
							    rig->packets[next].header.length <=
						    appended)
			next++;
		while (next && next < rig->count && rig->packets[next].is_continued)
			next--;
		seen = history_rig_follow(rig, &reader, seen);
		assert_int_equal(seen, next);
	}
	history_reader_close(&reader);
	assert_int_equal(history_writer_end(&writer), 0);
	history_close(&history);
}

static struct packet_header data_header(const struct history_rig *rig, uint64_t sequence)
{
	return (struct packet_header){
		.count = 1,
		.length = 10,
		.session = HISTORY_RIG_SESSION,
		.sequence = sequence,
		.time = rig->time_ns,
	};
}

/* A stream that begins anew further on: what is missing is recorded as a gap.  Further back: what
 * is there is not recorded twice. */
static void a_stream_that_begins_anew_is_joined(void **state)
{
	struct history_rig *rig = *state;
	struct history_reader reader;
	struct history_found found;
	struct history_writer writer;
	struct history *history = history_rig_open(rig, &found);

	history_writer_begin(&writer, history, &found.end);
	for (uint64_t sequence = 1; sequence <= 5; sequence++)
		history_rig_add_packet(rig, data_header(rig, sequence));
	(void)history_rig_append(rig, &writer, 0, rig->bytes);
	(void)history_rig_append(rig, &writer, rig->packets[2].offset, rig->bytes); /* again */
	assert_int_equal(history_reader_open_oldest(&reader, history), 0);
	history_rig_check(rig, &reader, 0, 5);

	/* The stream as it should be, and the same without the gap. */
	history_rig_add_packet(rig, (struct packet_header){.type = PACKET_GAP,
							   .session = HISTORY_RIG_SESSION,
							   .sequence = 6,
							   .time = 20});
	history_rig_add_packet(rig, data_header(rig, 20));
	(void)history_rig_append(rig, &writer, rig->packets[6].offset, rig->bytes);
	assert_int_equal(history_reader_open_at(&reader, history, 0, 8), 0);
	history_rig_check(rig, &reader, 5, 7);
	assert_int_equal(history_writer_end(&writer), 0);
	history_close(&history);
}

/* Of packet that is known in part only, nothing can be made. */
static void what_does_not_go_on_is_an_error(void **state)
{
	struct history_rig *rig = *state;
	struct packet_header header = data_header(rig, 3);
	struct history_found found;
	struct history_writer writer;
	struct history *history = history_rig_open(rig, &found);
	ssize_t r;

	header.count = 3;
	history_rig_add_packet(rig, data_header(rig, 1));
	history_rig_add_packet(rig, data_header(rig, 2));
	history_rig_add_packet(rig, data_header(rig, 3));
	history_rig_add_packet(rig, header);
	history_writer_begin(&writer, history, &found.end);
	(void)history_rig_append(rig, &writer, 0, rig->packets[3].offset);
	r = history_writer_append(&writer, rig->stream + rig->packets[3].offset, 42, 0);
	assert_int_equal(r, -EPROTO);
	assert_int_equal(history_writer_end(&writer), 0);
	history_writer_begin(&writer, history, &found.end);
	rig->stream[0] = 'X';
	assert_int_equal(history_writer_append(&writer, rig->stream, 42, 0), -EPROTO);
	assert_int_equal(history_writer_end(&writer), 0);
	history_close(&history);
}

/* What could not be written is not there, and what was written before is as it was. */
static void a_write_that_fails_leaves_whole_messages(void **state)
{
	struct history_rig *rig = *state;
	struct rlimit limit = {.rlim_max = RLIM_INFINITY};
	const struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
	struct history_reader reader;
	struct history_found found;
	struct history_writer writer;
	struct history *history = history_rig_open(rig, &found);
	size_t appended, next;

	history_rig_add(rig, 1 << 20);
	history_writer_begin(&writer, history, &found.end);
	appended = history_rig_append(rig, &writer, 0, rig->packets[200].offset);
	limit.rlim_cur = appended + 50000;
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(history_writer_append(&writer, rig->stream + appended,
					       rig->bytes - appended, rig->time_ns),
			 -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(history_writer_end(&writer), 0);

	assert_int_equal(history_reader_open_oldest(&reader, history), 0);
	next = history_rig_follow(rig, &reader, 0);
	assert_in_range(next, 150, 200);
	(void)history_rig_append(rig, &writer, rig->packets[next].offset, rig->bytes);
	history_rig_check(rig, &reader, next, rig->count);
	assert_int_equal(history_writer_end(&writer), 0);
	assert_int_equal(history_sync(history, true, 0), 0);
	history_close(&history);

	history = history_rig_open(rig, &found);
	assert_int_equal(found.cut_bytes, 0);
	assert_int_equal(history_reader_open_oldest(&reader, history), 0);
	history_rig_check(rig, &reader, 0, rig->count);
	history_close(&history);
}

/* No descriptor is free from now on.  Returns the limit before. */
static struct rlimit use_up_descriptors(void)
{
	struct rlimit before, none;
	int lowest_free = dup(0);

	assert_true(lowest_free >= 0);
	assert_int_equal(close(lowest_free), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)lowest_free;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	return before;
}

/* Nor is the name of the new file forgotten: without it, what is in it is not there after
 * a power cut. */
static void what_could_not_be_synced_is_an_error_and_tried_again(void **state)
{
	struct history_rig *rig = *state;
	struct history_found found;
	struct history *history = history_rig_open(rig, &found);
	struct history_writer writer;
	struct rlimit before;

	history_rig_add(rig, 1 << 16);
	history_writer_begin(&writer, history, &found.end);
	(void)history_rig_append(rig, &writer, 0, rig->bytes);
	before = use_up_descriptors();
	assert_int_equal(history_sync(history, true, 0), -EMFILE);
	assert_true(history->has_new_name);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(history_sync(history, true, 0), 0);
	assert_false(history->has_new_name);
	assert_int_equal(history_writer_end(&writer), 0);
	history_close(&history);
}

/* As on a disk that is full for a while. */
static void what_could_not_be_said_of_the_folder_is_said_later(void **state)
{
	struct history_rig *rig = *state;
	const struct rlimit nothing = {.rlim_max = RLIM_INFINITY};
	const struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
	struct history_found found;
	struct history *history;

	rig->params.is_on_disk_first = true;
	history = history_rig_open(rig, &found);
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &nothing), 0);
	assert_int_equal(history_folder_set_on_disk_first(&history->folder), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(history_folder_set_on_disk_first(&history->folder), 0);
	history_close(&history);
	history = history_rig_open(rig, &found);
	assert_true(history->folder.is_on_disk_first);
	history_close(&history);
}

static void a_session_has_files_of_its_own(void **state)
{
	struct history_rig *rig = *state;
	struct packet_header header = data_header(rig, 1);
	struct history_report report;
	struct history_reader reader;
	struct history_run run;
	struct history_found found;
	struct history_writer writer;
	struct history *history = history_rig_open(rig, &found);

	history_rig_add_packet(rig, data_header(rig, 100));
	header.session++;
	history_rig_add_packet(rig, header);
	history_writer_begin(&writer, history, &found.end);
	(void)history_rig_append(rig, &writer, 0, rig->bytes);
	history_read_report(history, &report);
	assert_int_equal(report.files, 2);
	/* What comes behind a session that is over: the next one. */
	assert_int_equal(history_reader_open_at(&reader, history, HISTORY_RIG_SESSION, 500), 0);
	assert_int_equal(history_reader_next(&reader, &run), 1);
	assert_int_equal(run.offset, 0);
	assert_int_equal(run.session, HISTORY_RIG_SESSION + 1);
	assert_int_equal(run.sequence, 2);
	history_reader_close(&reader);
	assert_int_equal(history_writer_end(&writer), 0);
	history_close(&history);
}

/* ---- limits ---- */

static void whole_files_are_retired(void **state)
{
	struct history_rig *rig = *state;
	struct history_reader reader, slow;
	struct history_found found;
	struct history_report report;
	struct history_run run;
	struct history_entry oldest, end;
	struct history *history;
	char name[HISTORY_NAME_BYTES];

	history_rig_add(rig, 5 << 20);
	history_rig_record(rig);
	rig->params.max_bytes = 3 << 20;
	history = history_rig_open(rig, &found);
	assert_int_equal(history_reader_open_oldest(&reader, history), 0);
	assert_int_equal(history_reader_open_at(&slow, history, 0, 1000), 0);
	assert_int_equal(history_retire(history, rig->time_ns), 0);
	history_read_report(history, &report);
	assert_true(report.bytes <= rig->params.max_bytes);
	assert_true(report.bytes > rig->params.max_bytes / 2);
	assert_true(report.files < found.files);
	assert_int_equal(faccessat(history->folder.fd, history_name_print(name, 1, HISTORY_PACKETS),
				   F_OK, 0),
			 -1);
	assert_int_equal(
		faccessat(history->folder.fd, history_name_print(name, 1, HISTORY_INDEX), F_OK, 0),
		-1);

	/* Who is in a file that has been retired reads it to its end, and is told then. */
	assert_int_equal(history_reader_next(&reader, &run), 1);
	assert_true(run.length >= 1 << 20);
	history_reader_advance(&reader, run.length);
	assert_int_equal(history_reader_next(&reader, &run), -ERANGE);
	assert_int_equal(history_reader_next(&slow, &run), 1);
	history_reader_close(&reader);
	history_reader_close(&slow);

	assert_true(history_range(history, &oldest, &end));
	assert_int_equal(history_reader_open_at(&reader, history, 0, oldest.sequence - 1), -ERANGE);
	assert_int_equal(history_reader_open_at(&reader, history, 0, oldest.sequence), 0);
	history_rig_check(rig, &reader, packet_with(rig, oldest.sequence), rig->count);
	history_close(&history);
}

static void old_files_are_retired_and_the_newest_stays(void **state)
{
	struct history_rig *rig = *state;
	struct history_found found;
	struct history_report report;
	struct history *history;

	history_rig_add(rig, 3 << 20);
	history_rig_record(rig);
	rig->params.max_age_ms = 1000;
	history = history_rig_open(rig, &found);
	assert_int_equal(history_retire(history, rig->time_ns / 2), 0);
	history_read_report(history, &report);
	assert_int_equal(report.files, found.files);
	assert_int_equal(history_retire(history, rig->time_ns + 100 * NS_PER_S), 0);
	history_read_report(history, &report);
	assert_int_equal(report.files, 1);
	assert_int_equal(report.end.sequence, rig->next_seq);
	history_close(&history);
}

/* ---- folders ---- */

static void put_file(const struct history_rig *rig, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", rig->path, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Opening and checking both say so, and why. */
static void check_refused(const struct history_rig *rig, int error, const char *why)
{
	struct history_found found;
	struct history *history;
	struct errmsg err = {.text = ""};

	assert_int_equal(history_open(&rig->params, &history, &found, &err), error);
	assert_null(history);
	print_message("%s\n", err.text);
	assert_non_null(strstr(err.text, why));
	assert_non_null(strstr(err.text, rig->path));
	if (error == -EBUSY)
		return; /* nobody looks for the lock before the start */
	assert_int_equal(history_folder_check(&rig->params, &err), error);
	assert_non_null(strstr(err.text, why));
}

static void a_folder_is_relays_own(void **state)
{
	struct history_rig *rig = *state;
	struct errmsg err;

	put_file(rig, "notes.txt", "mine");
	check_refused(rig, -EEXIST, "notes.txt");
	history_rig_empty(rig);
	put_file(rig, "0000000001.rly", "");
	check_refused(rig, -EEXIST, "files without history");
	history_rig_empty(rig);
	history_rig_record(rig);
	put_file(rig, "1.rly", "");
	check_refused(rig, -EEXIST, "1.rly");
	history_rig_empty(rig);
	put_file(rig, "history", "relay history 2\nfeed prices\nframing line\n");
	check_refused(rig, -EPROTONOSUPPORT, "expected \"relay history 1\"");
	put_file(rig, "history", "relay history 1\nfeed trades\nframing line\n");
	check_refused(rig, -EPERM, "feed trades");
	put_file(rig, "history", "relay history 1\nfeed prices\nframing none\n");
	check_refused(rig, -EPERM, "framing none");
	history_rig_empty(rig);
	assert_int_equal(history_folder_check(&rig->params, &err), 0);
}

static void a_folder_is_locked(void **state)
{
	struct history_rig *rig = *state;
	struct history_found found;
	struct history *history = history_rig_open(rig, &found);

	check_refused(rig, -EBUSY, "another relay has it open");
	history_close(&history);
	history = history_rig_open(rig, &found);
	history_close(&history);
}

static void a_folder_is_made_in_one_that_is_there(void **state)
{
	struct history_rig *rig = *state;
	struct history_rig below = *rig;
	char path[128];
	struct history_found found;
	struct history *history;
	struct errmsg err;

	(void)snprintf(path, sizeof(path), "%s/none/there", rig->path);
	below.params.path = path;
	assert_int_equal(history_folder_check(&below.params, &err), -ENOENT);
	assert_int_equal(history_open(&below.params, &history, &found, &err), -ENOENT);
	(void)snprintf(path, sizeof(path), "%s/new", rig->path);
	assert_int_equal(history_folder_check(&below.params, &err), 0);
	history = history_rig_open(&below, &found);
	assert_int_equal(found.files, 0);
	history_close(&history);
	(void)snprintf(path, sizeof(path), "%s/new/history", rig->path);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/new", rig->path);
	assert_int_equal(rmdir(path), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, history_rig_begin, history_rig_end)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sum_is_that_of_the_standard),
		TEST(what_is_appended_is_read),
		TEST(a_sequence_is_found),
		TEST(a_time_is_found),
		TEST(a_reader_follows_the_writer),
		TEST(a_stream_that_begins_anew_is_joined),
		TEST(what_does_not_go_on_is_an_error),
		TEST(a_write_that_fails_leaves_whole_messages),
		TEST(what_could_not_be_synced_is_an_error_and_tried_again),
		TEST(what_could_not_be_said_of_the_folder_is_said_later),
		TEST(a_session_has_files_of_its_own),
		TEST(whole_files_are_retired),
		TEST(old_files_are_retired_and_the_newest_stays),
		TEST(a_folder_is_relays_own),
		TEST(a_folder_is_locked),
		TEST(a_folder_is_made_in_one_that_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
