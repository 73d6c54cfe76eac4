// SPDX-License-Identifier: MIT
/*
 * Listening sockets with any values that their .def allows are written down, one list after the
 * other, by a process that is stopped at each of its instructions: each time those of before can be
 * read, or those behind, whole.  So are the records of what listeners have counted: who is there
 * has a name, and counters that were noted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/compiler.h"
#include "daemon/crash_record.h"
#include "serve/served_listener.h"
#include "serve/service.h"
#include "tests/unit/kept_rig.h"
#include "tests/unit/kill_rig.h"
#include "tests/unit/leave_out.h"

enum {
	SOCKETS = 3,
	LISTS = 20,
	STREAM_BYTES = 4096, // more than they take
	COUNTING = 4,        // listeners that come and go
};

KILLED(socket_kept_table);
KILLED(listener_record_table);

struct sockets {
	struct kept_config config;
	size_t count;
	struct handed_socket sockets[SOCKETS];
};

// Shared: the list with number n is lists[n].
struct lists {
	struct sockets lists[LISTS];
	_Atomic unsigned done; // written down
};

struct writing {
	struct crash_record record;
	struct lists *lists;
	pid_t pid;
};

static void fill(struct sockets *list, unsigned number, uint64_t *random)
{
	list->config = (struct kept_config){.fd = (int)number, .fallbacks = rig_random(random)};
	list->count = rig_random_below(random, SOCKETS + 1);
	for (size_t i = 0; i < list->count; i++) {
		kept_rig_fill(&socket_kept_table, &list->sockets[i], random);
		list->sockets[i].fd = (int)rig_random_below(random, 1000);
	}
}

static void write_down(struct crash_record *record, struct sockets *list)
{
	struct crash_listeners listeners = {
		.config = list->config, .sockets = list->sockets, .socket_count = list->count};

	crash_record_write_listeners(record, &listeners);
}

static void write_all(void *owner)
{
	struct writing *writing = owner;

	if (!kill_rig_be_traced())
		_exit(1);
	for (unsigned i = 1; i < LISTS; i++) {
		write_down(&writing->record, &writing->lists->lists[i]);
		atomic_store(&writing->lists->done, i);
	}
}

static bool is_list(const struct sockets *list, const struct crash_listeners *read)
{
	if (read->socket_count != list->count || read->config.fd != list->config.fd ||
	    read->config.fallbacks != list->config.fallbacks)
		return false;
	for (size_t i = 0; i < list->count; i++) {
		if (kept_rig_difference(&socket_kept_table, &read->sockets[i], &list->sockets[i]))
			return false;
	}
	return true;
}

// Which one is there: its number.
static unsigned check(const struct writing *writing)
{
	const struct sockets *lists = writing->lists->lists;
	unsigned done = atomic_load(&writing->lists->done);
	struct crash_listeners read;
	unsigned found = done;

	assert_null(crash_listeners_read(writing->record.map, &read));
	if (!is_list(&lists[done], &read)) {
		found = done + 1;
		assert_true(found < LISTS && is_list(&lists[found], &read));
	}
	crash_listeners_free(&read);
	return found;
}

// The head, and where both lists are.
static bool has_changed(const struct writing *writing)
{
	static uint8_t copies[3][STREAM_BYTES];
	const struct crash_head *head = crash_record_head(&writing->record);
	const uint8_t *const now[] = {writing->record.map,
				      writing->record.map + head->listeners[0].offset,
				      writing->record.map + head->listeners[1].offset};
	bool has_changed = false;

	for (size_t i = 0; i < ARRAY_LEN(now); i++) {
		has_changed |= memcmp(copies[i], now[i], STREAM_BYTES) != 0;
		memcpy(copies[i], now[i], STREAM_BYTES);
	}
	return has_changed;
}

static void go_through(const struct writing *writing)
{
	const struct sockets *lists = writing->lists->lists;
	unsigned last = 0;

	while (atomic_load(&writing->lists->done) < LISTS - 1) {
		unsigned found;

		assert_true(kill_rig_step(writing->pid));
		if (!has_changed(writing))
			continue;
		found = check(writing);
		assert_true(found >= last);
		if (found != last)
			killed_note(&killed_socket_kept_table, &lists[last].sockets[0],
				    &lists[found].sockets[0]);
		last = found;
	}
	assert_int_equal(last, LISTS - 1);
}

void listeners_stopped_at_each_instruction(void **state)
{
	const struct crash_room room = {.fd_limit = 64, .workers = 1};
	uint64_t random = kill_rig_seed() + 1;
	struct writing writing;
	void *shared = mmap(NULL, sizeof(*writing.lists), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	print_message("seed %llu\n", (unsigned long long)random);
	assert_true(shared != MAP_FAILED);
	writing.lists = shared;
	for (unsigned i = 0; i < LISTS; i++)
		fill(&writing.lists->lists[i], i, &random);
	assert_int_equal(crash_record_open(&writing.record, &room), 0);
	write_down(&writing.record, &writing.lists->lists[0]);
	writing.pid = kill_rig_start(write_all, &writing);
	if (kill_rig_await(writing.pid)) {
		go_through(&writing);
		assert_true(kill_rig_kill(writing.pid));
	} else {
		leave_out_part("no tracing of another process: ptrace(2) is refused");
	}
	crash_record_close(&writing.record);
	assert_int_equal(munmap(shared, sizeof(*writing.lists)), 0);
}

// --- what listeners have counted

struct counting {
	struct service service;
	struct crash_record record;
	_Atomic unsigned *done; // shared: listeners that have come and gone
	pid_t pid;
};

// Listener n is made with n of its counter and counts one more.
static void count_all(void *owner)
{
	struct counting *counting = owner;
	char none[] = "";

	if (!kill_rig_be_traced())
		_exit(1);
	for (unsigned i = 1; i <= COUNTING; i++) {
		const struct listener_counters before = {.accepted = i};
		struct config_listener from = {.allow = none, .deny = none};
		struct served_listener *served;
		struct errmsg err;

		(void)snprintf(from.section.name, sizeof(from.section.name), "listener %u", i);
		if (served_listener_new(&counting->service, &from, &before, &served, &err) < 0)
			_exit(1);
		served->listener.counters.accepted++;
		served_listener_note(served);
		served_listener_free(&served);
		atomic_store(counting->done, i);
	}
}

static void check_record(const struct listener_record *record, unsigned number)
{
	char name[sizeof(record->http.listener)];

	if (!atomic_load(&record->is_used))
		return;
	(void)snprintf(name, sizeof(name), "listener %u", number);
	assert_int_equal(record->sum, listener_record_sum(record));
	assert_string_equal(record->http.listener, name);
	assert_in_range(record->counters.accepted, number, number + 1);
}

static unsigned go_through_counts(const struct counting *counting)
{
	const struct listener_record *record = counting->service.listener_records;
	struct listener_record seen;
	unsigned used = 0;

	memcpy(&seen, record, sizeof(seen));
	while (atomic_load(counting->done) < COUNTING) {
		unsigned number = atomic_load(counting->done) + 1;

		assert_true(kill_rig_step(counting->pid));
		if (memcmp(&seen, record, sizeof(seen)) == 0)
			continue;
		check_record(record, number);
		killed_note(&killed_listener_record_table, &seen, record);
		used += atomic_load(&record->is_used);
		memcpy(&seen, record, sizeof(seen));
	}
	return used;
}

void counts_stopped_at_each_instruction(void **state)
{
	const struct crash_room room = {.fd_limit = 64, .workers = 1};
	struct counting counting = {.service = {.loop = ev_loop_new(EVFLAG_AUTO)}};
	void *shared = mmap(NULL, sizeof(*counting.done), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_non_null(counting.service.loop);
	assert_true(shared != MAP_FAILED);
	counting.done = shared;
	assert_int_equal(crash_record_open(&counting.record, &room), 0);
	counting.service.listener_records = crash_record_counts(&counting.record);
	counting.pid = kill_rig_start(count_all, &counting);
	if (kill_rig_await(counting.pid)) {
		assert_true(go_through_counts(&counting) >= 2 * COUNTING);
		assert_true(kill_rig_kill(counting.pid));
	} else {
		leave_out_part("no tracing of another process: ptrace(2) is refused");
	}
	crash_record_close(&counting.record);
	ev_loop_destroy(counting.service.loop);
	assert_int_equal(munmap(shared, sizeof(*counting.done)), 0);
}
