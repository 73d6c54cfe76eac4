// SPDX-License-Identifier: MIT
/*
 * The queue and its thread. A line lies in the queue as the head of struct log_line, cut behind its
 * text. The lock is held for the copy of one line only, never while something is written.
 */
#include "base/log_writer.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/thread.h"

static size_t line_bytes(const struct log_line *line)
{
	return offsetof(struct log_line, text) + line->bytes;
}

/* The piece of the queue at `place`, as far as it is in one: up to `want`. */
static size_t piece_bytes(uint64_t place, size_t want)
{
	size_t left = LOG_QUEUE_BYTES - (size_t)(place % LOG_QUEUE_BYTES);

	return want < left ? want : left;
}

static void copy_in(struct log_writer *writer, const void *bytes, size_t count)
{
	size_t first = piece_bytes(writer->end, count);

	memcpy(writer->queue + writer->end % LOG_QUEUE_BYTES, bytes, first);
	memcpy(writer->queue, (const uint8_t *)bytes + first, count - first);
	writer->end += count;
}

static void copy_out(struct log_writer *writer, void *bytes, size_t count)
{
	size_t first = piece_bytes(writer->start, count);

	memcpy(bytes, writer->queue + writer->start % LOG_QUEUE_BYTES, first);
	memcpy((uint8_t *)bytes + first, writer->queue, count - first);
	writer->start += count;
	if (writer->start == writer->end)
		writer->start = writer->end = 0; /* so that the same pages are used again */
}

static void take_line(struct log_writer *writer, struct log_line *ret)
{
	copy_out(writer, ret, offsetof(struct log_line, text));
	copy_out(writer, ret->text, ret->bytes);
}

/* Waits for something to write. True: *ret is a line; false: lines are missing behind the last one,
 * and ret->lost_before says how many. */
static bool next_line(struct log_writer *writer, struct log_line *ret)
{
	bool has_line;

	(void)pthread_mutex_lock(&writer->lock);
	writer->is_writing = false;
	if (writer->start == writer->end && writer->lost == 0)
		(void)pthread_cond_broadcast(&writer->idle);
	while (writer->start == writer->end && writer->lost == 0)
		(void)pthread_cond_wait(&writer->more, &writer->lock);
	has_line = writer->start != writer->end;
	if (has_line) {
		take_line(writer, ret);
	} else {
		ret->lost_before = writer->lost;
		writer->lost = 0;
	}
	writer->is_writing = true;
	(void)pthread_mutex_unlock(&writer->lock);
	return has_line;
}

static void count_unwritten(struct log_writer *writer)
{
	(void)pthread_mutex_lock(&writer->lock);
	writer->lost_total++;
	(void)pthread_mutex_unlock(&writer->lock);
}

static void *run(void *arg)
{
	struct log_writer *writer = arg;
	struct log_line line, note;
	uint64_t unsaid = 0; /* lost, and no line has said so yet */

	for (;;) {
		bool has_line = next_line(writer, &line);

		unsaid += line.lost_before;
		if (unsaid) {
			writer->output->print_lost(&note, unsaid);
			if (writer->output->write(&note))
				unsaid = 0;
		}
		if (has_line && !writer->output->write(&line)) {
			unsaid++;
			count_unwritten(writer);
		}
	}
	return NULL;
}

int log_writer_start(struct log_writer *writer)
{
	pthread_t thread;
	int r;

	if (writer->is_running)
		return 0;
	writer->is_running = true; /* what is put from now on waits for the thread */
	r = thread_start(run, writer, &thread);
	if (r < 0)
		writer->is_running = false;
	else
		(void)pthread_detach(thread);
	return r;
}

bool log_writer_put(struct log_writer *writer, const struct log_line *line)
{
	size_t bytes = line_bytes(line);

	if (!writer->is_running)
		return false;
	(void)pthread_mutex_lock(&writer->lock);
	if (writer->end - writer->start + bytes > LOG_QUEUE_BYTES) {
		writer->lost++;
		writer->lost_total++;
	} else {
		struct log_line head;

		memcpy(&head, line, offsetof(struct log_line, text));
		head.lost_before = writer->lost;
		writer->lost = 0;
		copy_in(writer, &head, offsetof(struct log_line, text));
		copy_in(writer, line->text, line->bytes);
	}
	(void)pthread_cond_signal(&writer->more);
	(void)pthread_mutex_unlock(&writer->lock);
	return true;
}

void log_writer_flush(struct log_writer *writer, uint64_t timeout_ms)
{
	const uint64_t end_ns = clock_mono_ns() + timeout_ms * NS_PER_MS;
	const struct timespec end = {
		.tv_sec = (time_t)(end_ns / NS_PER_S),
		.tv_nsec = (long)(end_ns % NS_PER_S),
	};
	int r = 0;

	if (!writer->is_running)
		return;
	(void)pthread_mutex_lock(&writer->lock);
	while (r == 0 && (writer->start != writer->end || writer->is_writing || writer->lost))
		r = pthread_cond_clockwait(&writer->idle, &writer->lock, CLOCK_MONOTONIC, &end);
	(void)pthread_mutex_unlock(&writer->lock);
}

uint64_t log_writer_lost(struct log_writer *writer)
{
	uint64_t lost;

	(void)pthread_mutex_lock(&writer->lock);
	lost = writer->lost_total;
	(void)pthread_mutex_unlock(&writer->lock);
	return lost;
}
