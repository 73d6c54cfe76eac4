// SPDX-License-Identifier: MIT
/*
 * What a feed's records say of its subscribers after it was killed at any moment, and at each of
 * its instructions: for each of them exactly as many bytes of the ring as its socket got, or that
 * its place is not known.  So of its publisher: all that has been taken is in the ring, or that is
 * not known.  Some are listened to: then a whole number of their messages has been taken, and the
 * rest is in the socket.  Some are sent what a ring does not have any more, as out of files.
 *
 * The feed runs in a process of its own that shares the descriptors (CLONE_FILES), as with the
 * keeper: what it had open is open here when it is dead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "fanout/subscriber_kept.h"
#include "fanout/subscriber_resume.h"
#include "feed/feed_kept.h"
#include "feed/number.h"
#include "ring/ring_kept.h"
#include "tests/unit/feed_rig.h"
#include "tests/unit/kill_past.h"
#include "tests/unit/kill_publisher.h"
#include "tests/unit/kill_rig.h"
#include "tests/unit/leave_out.h"
#include "tests/unit/same_fds.h"
#include "tests/unit/tcp_pair.h"

enum {
	RING_READERS = 12,
	SUBSCRIBERS = RING_READERS + 3,
	DESCRIPTORS = 1024,
	ROUNDS = 15,
	STREAM_BYTES = 3 << 20,
	SMALL_BUFFER = 8192,
	INPUT_BYTES = 300, // at a time
	MESSAGE_BYTES = 2,
	PART = 1, // so that its number shows
	WORKER = 3,
	INSTRUCTIONS = 70000, // gone through one by one once all have joined, for each engine
	STEPS_A_MOVE = 1500,  // of these, until somebody publishes, reads and speaks
	TURNS_A_CHANGE = 3,   // of the feed, until what seldom changes does
};

KILLED(part_record_table);
KILLED(part_now_table);
KILLED(rendition_record_table);
KILLED(subscriber_record_table);

struct tables {
	struct part_record parts[2];
	struct subscriber_record subscribers[DESCRIPTORS];
	_Atomic bool has_joined;
};

struct peer {
	int feed_fd, fd;
	bool is_tcp, is_framed, is_heard, is_replaying;
	uint64_t received, said;
};

struct crash {
	struct feed_params params;
	bool is_traced;
	struct tables *tables;
	struct peer peers[SUBSCRIBERS];
	struct peer publisher;
	struct rig_stream stream;
	uint64_t published;
	pid_t pid;
};

static void make_pair(bool over_tcp, bool is_small, struct peer *ret)
{
	int bytes = SMALL_BUFFER;

	*ret = (struct peer){.is_tcp = over_tcp};
	if (!over_tcp) {
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		ret->feed_fd = fds[0];
		ret->fd = fds[1];
	} else {
		const struct tcp_pair pair = tcp_pair_open(is_small ? bytes : 0);

		ret->feed_fd = pair.accepted;
		ret->fd = pair.connected;
		// What was said before it joined counts for the socket, and not for it.
		assert_int_equal(write(ret->feed_fd, "", 1), 1);
		assert_int_equal(read(ret->fd, &(char){0}, 1), 1);
	}
	if (is_small)
		assert_int_equal(setsockopt(ret->feed_fd, SOL_SOCKET, SO_SNDBUF, &bytes, 4), 0);
	assert_int_equal(fd_set_nonblock(ret->fd), 0);
	assert_int_equal(fd_set_nonblock(ret->feed_fd), 0);
	assert_true(ret->feed_fd < DESCRIPTORS);
}

// --- in the process that is killed

// Counts what it gets; the owner is the count.
static enum close_reason count_input(void *owner, struct subscriber *subscriber, uint8_t *bytes,
				     size_t count)
{
	(void)subscriber;
	(void)bytes;
	*(uint64_t *)owner += count;
	return CLOSE_REASON_COUNT;
}

static bool may_go_on(const void *owner, uint64_t *ret_max_bytes)
{
	*ret_max_bytes = MESSAGE_BYTES;
	return *(const uint64_t *)owner % MESSAGE_BYTES == 0;
}

static const struct subscriber_input counting_input = {
	.on_bytes = count_input,
	.may_go_on = may_go_on,
	.free = free,
};

// What a publisher and a file that grows would do.
static void change(struct feed *feed, int fd, unsigned number)
{
	const struct framing_params framing = {.kind = FRAMING_LINE, .fixed_bytes = number + 1};
	const struct sequence *now = &feed->publish.sequence;

	number_set(&feed->publish, now->session + 1, now->next_seq + 5);
	feed_record_note_file(&feed->fanout, number % 2 ? -1 : STDERR_FILENO, number + 1);
	feed_record_note_source(&feed->fanout, number % 2 ? -1 : fd, &framing);
}

static void join_all(const struct crash *crash, const struct feed_rig *rig)
{
	for (size_t i = 0; i < SUBSCRIBERS; i++) {
		const struct peer *peer = &crash->peers[i];
		const struct subscriber_params join = {
			.id = i + 1,
			.on_slow = ON_SLOW_WAIT,
			.input = peer->is_heard ? &counting_input : NULL,
			.input_owner = peer->is_heard ? calloc(1, sizeof(uint64_t)) : NULL,
			.replay = peer->is_replaying ? &kill_past : NULL,
			.replay_owner = peer->is_replaying ? kill_past_new(&crash->stream) : NULL,
		};

		if (subscriber_join(peer->is_framed ? rig->framed : rig->raw, peer->feed_fd,
				    &join) < 0)
			_exit(1);
	}
}

static void run_feed(void *owner)
{
	const struct crash *crash = owner;
	struct feed_records records = {
		.parts = crash->tables->parts,
		.part_count = ARRAY_LEN(crash->tables->parts),
		.next_part = PART,
		.subscribers = crash->tables->subscribers,
		.subscriber_count = DESCRIPTORS,
	};
	const struct feed_events none = {0};
	struct feed_rig rig = {.publisher_fd = -1,
			       .loop = ev_loop_new(EVFLAG_AUTO),
			       .source = {.fd = crash->publisher.feed_fd, .is_socket = true}};
	struct pollfd readable = {.fd = rig.source.fd, .events = POLLIN};

	if (!rig.loop || feed_new(rig.loop, &crash->params, &none, &rig.feed) < 0 ||
	    (crash->is_traced && !kill_rig_be_traced()))
		_exit(1);
	feed_set_records(rig.feed, &records, WORKER);
	rig.raw = feed_open_rendition(rig.feed, &encoder_raw);
	rig.framed = feed_open_rendition(rig.feed, &encoder_framed);
	feed_source_up(rig.feed);
	feed_note_source(rig.feed, rig.source.fd);
	join_all(crash, &rig);
	atomic_store(&crash->tables->has_joined, true);
	for (unsigned turns = 0;; turns++) {
		if (crash->is_traced && turns % TURNS_A_CHANGE == 0)
			change(rig.feed, rig.source.fd, turns);
		if (!feed_rig_turn(&rig))
			(void)poll(&readable, feed_can_take(rig.feed), 1);
	}
}

// --- here

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void start(struct crash *crash)
{
	crash->tables = mmap(NULL, sizeof(*crash->tables), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(crash->tables != MAP_FAILED);
	make_pair(true, false, &crash->publisher);
	for (size_t i = 0; i < SUBSCRIBERS; i++) {
		make_pair(i % 4 != 3, i % 3 == 0, &crash->peers[i]);
		crash->peers[i].is_replaying = i >= RING_READERS;
		crash->peers[i].is_framed = i % 2 && i < RING_READERS;
		crash->peers[i].is_heard = i % 5 < 2;
	}
	crash->stream = feed_rig_make_stream(&crash->params.framing, STREAM_BYTES, 20000, 7);
	crash->pid = kill_rig_start(run_feed, crash);
}

static void publish_some(struct crash *crash)
{
	size_t left = crash->stream.size - crash->published;
	ssize_t put = write(crash->publisher.fd, crash->stream.bytes + crash->published,
			    size_min(left, 100000));

	if (put > 0)
		crash->published += (uint64_t)put;
}

// What has come, at most `most`; compared with the stream where nothing else is in between.
static bool read_some(struct crash *crash, struct peer *peer, size_t most)
{
	uint8_t bytes[20000];
	ssize_t got = read(peer->fd, bytes, size_min(most, sizeof(bytes)));

	if (got <= 0)
		return false;
	if (!peer->is_framed)
		assert_memory_equal(bytes, crash->stream.payload + peer->received, (size_t)got);
	peer->received += (uint64_t)got;
	return true;
}

static void say_some(struct peer *peer, size_t most)
{
	static const uint8_t bytes[INPUT_BYTES];
	ssize_t put = peer->is_heard ? write(peer->fd, bytes, most) : 0;

	if (put > 0)
		peer->said += (uint64_t)put;
}

struct tally {
	unsigned settled, advanced, lost, replaying, publishers;
};

// Bytes that its socket should have got.
static uint64_t place_of(const struct peer *peer, const struct subscriber_snapshot *snapshot)
{
	assert_int_equal(snapshot->is_replaying, peer->is_replaying);
	if (!peer->is_replaying)
		return snapshot->cursor.pos;
	assert_int_equal(snapshot->from_files.rate, KILL_PAST_RATE);
	return snapshot->from_files.place.offset + snapshot->from_files.place.sent;
}

static void check_input(const struct peer *peer, const struct subscriber_snapshot *snapshot)
{
	int unread, turns = 0;

	assert_int_equal(snapshot->has_input, peer->is_heard);
	if (!peer->is_heard)
		return;
	assert_int_equal(snapshot->input_max_bytes, MESSAGE_BYTES);
	// Small segments wait for an acknowledgement of those before.
	do {
		assert_int_equal(ioctl(peer->fd, SIOCOUTQ, &unread), 0);
	} while (peer->is_tcp && unread && turns++ < 10000 && poll(NULL, 0, 1) == 0);
	assert_int_equal(ioctl(peer->feed_fd, FIONREAD, &unread), 0);
	assert_int_equal((peer->said - (uint64_t)unread) % MESSAGE_BYTES, 0);
}

static void check_subscriber(struct crash *crash, struct peer *peer, const struct ring_state *ring,
			     struct tally *tally)
{
	const struct subscriber_record *record = &crash->tables->subscribers[peer->feed_fd];
	bool is_busy = (atomic_load(&record->state) & RECORD_STATE_MASK) == RECORD_BUSY;
	struct subscriber_snapshot snapshot;
	struct pollfd more = {.fd = peer->fd, .events = POLLIN};
	int r = subscriber_record_read(record, peer->feed_fd, ring, &snapshot);
	uint64_t place;

	if (r < 0) {
		assert_int_equal(r, -ESTALE);
		tally->lost++;
		return;
	}
	tally->advanced += is_busy;
	tally->settled += !is_busy;
	assert_int_equal(snapshot.fd, peer->feed_fd);
	assert_int_equal(snapshot.id, (uint64_t)(peer - crash->peers) + 1);
	tally->replaying += peer->is_replaying;
	place = place_of(peer, &snapshot);
	check_input(peer, &snapshot);
	// All that is on its way: the sockets are still there, so it comes. (Who joined in the
	// framed format got a heartbeat, as long as what stood in the ring before.)
	while (peer->received < place) {
		assert_int_equal(poll(&more, 1, 10000), 1);
		assert_true(read_some(crash, peer, SIZE_MAX));
	}
	assert_int_equal(poll(&more, 1, 0), 0);
	assert_int_equal(peer->received, place);
}

static void check_rendition(struct crash *crash, size_t index, struct tally *tally)
{
	const struct part_record *part = &crash->tables->parts[PART];
	struct ring_record_map map;
	struct ring_state ring;
	struct part_now now;
	struct same_fds same;

	assert_int_equal(part->renditions[index].sum,
			 rendition_record_sum(&part->renditions[index]));
	assert_int_equal(
		ring_record_read(part->renditions[index].ring_fd, same_fds(&same), &ring, &map), 0);
	assert_int_equal(part_record_read(part, &now), 0);
	if (!now.is_torn)
		assert_true(ring.next_seq <= now.next_seq);
	if (strcmp(part->renditions[index].format, "raw") == 0)
		tally->publishers +=
			kill_check_publisher(part, crash->publisher.feed_fd, ring.end_pos);
	for (size_t k = 0; k < SUBSCRIBERS; k++) {
		struct peer *peer = &crash->peers[k];
		const struct subscriber_record *record = &crash->tables->subscribers[peer->feed_fd];

		if (!subscriber_record_is_used(record))
			continue;
		assert_int_equal(record->part, PART);
		if (record->rendition == index)
			check_subscriber(crash, peer, &ring, tally);
	}
	ring_state_free(&ring);
	ring_record_close(&map);
}

// What is there by now.
static void check_known(struct crash *crash, struct tally *tally)
{
	const struct part_record *part = &crash->tables->parts[PART];
	struct part_now now;

	if (atomic_load(&part->state) != RECORD_PART_USED)
		return;
	assert_null(kept_fault(&part_record_table, part));
	assert_int_equal(part->sum, part_record_sum(part));
	assert_int_equal(part_record_read(part, &now), 0);
	assert_true(part->is_home && now.is_awake);
	assert_int_equal(part->worker, WORKER);
	assert_string_equal(part->feed, "test");
	for (size_t i = 0; i < 2; i++) {
		if (atomic_load(&part->renditions[i].is_used))
			check_rendition(crash, i, tally);
	}
}

static void check(struct crash *crash, struct tally *tally)
{
	const struct part_record *part = &crash->tables->parts[PART];

	assert_int_equal(atomic_load(&part->state), RECORD_PART_USED);
	for (size_t i = 0; i < 2; i++)
		assert_true(atomic_load(&part->renditions[i].is_used));
	for (size_t i = 0; i < SUBSCRIBERS; i++)
		assert_true(subscriber_record_is_used(
			&crash->tables->subscribers[crash->peers[i].feed_fd]));
	check_known(crash, tally);
}

static void note_open(bool open_before[DESCRIPTORS])
{
	for (int i = 0; i < DESCRIPTORS; i++)
		open_before[i] = fcntl(i, F_GETFD) >= 0;
}

// Also what the other process had opened.
static void close_others(const bool open_before[DESCRIPTORS])
{
	for (int i = 0; i < DESCRIPTORS; i++) {
		if (!open_before[i])
			(void)close(i);
	}
}

static bool is_any_busy(const struct crash *crash)
{
	for (size_t i = 0; i < SUBSCRIBERS; i++) {
		int fd = crash->peers[i].feed_fd;
		uint32_t record = atomic_load(&crash->tables->subscribers[fd].state);

		if ((record & RECORD_STATE_MASK) == RECORD_BUSY)
			return true;
	}
	return false;
}

// Everybody has room again, so the feed is sending when it is killed.
static void kill_it_at_work(struct crash *crash, uint32_t looks)
{
	publish_some(crash);
	for (size_t i = 0; i < SUBSCRIBERS; i++) {
		(void)read_some(crash, &crash->peers[i], SIZE_MAX);
		say_some(&crash->peers[i], 1 + looks % INPUT_BYTES);
	}
	while (looks-- && !is_any_busy(crash))
		;
	assert_true(kill_rig_kill(crash->pid));
}

static void die_at_any_moment(enum framing_kind kind, enum engine engine, bool with_pauses,
			      struct tally *tally)
{
	uint32_t random = 11 + (uint32_t)engine;

	for (int round = 0; round < ROUNDS; round++) {
		struct crash crash = {.params = feed_rig_params(kind, engine)};
		bool open_before[DESCRIPTORS];
		uint32_t steps = next_random(&random) % 400;

		crash.params.ring_bytes = 1 << 20;
		note_open(open_before);
		start(&crash);
		while (!atomic_load(&crash.tables->has_joined))
			(void)poll(NULL, 0, 1);
		for (uint32_t step = 0; step < steps; step++) {
			struct peer *peer = &crash.peers[next_random(&random) % SUBSCRIBERS];

			publish_some(&crash);
			say_some(peer, 1 + step % INPUT_BYTES);
			(void)read_some(&crash, peer, next_random(&random) % 30000 + 1);
			if (with_pauses && step % 16 == 0)
				(void)poll(NULL, 0, 1);
		}
		kill_it_at_work(&crash, next_random(&random) % 20000);
		check(&crash, tally);
		feed_rig_free_stream(&crash.stream);
		(void)munmap(crash.tables, sizeof(*crash.tables));
		close_others(open_before);
	}
}

void feed_killed_at_any_moment(void **state)
{
	static const enum framing_kind kinds[] = {FRAMING_LINE, FRAMING_U32BE};
	struct tally sum = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		for (enum engine engine = 0; engine <= ENGINE_COUNT; engine++)
			die_at_any_moment(kinds[i], engine, i == 1, &sum);
	}
	print_message("settled %u, advanced %u, lost %u, replaying %u, publishers %u\n",
		      sum.settled, sum.advanced, sum.lost, sum.replaying, sum.publishers);
	assert_true(sum.settled > sum.lost && sum.publishers > 0);
	assert_true(sum.replaying > ROUNDS);
}

// --- instruction by instruction

// Part and subscribers as they were seen last.
struct seen {
	struct part_record part;
	struct subscriber_record subscribers[SUBSCRIBERS];
};

static bool has_part_changed(struct part_record *seen, const struct part_record *now)
{
	if (memcmp(seen, now, sizeof(*seen)) == 0)
		return false;
	killed_note(&killed_part_record_table, seen, now);
	for (size_t i = 0; i < 2; i++)
		killed_note(&killed_part_now_table, &seen->now[i], &now->now[i]);
	for (size_t i = 0; i < RECORD_FORMATS_MAX; i++)
		killed_note(&killed_rendition_record_table, &seen->renditions[i],
			    &now->renditions[i]);
	memcpy(seen, now, sizeof(*seen));
	return true;
}

static bool has_subscriber_changed(struct subscriber_record *seen,
				   const struct subscriber_record *now)
{
	if (memcmp(seen, now, sizeof(*seen)) == 0)
		return false;
	killed_note(&killed_subscriber_record_table, seen, now);
	memcpy(seen, now, sizeof(*seen));
	return true;
}

static bool has_changed(struct seen *seen, const struct crash *crash)
{
	bool has_changed = has_part_changed(&seen->part, &crash->tables->parts[PART]);

	for (size_t i = 0; i < SUBSCRIBERS; i++)
		has_changed |= has_subscriber_changed(
			&seen->subscribers[i],
			&crash->tables->subscribers[crash->peers[i].feed_fd]);
	return has_changed;
}

static void move(struct crash *crash, uint32_t *random)
{
	struct peer *peer = &crash->peers[next_random(random) % SUBSCRIBERS];

	publish_some(crash);
	say_some(peer, 1 + next_random(random) % INPUT_BYTES);
	(void)read_some(crash, peer, next_random(random) % 30000 + 1);
}

static uint64_t go_through(struct crash *crash, struct tally *tally)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	uint32_t random = 5;
	uint64_t reads = 0;

	assert_non_null(seen);
	for (uint64_t i = 0, joined = 0; joined < INSTRUCTIONS; i++) {
		joined += atomic_load(&crash->tables->has_joined);
		if (i % STEPS_A_MOVE == 0)
			move(crash, &random);
		assert_true(kill_rig_step(crash->pid));
		if (!has_changed(seen, crash))
			continue;
		check_known(crash, tally);
		reads++;
	}
	free(seen);
	return reads;
}

void feed_stopped_at_each_instruction(void **state)
{
	struct tally sum = {0};
	uint64_t reads = 0;

	(void)state;
	for (enum engine engine = 0; engine < ENGINE_COUNT; engine++) {
		struct crash crash = {.params = feed_rig_params(FRAMING_LINE, engine),
				      .is_traced = true};
		bool open_before[DESCRIPTORS];

		crash.params.ring_bytes = 1 << 18;
		crash.params.segment_bytes = 1 << 14;
		note_open(open_before);
		start(&crash);
		if (!kill_rig_await(crash.pid)) {
			close_others(open_before);
			leave_out("no tracing of another process: ptrace(2) is refused");
		}
		reads += go_through(&crash, &sum);
		assert_true(kill_rig_kill(crash.pid));
		check(&crash, &sum);
		feed_rig_free_stream(&crash.stream);
		(void)munmap(crash.tables, sizeof(*crash.tables));
		close_others(open_before);
	}
	print_message(
		"read %llu times: settled %u, advanced %u, lost %u, replaying %u, publishers %u\n",
		(unsigned long long)reads, sum.settled, sum.advanced, sum.lost, sum.replaying,
		sum.publishers);
	assert_true(sum.settled && sum.advanced && sum.lost && sum.replaying);
	assert_true(sum.publishers > 0 && sum.publishers < reads);
}
