// SPDX-License-Identifier: MIT
/*
 * Replays while reading and sending fail, or do less than asked, and while there is no memory.
 *
 * What has been sent is a true beginning.  Whatever fails is told by its errno, once, and nothing
 * is left open.
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
#include <sys/uio.h>
#include <unistd.h>

#include "base/compiler.h"
#include "history/history_cache.h"
#include "history/history_reader.h"
#include "tests/fault/wrap.h"
#include "tests/unit/leave_out.h"
#include "tests/unit/replay_rig.h"

static const struct framing_params no_framing = {.kind = FRAMING_NONE};
// Shared payload, chunks with a trailer, and what is rewritten.
static const enum format formats[] = {FORMAT_RAW, FORMAT_HTTP, FORMAT_EVENTS};
static const enum wrap_call calls[] = {WRAP_PREAD, WRAP_SENDFILE, WRAP_SEND_PAIR, WRAP_REALLOC};
static const int errnos[] = {EAGAIN, EINTR, EIO, ENOMEM, ECONNRESET};

static int begin(void **state)
{
	wrap_reset();
	return history_rig_begin(state);
}

static int end(void **state)
{
	wrap_reset();
	return history_rig_end(state);
}

static struct history *recorded(struct history_rig *rig)
{
	struct history_found found;

	rig->params.max_file_bytes = 1 << 30;
	history_rig_add(rig, 1 << 19);
	history_rig_record(rig);
	return history_rig_open(rig, &found);
}

// Opened before anything fails.
static struct replay *open_all(struct history *history, const struct replay_format *format)
{
	const struct replay_range all = {.has_from = true};
	struct stream_place place;
	struct replay *replay;

	assert_int_equal(replay_rig_open(history, &all, format, &replay, &place), 0);
	return replay;
}

static void send_all(struct replay *replay, struct replay_rig_sent *ret)
{
	int ends[2];

	replay_rig_open_pair(ends);
	replay_rig_send_all(replay, ends, ret);
	replay_free(replay);
}

static void check_beginning(const struct replay_rig_sent *sent,
			    const struct replay_rig_sent *expected, const char *what)
{
	if (sent->count > expected->count || memcmp(sent->bytes, expected->bytes, sent->count) != 0)
		fail_msg("%s: wrong bytes", what);
	if (sent->outcome == REPLAY_AT_END && sent->count != expected->count)
		fail_msg("%s: %zu of %zu bytes at the end", what, sent->count, expected->count);
}

static void what_fails_is_told(void **state)
{
	struct history_rig *rig = *state;
	struct history *history = recorded(rig);

	for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
		const struct replay_format format = {encoder_of(formats[f]), &no_framing, true};
		struct replay_rig_sent expected, sent;

		replay_rig_encode(rig, &format, &expected);
		for (size_t i = 0; i < ARRAY_LEN(calls) * ARRAY_LEN(errnos) * 3; i++) {
			unsigned nth = 1 + (unsigned)(i * i % 7), before;
			enum wrap_call call = calls[i % ARRAY_LEN(calls)];
			int err = errnos[i / ARRAY_LEN(calls) % ARRAY_LEN(errnos)];
			bool is_retried = err == EINTR || (err == EAGAIN && call != WRAP_PREAD);
			struct replay *replay;
			char what[80];

			(void)snprintf(what, sizeof(what), "format %d call %d errno %d try %zu",
				       formats[f], call, err, i);
			wrap_reset();
			replay = open_all(history, &format);
			before = wrap_count(call);
			wrap_fail_once(call, nth, err);
			send_all(replay, &sent);
			check_beginning(&sent, &expected, what);
			// Of a call that was made often enough to fail.
			if (wrap_count(call) - before >= nth && call == WRAP_REALLOC)
				assert_int_equal(sent.err, ENOMEM);
			else if (wrap_count(call) - before >= nth && !is_retried)
				assert_int_equal(sent.err, err);
			else
				assert_int_equal(sent.outcome, REPLAY_AT_END);
			free(sent.bytes);
		}
		free(expected.bytes);
	}
	history_close(&history);
}

static void less_than_asked_is_no_failure(void **state)
{
	struct history_rig *rig = *state;
	struct history *history = recorded(rig);

	for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
		const struct replay_format format = {encoder_of(formats[f]), &no_framing, true};
		struct replay_rig_sent expected, sent;

		replay_rig_encode(rig, &format, &expected);
		wrap_reset();
		wrap_cap(WRAP_SENDFILE, 777);
		wrap_cap(WRAP_SEND_PAIR, 333);
		send_all(open_all(history, &format), &sent);
		assert_int_equal(sent.outcome, REPLAY_AT_END);
		check_beginning(&sent, &expected, "short");
		free(sent.bytes);
		free(expected.bytes);
	}
	history_close(&history);
}

// A file that is shorter than its index says was not written so: nothing is made up.
static void a_file_that_shrinks_is_an_error(void **state)
{
	struct history_rig *rig = *state;
	struct history *history = recorded(rig);
	const struct replay_format format = {encoder_of(FORMAT_RAW), &no_framing, true};
	struct replay *replay = open_all(history, &format);
	struct replay_rig_sent expected, sent;

	replay_rig_encode(rig, &format, &expected);
	wrap_cap(WRAP_PREAD, 20);
	send_all(replay, &sent);
	assert_int_equal(sent.outcome, REPLAY_FAILED);
	assert_int_equal(sent.err, EBADMSG);
	check_beginning(&sent, &expected, "shrunk");
	free(sent.bytes);
	free(expected.bytes);
	history_close(&history);
}

// Whether the history is taken for one that nobody can look into, when what was just read is
// `times` times not there.
static bool becomes_unseen(struct history_rig *rig, struct history *history, unsigned times)
{
	const struct replay_format format = {encoder_of(FORMAT_FRAMED), &no_framing, true};
	struct replay *replay = open_all(history, &format);
	struct replay_rig_sent sent;

	wrap_fail_times(WRAP_MINCORE, 1, 1 + times, 0); // before, it is not there yet
	send_all(replay, &sent);
	assert_int_equal(sent.outcome, REPLAY_AT_END);
	assert_int_equal(sent.count,
			 PACKET_HEADER_BYTES + rig->bytes); // its file begins with a heartbeat
	free(sent.bytes);
	return history->is_unseen;
}

// It is dropped from the page cache now and then, e.g. by the sync thread.  That says nothing of
// the file system.
static void what_is_dropped_again_is_read_again(void **state)
{
	struct history_rig *rig = *state;
	struct history *history = recorded(rig);

	assert_false(becomes_unseen(rig, history, 1));
	wrap_reset();
	assert_false(becomes_unseen(rig, history, 2));
	wrap_reset();
	assert_true(becomes_unseen(rig, history, 1000));
	history_close(&history);
}

// The reading thread opens the files.  What is in them need not be brought in, so that thread is
// not asked again.
static void what_is_in_the_page_cache_is_not_asked_for(void **state)
{
	const struct replay_format format = {encoder_of(FORMAT_FRAMED), &no_framing, true};
	struct history_rig *rig = *state;
	struct replay_rig_sent sent;
	struct history_found found;
	struct history *history;
	struct replay *replay;
	unsigned before;

	rig->params.max_file_bytes = 3 << 20;
	history_rig_add(rig, 7 << 20);
	history_rig_record(rig);
	history = history_rig_open(rig, &found);
	assert_in_range(found.files, 2, 3);
	replay = open_all(history, &format);
	before = wrap_count(WRAP_PREAD);
	send_all(replay, &sent);
	assert_int_equal(sent.outcome, REPLAY_AT_END);
	assert_int_equal(sent.count, found.files * PACKET_HEADER_BYTES + rig->bytes);
	// Whatever is brought in ends with one such call.
	assert_int_equal(wrap_count(WRAP_PREAD) - before, found.files - 1);
	free(sent.bytes);
	history_close(&history);
}

// A file on a disk, where one can ask what may be read without waiting.  A hole would be there at
// once.
static int write_to_disk(const uint8_t *bytes, size_t count)
{
	char path[] = "/var/tmp/relay-refused-XXXXXX";
	uint8_t byte;
	struct iovec one = {&byte, 1};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pwrite(fd, bytes, count, 0), count);
	assert_int_equal(fsync(fd), 0);
	if (preadv2(fd, &one, 1, 0, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP) {
		assert_int_equal(close(fd), 0);
		leave_out("the file system of /var/tmp does not know RWF_NOWAIT");
	}
	return fd;
}

static uint64_t look_at(int fd, uint64_t offset, uint64_t bytes)
{
	struct history_run run = {.fd = fd, .offset = offset, .length = bytes};

	return history_cached(&run, offset, bytes);
}

// Filters of service managers and of containers may refuse mincore(2).  The disk may be quick
// enough to bring in what is looked for meanwhile.
static void what_is_there_is_known_without_mincore(void **state)
{
	static uint8_t bytes[HISTORY_LOOK_BYTES];
	int fd = write_to_disk(bytes, sizeof(bytes));
	bool is_missed = false;

	(void)state;
	wrap_fail_from(WRAP_MINCORE, 1, EPERM);
	for (int i = 0; i < 100 && !is_missed; i++) {
		assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
		is_missed = look_at(fd, 0, sizeof(bytes)) == 0;
	}
	assert_true(is_missed);
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(look_at(fd, 0, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(look_at(fd, 4095, 8194), 8194);
	assert_int_equal(look_at(fd, sizeof(bytes) - 1, 1), 1);
	assert_int_not_equal(wrap_count(WRAP_MINCORE), 0);
	assert_int_equal(close(fd), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_fails_is_told),
		TEST(less_than_asked_is_no_failure),
		TEST(a_file_that_shrinks_is_an_error),
		TEST(what_is_dropped_again_is_read_again),
		TEST(what_is_in_the_page_cache_is_not_asked_for),
		TEST(what_is_there_is_known_without_mincore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
