// SPDX-License-Identifier: MIT
/* base/log_writer.c and base/log_rate.c: nobody waits for the log, and what is missing is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <semaphore.h>

#include "base/clock.h"
#include "base/log_rate.h"
#include "base/log_writer.h"

enum {
	LONG_MS = 20000, /* a test that hangs ends */
	TEXT_BYTES = 16000,
};

static sem_t begun, may_go;
static bool is_held;    /* the first line waits until may_go */
static unsigned broken; /* so many lines cannot be written */
static char written[64][32];
static size_t written_count;

static bool write_line(struct log_line *line)
{
	if (is_held) {
		is_held = false;
		(void)sem_post(&begun);
		(void)sem_wait(&may_go);
	}
	if (broken) {
		broken--;
		return false;
	}
	if (written_count < 64)
		(void)snprintf(written[written_count], 32, "%.*s",
			       (int)(line->bytes < 20 ? line->bytes : 20), line->text);
	written_count++;
	return true;
}

static void print_lost(struct log_line *ret, uint64_t lost)
{
	ret->bytes = (uint32_t)snprintf(ret->text, sizeof(ret->text), "lost %llu",
					(unsigned long long)lost);
}

static const struct log_output output = {.write = write_line, .print_lost = print_lost};

static struct log_writer *new_writer(void)
{
	struct log_writer *writer = calloc(1, sizeof(*writer));

	assert_non_null(writer);
	*writer = (struct log_writer)LOG_WRITER_INIT(&output);
	(void)sem_init(&begun, 0, 0);
	(void)sem_init(&may_go, 0, 0);
	is_held = false;
	broken = 0;
	written_count = 0;
	return writer;
}

static bool put(struct log_writer *writer, const char *text, size_t bytes)
{
	static struct log_line line;

	memset(line.text, '.', sizeof(line.text));
	memcpy(line.text, text, strlen(text));
	line.bytes = (uint32_t)bytes;
	return log_writer_put(writer, &line);
}

static void is_left_to_the_caller_before_the_start(void **state)
{
	struct log_writer *writer = new_writer();

	(void)state;
	assert_false(put(writer, "a", 1));
	log_writer_flush(writer, LONG_MS);
	assert_int_equal(written_count, 0);
	free(writer);
}

static void keeps_the_order(void **state)
{
	struct log_writer *writer = new_writer();
	char text[8];

	(void)state;
	assert_int_equal(log_writer_start(writer), 0);
	is_held = true;
	for (int i = 0; i < 50; i++) {
		(void)snprintf(text, sizeof(text), "%d", i);
		assert_true(put(writer, text, strlen(text)));
	}
	(void)sem_post(&may_go);
	log_writer_flush(writer, LONG_MS);
	assert_int_equal(written_count, 50);
	for (int i = 0; i < 50; i++)
		assert_int_equal(atoi(written[i]), i);
	assert_int_equal(log_writer_lost(writer), 0);
	/* The thread lives as long as the process, and so does its writer. */
}

/* While the first line is not taken, the queue fills up; then lines are lost, in one place. */
static void a_full_queue_drops_and_tells(void **state)
{
	struct log_writer *writer = new_writer();
	uint64_t lost;
	size_t kept = 0;

	(void)state;
	assert_int_equal(log_writer_start(writer), 0);
	is_held = true;
	assert_true(put(writer, "first", 5));
	(void)sem_wait(&begun);
	while (log_writer_lost(writer) == 0) {
		assert_true(put(writer, "long", TEXT_BYTES));
		kept++;
	}
	kept--;
	assert_in_range(kept, LOG_QUEUE_BYTES / (TEXT_BYTES + 128), LOG_QUEUE_BYTES / TEXT_BYTES);
	assert_true(put(writer, "long", TEXT_BYTES));
	lost = log_writer_lost(writer);
	assert_int_equal(lost, 2);
	log_writer_flush(writer, 1); /* returns, although nothing moves */
	(void)sem_post(&may_go);
	log_writer_flush(writer, LONG_MS);
	assert_int_equal(written_count, 1 + kept + 1); /* with the one that tells */
	written_count = 0;
	assert_true(put(writer, "after", 5));
	log_writer_flush(writer, LONG_MS);
	assert_string_equal(written[0], "after");
	assert_int_equal(log_writer_lost(writer), lost);
}

static void what_cannot_be_written_is_told_by_the_next_line(void **state)
{
	struct log_writer *writer = new_writer();

	(void)state;
	assert_int_equal(log_writer_start(writer), 0);
	broken = 4; /* a; the note, b; and one more */
	assert_true(put(writer, "a", 1));
	log_writer_flush(writer, LONG_MS);
	assert_true(put(writer, "b", 1));
	log_writer_flush(writer, LONG_MS);
	assert_int_equal(written_count, 0);
	assert_int_equal(broken, 1);
	broken = 0;
	assert_true(put(writer, "c", 1));
	log_writer_flush(writer, LONG_MS);
	assert_int_equal(written_count, 2);
	assert_string_equal(written[0], "lost 2");
	assert_string_equal(written[1], "c");
	assert_int_equal(log_writer_lost(writer), 2);
}

static void what_a_rate_held_back_is_summed_up(void **state)
{
	struct log_rate rate = {0};
	uint64_t suppressed;

	(void)state;
	assert_false(log_sum_is_due(&rate, 5 * NS_PER_S, &suppressed));
	assert_true(log_allow(&rate, 10 * NS_PER_S, &suppressed));
	assert_false(log_sum_is_due(&rate, 20 * NS_PER_S, &suppressed)); /* nothing is missing */
	assert_true(log_allow(&rate, 30 * NS_PER_S, &suppressed));
	assert_false(log_allow(&rate, 30 * NS_PER_S + 1, &suppressed));
	assert_false(log_allow(&rate, 30 * NS_PER_S + 2, &suppressed));
	/* A tick knows its time in whole milliseconds: it may lie before the line. */
	assert_false(log_sum_is_due(&rate, 30 * NS_PER_S - 1, &suppressed));
	assert_false(log_sum_is_due(&rate, 31 * NS_PER_S - 1, &suppressed));
	assert_true(log_sum_is_due(&rate, 31 * NS_PER_S, &suppressed));
	assert_int_equal(suppressed, 2);
	assert_false(log_sum_is_due(&rate, 40 * NS_PER_S, &suppressed));
	assert_int_equal(suppressed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_left_to_the_caller_before_the_start),
		cmocka_unit_test(keeps_the_order),
		cmocka_unit_test(a_full_queue_drops_and_tells),
		cmocka_unit_test(what_cannot_be_written_is_told_by_the_next_line),
		cmocka_unit_test(what_a_rate_held_back_is_summed_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
