// SPDX-License-Identifier: MIT
/* A framed stream of all types of packets, and a folder for it. */
#include "tests/unit/history_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "history/history_reader.h"
#include "history/history_sync.h"
#include "tests/unit/fd_count.h"
#include "tests/unit/rig_random.h"

static int fds_before;

int history_rig_begin(void **state)
{
	struct history_rig *rig = calloc(1, sizeof(*rig));

	fds_before = count_fds();
	assert_non_null(rig);
	(void)snprintf(rig->path, sizeof(rig->path), "/dev/shm/relay-history-XXXXXX");
	assert_non_null(mkdtemp(rig->path));
	rig->params = (struct history_params){
		.path = rig->path,
		.feed = "prices",
		.framing = "line",
		.max_file_bytes = 1 << 20,
	};
	rig->random = 7;
	rig->stream = malloc(HISTORY_RIG_STREAM_BYTES);
	rig->packets = calloc(HISTORY_RIG_PACKETS, sizeof(*rig->packets));
	assert_true(rig->stream && rig->packets);
	rig->next_seq = 1000;
	rig->time_ns = UINT64_C(1700000000000000000);
	*state = rig;
	return 0;
}

void history_rig_empty(const struct history_rig *rig)
{
	DIR *dir = opendir(rig->path);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	}
	(void)closedir(dir);
}

int history_rig_end(void **state)
{
	struct history_rig *rig = *state;

	history_rig_empty(rig);
	assert_int_equal(rmdir(rig->path), 0);
	assert_int_equal(count_fds(), fds_before);
	free(rig->stream);
	free(rig->packets);
	free(rig);
	return 0;
}

/* ---- the stream ---- */

void history_rig_add_packet(struct history_rig *rig, struct packet_header header)
{
	struct history_rig_packet *packet = &rig->packets[rig->count++];

	assert_true(rig->count < HISTORY_RIG_PACKETS);
	assert_true(rig->bytes + PACKET_HEADER_BYTES + header.length < HISTORY_RIG_STREAM_BYTES);
	packet->header = header;
	packet->offset = rig->bytes;
	packet->is_continued = rig->is_message_open;
	packet_header_encode(&header, rig->stream + rig->bytes);
	rig->bytes += PACKET_HEADER_BYTES;
	for (uint32_t i = 0; i < header.length; i++)
		rig->stream[rig->bytes++] = (uint8_t)rig_random(&rig->random);
	rig->next_seq = packet_header_next_seq(&header);
	if (header.type == PACKET_DATA || header.type == PACKET_GAP)
		rig->is_message_open = header.flags & PACKET_FLAG_CONTINUED;
}

static struct packet_header random_header(struct history_rig *rig)
{
	static const uint8_t news[] = {PACKET_HEARTBEAT, PACKET_SOURCE_DOWN, PACKET_SOURCE_UP};
	struct packet_header header = {
		.session = HISTORY_RIG_SESSION,
		.sequence = rig->next_seq,
		.time = rig->time_ns,
	};
	uint64_t chance = rig_random_below(&rig->random, 100);

	if (rig->is_message_open || chance >= 10) {
		header.count = (uint16_t)rig_random_below(&rig->random, 20);
		header.length = (uint32_t)rig_random_below(&rig->random, chance == 10  ? 150000
									 : chance < 30 ? 6000
										       : 300);
		if (!header.count || chance == 11)
			header.flags = PACKET_FLAG_CONTINUED;
	} else if (chance == 0) {
		header.type = PACKET_GAP;
		header.time = rig->next_seq + 1 + rig_random_below(&rig->random, 50);
	} else {
		header.type = news[chance % ARRAY_LEN(news)];
	}
	return header;
}

void history_rig_add(struct history_rig *rig, size_t bytes)
{
	size_t end = rig->bytes + bytes;

	while (rig->bytes < end || rig->is_message_open) {
		history_rig_add_packet(rig, random_header(rig));
		/* Now and then the clock is set back, or nothing comes for a while. */
		rig->time_ns += rig_random_below(&rig->random, 2000000);
		if (rig_random_below(&rig->random, 400) == 0)
			rig->time_ns += 2000000000;
		if (rig_random_below(&rig->random, 400) == 0)
			rig->time_ns -= 300000000;
	}
}

/* ---- recording ---- */

struct history *history_rig_open(struct history_rig *rig, struct history_found *ret)
{
	struct history *history;
	struct errmsg err;
	int r = history_open(&rig->params, &history, ret, &err);

	if (r < 0)
		print_message("%s\n", err.text);
	assert_int_equal(r, 0);
	return history;
}

size_t history_rig_append(struct history_rig *rig, struct history_writer *writer, size_t from,
			  size_t to)
{
	while (from < to) {
		size_t offered = size_min(to - from, 1 + rig_random_below(&rig->random, 100000));
		ssize_t taken =
			history_writer_append(writer, rig->stream + from, offered, rig->time_ns);

		assert_true(taken >= 0 && (size_t)taken <= offered);
		assert_true(offered - (size_t)taken < PACKET_HEADER_BYTES);
		if (from + offered == to && (size_t)taken < offered)
			return from + (size_t)taken; /* a part of a header */
		from += (size_t)taken;
	}
	return from;
}

void history_rig_record(struct history_rig *rig)
{
	struct history_found found;
	struct history *history = history_rig_open(rig, &found);
	struct history_writer writer;

	history_writer_begin(&writer, history, &found.end);
	history_rig_append(rig, &writer, 0, rig->bytes);
	assert_int_equal(history_writer_end(&writer), 0);
	assert_int_equal(history_sync(history, true, 0), 0);
	history_close(&history);
}

/* ---- reading ---- */

/* One packet of a run, which is the next one of the stream, or a heartbeat of the file's own. */
static bool check_packet(const struct history_rig *rig, const uint8_t *bytes, uint64_t count,
			 size_t next, uint64_t *ret_bytes)
{
	const struct history_rig_packet *packet = &rig->packets[next];
	struct packet_header header;

	assert_true(count >= PACKET_HEADER_BYTES);
	assert_int_equal(packet_header_decode(bytes, &header), 0);
	*ret_bytes = PACKET_HEADER_BYTES + header.length;
	assert_true(count >= *ret_bytes);
	if (next < rig->count && memcmp(bytes, rig->stream + packet->offset, *ret_bytes) == 0)
		return true;
	assert_int_equal(header.type, PACKET_HEARTBEAT);
	assert_int_equal(header.session, HISTORY_RIG_SESSION);
	assert_int_equal(header.sequence,
			 next < rig->count ? packet->header.sequence : rig->next_seq);
	return false;
}

/* Returns the number of the packet that comes next. */
static size_t check_run(const struct history_rig *rig, const struct history_run *run, size_t next)
{
	uint8_t *bytes = malloc(run->length);

	assert_non_null(bytes);
	assert_int_equal(pread(run->fd, bytes, run->length, (off_t)run->offset), run->length);
	for (uint64_t offset = 0, packet_bytes = 0; offset < run->length; offset += packet_bytes)
		next += check_packet(rig, bytes + offset, run->length - offset, next,
				     &packet_bytes);
	free(bytes);
	return next;
}

size_t history_rig_follow(struct history_rig *rig, struct history_reader *reader, size_t first)
{
	struct history_run run;
	int r;

	while ((r = history_reader_next(reader, &run)) > 0) {
		first = check_run(rig, &run, first);
		history_reader_advance(reader, run.length);
	}
	assert_int_equal(r, 0);
	assert_int_equal(run.length, 0);
	assert_int_equal(run.session, HISTORY_RIG_SESSION);
	assert_int_equal(run.sequence,
			 first < rig->count ? rig->packets[first].header.sequence : rig->next_seq);
	return first;
}

void history_rig_check(struct history_rig *rig, struct history_reader *reader, size_t first,
		       size_t end)
{
	assert_int_equal(history_rig_follow(rig, reader, first), end);
	history_reader_close(reader);
}
