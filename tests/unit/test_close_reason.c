// SPDX-License-Identifier: MIT
/* The reasons of close_reason.def: each has a name fit for a counter and a sentence, none twice,
 * and whoever ends a subscriber does what the row says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "base/log.h"
#include "feed_rig.h"
#include "packet/websocket_frame.h"
#include "table/close_reason.h"

static void every_reason_has_a_name_and_a_text(void **state)
{
	(void)state;
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		const char *name = close_reason_name((enum close_reason)i);
		const char *text = close_reason_text((enum close_reason)i);

		assert_non_null(name);
		assert_non_null(text);
		assert_true(strlen(name) > 0 && strlen(text) > 0);
		for (const char *c = name; *c; c++)
			assert_true(islower((unsigned char)*c) || *c == '_');
		// one line, as it stands in a log line
		for (const char *c = text; *c; c++)
			assert_true(isprint((unsigned char)*c) && *c != '"');
	}
}

static void no_name_and_no_text_is_used_twice(void **state)
{
	(void)state;
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		for (int k = 0; k < i; k++) {
			const enum close_reason a = (enum close_reason)i, b = (enum close_reason)k;

			assert_string_not_equal(close_reason_name(a), close_reason_name(b));
			assert_string_not_equal(close_reason_text(a), close_reason_text(b));
		}
	}
}

// The words of the log and of the status, which the scripts of others read.
static void the_names_are_the_promised_ones(void **state)
{
	(void)state;
	assert_string_equal(close_reason_name(CLOSE_PEER_CLOSED), "peer_closed");
	assert_string_equal(close_reason_name(CLOSE_LAG), "lag");
	assert_string_equal(close_reason_name(CLOSE_STALLED), "stalled");
	assert_string_equal(close_reason_name(CLOSE_TOO_LONG), "too_long");
	assert_string_equal(close_reason_name(CLOSE_DRAIN), "drain");
}

static void an_errno_has_its_reason(void **state)
{
	static const struct {
		int err;
		enum close_reason reason;
	} rows[] = {
		{ECONNRESET, CLOSE_PEER_RESET},
		{EPIPE, CLOSE_PEER_RESET},
		{ETIMEDOUT, CLOSE_NETWORK},
		{EHOSTUNREACH, CLOSE_NETWORK},
		{ENETUNREACH, CLOSE_NETWORK},
		{ENETDOWN, CLOSE_NETWORK},
		{ENOMEM, CLOSE_NO_MEMORY},
		{ENOBUFS, CLOSE_NO_MEMORY},
		{EIO, CLOSE_IO_ERROR},
		{EBADF, CLOSE_IO_ERROR},
		{0, CLOSE_IO_ERROR},
		{-1, CLOSE_IO_ERROR},
		{EINVAL, CLOSE_IO_ERROR},
		{EPERM, CLOSE_IO_ERROR},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(close_reason_from_errno(rows[i].err), rows[i].reason);
	for (int err = 0; err < 200; err++)
		assert_true(close_reason_from_errno(err) < CLOSE_REASON_COUNT);
}

static void a_code_of_websocket_leads_to_its_reason_and_back(void **state)
{
	(void)state;
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		const struct close_reason_row *row = close_reason_row((enum close_reason)i);
		enum close_reason found = close_reason_from_websocket(row->websocket_code);

		if (row->kind == CLOSE_KIND_PEER)
			assert_int_equal(row->websocket_code, 0);
		else
			assert_true(websocket_close_code_is_valid(row->websocket_code));
		assert_int_equal(close_reason_row(found)->kind, CLOSE_KIND_INPUT);
		if (row->kind == CLOSE_KIND_INPUT)
			assert_int_equal(close_reason_row(found)->websocket_code,
					 row->websocket_code);
	}
	// what the decoder finds
	assert_int_equal(close_reason_from_websocket(WEBSOCKET_CLOSE_TOO_BIG),
			 CLOSE_INPUT_TOO_LONG);
	assert_int_equal(close_reason_from_websocket(WEBSOCKET_CLOSE_NOT_UTF8),
			 CLOSE_INPUT_NOT_TEXT);
	assert_int_equal(close_reason_from_websocket(WEBSOCKET_CLOSE_PROTOCOL_ERROR),
			 CLOSE_BAD_FRAME);
	assert_int_equal(close_reason_from_websocket(4711), CLOSE_BAD_FRAME);
}

/* Closes it; returns what the log has of it at its usual level. */
static const char *close_and_read_log(struct subscriber *subscriber, enum close_reason reason)
{
	static char text[2048];
	int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), ends[2];
	ssize_t length;

	assert_true(kept >= 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	log_set_level(LOG_LEVEL_INFO);
	subscriber_close(subscriber, reason);
	log_set_level(LOG_LEVEL_ERROR);
	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	length = read(ends[0], text, sizeof(text) - 1);
	text[length < 0 ? 0 : length] = '\0';
	fd_close(&kept);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	return text;
}

static uint64_t sum(const uint64_t *counts, int count)
{
	uint64_t total = 0;

	for (int i = 0; i < count; i++)
		total += counts[i];
	return total;
}

/* One that has read all there is, so that only the reason makes the difference. */
static void a_subscriber_ends_as_the_row_says(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);
	const struct subscriber_params subscriber = {.on_slow = ON_SLOW_SKIP};
	struct feed_rig rig;

	(void)state;
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		const struct close_reason_row *row = close_reason_row((enum close_reason)i);
		const char *log;

		feed_rig_open(&rig, &params, false);
		feed_rig_join(&rig, false, true, 0, &subscriber);
		feed_rig_publish(&rig, "line\n", 5);
		log = close_and_read_log(feed_rig_newest(rig.raw), (enum close_reason)i);
		assert_int_equal(log[0] == '\0', row->is_usual);
		assert_true(row->is_usual || strstr(log, row->name));
		assert_int_equal(strstr(log, " cause=") != NULL, row->is_slow);
		assert_int_equal(rig.feed->fanout.closed[i], 1);
		assert_int_equal(sum(rig.feed->fanout.closed, CLOSE_REASON_COUNT), 1);
		assert_int_equal(sum(rig.feed->fanout.closed_slow_by, SLOW_CAUSE_COUNT),
				 row->is_slow);
		feed_rig_settle(&rig);
		assert_true(rig.readers[0].has_ended);
		feed_rig_check_payload(&rig, 0, (const uint8_t *)"line\n", 5);
		assert_int_equal(rig.readers[0].end_errno,
				 row->kind == CLOSE_KIND_PEER || row->kind == CLOSE_KIND_CLEAN
					 ? 0
					 : ECONNRESET);
		feed_rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reason_has_a_name_and_a_text),
		cmocka_unit_test(no_name_and_no_text_is_used_twice),
		cmocka_unit_test(the_names_are_the_promised_ones),
		cmocka_unit_test(an_errno_has_its_reason),
		cmocka_unit_test(a_code_of_websocket_leads_to_its_reason_and_back),
		cmocka_unit_test_setup_teardown(a_subscriber_ends_as_the_row_says, feed_rig_setup,
						feed_rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
