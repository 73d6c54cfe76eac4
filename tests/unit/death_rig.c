// SPDX-License-Identifier: MIT
/* How it lives and dies. */
#include "tests/unit/death_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "continuity/sealed_memory.h"
#include "net/sockopt.h"
#include "ring/ring_kept_layout.h"
#include "tests/unit/kill_start.h"
#include "tests/unit/rig_random.h"
#include "tests/unit/tcp_pair.h"

enum {
	PARTS = 2,
	STREAM_BYTES = 400000,
	SMALL_BUFFER = 8192,
};

// --- the process

static void run_feed(void *owner)
{
	const struct death *death = owner;
	struct feed_records records = crash_record_feeds(&death->record);
	const struct feed_events none = {0};
	struct feed_rig rig = {.publisher_fd = -1,
			       .loop = ev_loop_new(EVFLAG_AUTO),
			       .source = {.fd = death->source_fd, .is_socket = true}};
	struct pollfd readable = {.fd = death->source_fd, .events = POLLIN};

	if (!rig.loop || feed_new(rig.loop, &death->params, &none, &rig.feed) < 0)
		_exit(1);
	feed_set_records(rig.feed, &records, 0);
	rig.raw = feed_open_rendition(rig.feed, &encoder_raw);
	rig.framed = feed_open_rendition(rig.feed, &encoder_framed);
	feed_source_up(rig.feed);
	for (size_t i = 0; i < DEATH_SUBSCRIBERS; i++) {
		const struct subscriber_params join = {.id = i + 1, .on_slow = ON_SLOW_WAIT};
		const struct death_peer *peer = &death->peers[i];

		if (subscriber_join(peer->is_framed ? rig.framed : rig.raw, peer->feed_fd, &join))
			_exit(1);
	}
	crash_record_arm(
		&(struct crash_record){death->record.fd, death->record.map, death->record.bytes}, 1,
		false);
	for (;;) {
		if (!feed_rig_turn(&rig))
			(void)poll(&readable, feed_can_take(rig.feed), 1);
	}
}

static void make_peer(struct death_peer *ret, size_t number)
{
	int bytes = SMALL_BUFFER, fds[2];

	*ret = (struct death_peer){.is_framed = number % 2, .is_tcp = number % 4 < 2};
	if (ret->is_tcp) {
		const struct tcp_pair pair = tcp_pair_open(bytes);

		fds[0] = pair.accepted;
		fds[1] = pair.connected;
	} else {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	}
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
	assert_int_equal(fd_set_nonblock(fds[0]), 0);
	assert_int_equal(fd_set_nonblock(fds[1]), 0);
	ret->feed_fd = fds[0];
	ret->fd = fds[1];
}

static bool read_some(struct rig_reader *reader, size_t most)
{
	ssize_t got;

	if (reader->room - reader->size < most) {
		reader->room = 2 * reader->room + most;
		reader->bytes = realloc(reader->bytes, reader->room);
		assert_non_null(reader->bytes);
	}
	got = read(reader->fd, reader->bytes + reader->size, most);
	if (got > 0)
		reader->size += (size_t)got;
	return got > 0;
}

static void publish_some(struct death *death)
{
	size_t left = death->stream.size / 2 - death->published;
	ssize_t put = write(death->publisher_fd, death->stream.bytes + death->published,
			    size_min(left, 20000));

	if (put > 0)
		death->published += (size_t)put;
}

// Half of the stream is on its way when it dies.
void death_live(struct death *death)
{
	const struct crash_room room = {
		.fd_limit = DEATH_DESCRIPTORS,
		.workers = 1,
		.part_bytes = sizeof(struct part_record),
		.part_count = PARTS,
		.subscriber_bytes = sizeof(struct subscriber_record),
	};
	struct tcp_pair publisher;
	pid_t pid;

	for (int fd = 0; fd < DEATH_DESCRIPTORS; fd++)
		death->is_ours[fd] = fcntl(fd, F_GETFD) >= 0;
	publisher = tcp_pair_open(0);
	death->publisher_fd = publisher.connected;
	death->source_fd = publisher.accepted;
	assert_int_equal(fd_set_nonblock(death->publisher_fd), 0);
	assert_int_equal(fd_set_nonblock(death->source_fd), 0);
	assert_int_equal(crash_record_open(&death->record, &room), 0);
	death->stream = feed_rig_make_stream(&death->params.framing, STREAM_BYTES, 6000, 3);
	for (size_t i = 0; i < DEATH_SUBSCRIBERS; i++) {
		make_peer(&death->peers[i], i);
		death->readers[i] = (struct rig_reader){.fd = death->peers[i].fd,
							.is_framed = death->peers[i].is_framed};
	}
	pid = kill_rig_start(run_feed, death);
	while (!atomic_load(&crash_record_head(&death->record)->is_armed))
		(void)poll(NULL, 0, 1);
	while (death->published < death->stream.size / 2) {
		struct rig_reader *reader =
			&death->readers[rig_random_below(&death->random, DEATH_SUBSCRIBERS)];

		publish_some(death);
		if (!read_some(reader, 1 + rig_random_below(&death->random, 20000)))
			(void)poll(NULL, 0, 1);
	}
	for (uint64_t i = rig_random_below(&death->random, 400); i; i--)
		(void)read_some(&death->readers[i % DEATH_SUBSCRIBERS], 3000);
	assert_true(kill_rig_kill(pid));
}

// --- what it leaves

const struct part_record *death_part(const uint8_t *region)
{
	const struct crash_head *head = (const void *)region;

	return (const void *)(region + head->parts.offset);
}

// With holes where it has some.
static int copy_memory(int fd)
{
	static uint8_t bytes[1 << 16];
	struct stat about;
	int copy = -1;
	off_t at = 0, end;

	assert_int_equal(fstat(fd, &about), 0);
	assert_int_equal(sealed_memory_new("copy", (uint64_t)about.st_size, &copy), 0);
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		for (end = lseek(fd, at, SEEK_HOLE); at < end;) {
			ssize_t got =
				pread(fd, bytes, size_min((size_t)(end - at), sizeof(bytes)), at);

			assert_true(got > 0);
			assert_int_equal(pwrite(copy, bytes, (size_t)got, at), got);
			at += got;
		}
	}
	return copy;
}

// As the keeper does: what is open, and that all end by reset.
void death_collect(struct death *death)
{
	struct crash_head *head = crash_record_head(&death->record);
	int32_t *numbers = crash_record_at(&death->record, &head->fds, 0);
	struct stat about;
	uint64_t count = 0;

	for (int fd = 3; fd < DEATH_DESCRIPTORS; fd++) {
		bool is_its = !death->is_ours[fd];

		for (size_t i = 0; i < DEATH_SUBSCRIBERS; i++)
			is_its &= fd != death->peers[i].fd;
		if (!is_its || fd == death->record.fd || fd == death->publisher_fd ||
		    fstat(fd, &about) < 0)
			continue;
		if (S_ISSOCK(about.st_mode))
			sockopt_set_reset_on_close(fd);
		if (S_ISSOCK(about.st_mode) || S_ISFIFO(about.st_mode) || S_ISREG(about.st_mode))
			numbers[count++] = fd;
	}
	atomic_store(&head->died_ns, 1);
	atomic_store(&head->fds_sum, crash_fds_sum(numbers, count));
	atomic_store(&head->fd_count, count);
	for (size_t i = 0; i < DEATH_RINGS; i++) {
		struct ring_record_head ring;
		int fd = death_part(death->record.map)->renditions[i].ring_fd;

		death->rings[i] = copy_memory(fd);
		assert_int_equal(pread(fd, &ring, sizeof(ring), 0), sizeof(ring));
		death->ring_slots[i] = ring.slots_used;
	}
	death->region = mmap(NULL, death->record.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			     death->record.fd, 0);
	assert_true(death->region != MAP_FAILED);
}

// Its own descriptors are gone with it.
void death_bury(struct death *death)
{
	const struct crash_head *head = (const void *)death->record.map;
	const int32_t *numbers = (const void *)(death->record.map + head->fds.offset);

	for (uint64_t i = 0; i < head->fd_count; i++)
		(void)close(numbers[i]);
}

void death_end(struct death *death)
{
	for (int fd = 3; fd < DEATH_DESCRIPTORS; fd++) {
		if (!death->is_ours[fd])
			(void)close(fd);
	}
	assert_int_equal(munmap(death->region, death->record.bytes), 0);
	death->record.fd = -1;
	crash_record_close(&death->record);
	feed_rig_free_stream(&death->stream);
}
