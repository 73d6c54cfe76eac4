// SPDX-License-Identifier: MIT
/*
 * The keeper: started and watched by relay; and what it does in its own process.
 *
 * That part, from keep() on, may run as a copy of one thread of a process that has many, whose
 * locks may be held by the others: only calls that are async-signal-safe (signal-safety(7)), no
 * memory, no log.  All that it needs has been opened before, for there may be no descriptor left.
 */
#include "daemon/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "net/fd_message.h"
#include "net/sockopt.h"

enum {
	RESTART_MS = 1000, /* between two starts at least */
	STANDARD_FDS = 3,  /* 0 to 2 are the next process's own */
	LISTING_BYTES = 4096,
};

/* ---- in the keeper's own process ---- */

/* What is still open, as it is put into the bag. */
struct collection {
	const struct keeper *keeper;
	int own_fd; /* the listing itself */
	bool is_kept;
	bool has_failed;
	int batch[FD_MESSAGE_MAX];
	size_t batch_count;
	uint64_t count; /* in the bag and in the batch */
};

static void send_batch(struct collection *collection)
{
	size_t count = collection->batch_count;

	if (count == 0 || collection->has_failed)
		return;
	collection->batch_count = 0;
	if (handover_bag_send(&collection->keeper->bag, collection->batch, count,
			      collection->count - count) == 0)
		return;
	collection->has_failed = true;
	collection->count -= count;
}

static bool is_own(const struct collection *collection, int fd)
{
	const struct keeper *keeper = collection->keeper;

	return fd == collection->own_fd || fd == keeper->record->fd || fd == keeper->bag.in_fd ||
	       fd == keeper->bag.out_fd || fd == keeper->manager.fd ||
	       fd == keeper->barrier_fds[0] || fd == keeper->barrier_fds[1];
}

/* Whoever is not resumed, for whatever reason, must not take that for a clean end.  (A socket that
 * listens would pass it on to those that it accepts.) */
static void set_reset_unless_listening(int fd)
{
	if (!sockopt_is_listening(fd))
		sockopt_set_reset_on_close(fd);
}

static void collect(struct collection *collection, int fd)
{
	const struct crash_record *record = collection->keeper->record;
	const struct crash_array *fds = &crash_record_head(record)->fds;
	struct stat status;

	if (fd < STANDARD_FDS || is_own(collection, fd) || fstat(fd, &status) < 0)
		return;
	if (S_ISSOCK(status.st_mode))
		set_reset_unless_listening(fd);
	/* Regular: memory, too. */
	if (!S_ISSOCK(status.st_mode) && !S_ISFIFO(status.st_mode) && !S_ISREG(status.st_mode))
		return;
	if (!collection->is_kept || collection->has_failed || collection->count == fds->count)
		return;
	*(int32_t *)crash_record_at(record, fds, collection->count) = fd;
	collection->count++;
	collection->batch[collection->batch_count++] = fd;
	if (collection->batch_count == FD_MESSAGE_MAX)
		send_batch(collection);
}

/* -1 for "." and "..". */
static int number_of(const char *name)
{
	int number = 0;

	for (const char *c = name; *c; c++) {
		if (*c < '0' || *c > '9')
			return -1;
		number = number * 10 + (*c - '0');
	}
	return number;
}

/* As opendir(3), which asks for memory, would: the directory in pieces, getdents64(2). */
static void collect_all(struct collection *collection)
{
	_Alignas(struct dirent64) char listing[LISTING_BYTES];
	int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ssize_t length;

	collection->own_fd = directory;
	while (directory >= 0 && (length = getdents64(directory, listing, sizeof(listing))) > 0) {
		const struct dirent64 *entry;

		for (ssize_t at = 0; at < length; at += entry->d_reclen) {
			entry = (const struct dirent64 *)(const void *)(listing + at);
			collect(collection, number_of(entry->d_name));
		}
	}
	send_batch(collection);
}

#define STORE "FDSTORE=1\nFDPOLL=0\nFDNAME="

/* sd_notify_barrier(3): what was sent is looked up by the process that sent it, so it may not end
 * before the manager has got so far. */
static void give_to_manager(const struct keeper *keeper)
{
	const struct notify_socket *manager = &keeper->manager;
	struct pollfd taken = {.fd = keeper->barrier_fds[1]};

	(void)notify_socket_send(manager, STORE HANDOVER_STATE_NAME, keeper->record->fd, 0);
	(void)notify_socket_send(manager, STORE HANDOVER_IN_NAME, keeper->bag.in_fd, 0);
	(void)notify_socket_send(manager, STORE HANDOVER_OUT_NAME, keeper->bag.out_fd, 0);
	(void)notify_socket_send(manager, "BARRIER=1", keeper->barrier_fds[0], 0);
	(void)close(keeper->barrier_fds[0]);
	(void)poll(&taken, 1, NOTIFY_SOCKET_MS);
}

static void wait_for_end(int pid_fd)
{
	struct pollfd ended = {.fd = pid_fd, .events = POLLIN};

	while (poll(&ended, 1, -1) <= 0)
		;
}

static _Noreturn void keep(const struct keeper *keeper)
{
	struct crash_head *head = crash_record_head(keeper->record);
	struct collection collection = {.keeper = keeper};

	(void)prctl(PR_SET_NAME, "relay-keeper");
	wait_for_end(keeper->relay_fd);
	/* Nobody else writes there any more. */
	collection.is_kept = atomic_load(&head->is_armed);
	if (atomic_load(&head->is_done))
		_exit(EXIT_SUCCESS);
	atomic_store(&head->died_ns, clock_mono_ns());
	(void)close(keeper->relay_fd); /* so there is one for the listing */
	collect_all(&collection);
	if (collection.is_kept) {
		atomic_store(&head->fds_sum,
			     crash_fds_sum(crash_record_at(keeper->record, &head->fds, 0),
					   collection.count));
		atomic_store(&head->fd_count, collection.count);
		give_to_manager(keeper);
	}
	_exit(EXIT_SUCCESS);
}

/* ---- in relay ---- */

static int open_all(struct keeper *keeper)
{
	int r = notify_socket_open(&keeper->manager);

	if (r == 0)
		r = handover_bag_open(&keeper->bag);
	if (r < 0)
		return r;
	keeper->relay_fd = pidfd_open(getpid(), 0);
	if (keeper->relay_fd < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, keeper->barrier_fds) < 0)
		return -errno;
	return 0;
}

static void close_all(struct keeper *keeper)
{
	handover_bag_close(&keeper->bag);
	fd_close(&keeper->relay_fd);
	fd_close(&keeper->manager.fd);
	fd_close(&keeper->barrier_fds[0]);
	fd_close(&keeper->barrier_fds[1]);
	fd_close(&keeper->pid_fd);
}

/* The bare call: fork(2) of libc would make a table of its own, and would run what others have
 * registered for a fork. */
static int start_process(struct keeper *keeper)
{
	sigset_t all, before;
	long pid;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = syscall(SYS_clone, (unsigned long)CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		keep(keeper);
	if (pid < 0)
		pid = -errno;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return (int)pid;
	keeper->pid = (pid_t)pid;
	keeper->pid_fd = pidfd_open(keeper->pid, 0);
	return keeper->pid_fd < 0 ? -errno : 0;
}

int keeper_start(struct keeper *keeper, struct crash_record *record)
{
	int r;

	keeper->record = record;
	keeper->started_ms = clock_mono_ns() / NS_PER_MS;
	r = open_all(keeper);
	if (r == 0)
		r = start_process(keeper);
	if (r < 0) {
		keeper_stop(keeper);
		return r;
	}
	ev_io_set(&keeper->ended, keeper->pid_fd, EV_READ);
	ev_io_start(keeper->loop, &keeper->ended);
	return 0;
}

void keeper_stop(struct keeper *keeper)
{
	ev_io_stop(keeper->loop, &keeper->ended);
	ev_timer_stop(keeper->loop, &keeper->again);
	if (keeper->pid > 0) {
		(void)kill(keeper->pid, SIGKILL);
		(void)TEMP_FAILURE_RETRY(waitpid(keeper->pid, NULL, 0));
	}
	keeper->pid = 0;
	close_all(keeper);
}

static void start_in(struct keeper *keeper, uint64_t ms)
{
	ev_timer_set(&keeper->again, (double)ms / 1000, 0);
	ev_timer_start(keeper->loop, &keeper->again);
}

void keeper_resume(struct keeper *keeper)
{
	int r = keeper->record ? keeper_start(keeper, keeper->record) : 0;

	if (r == 0)
		return;
	log_error("keeper cannot be started: %s, trying again; a crash would end every connection",
		  strerror(-r));
	start_in(keeper, RESTART_MS);
}

static void on_again(struct ev_loop *loop, ev_timer *watcher, int events)
{
	(void)loop;
	(void)events;
	keeper_resume(container_of(watcher, struct keeper, again));
}

static void on_ended(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct keeper *keeper = container_of(watcher, struct keeper, ended);
	uint64_t alive_ms = clock_mono_ns() / NS_PER_MS - keeper->started_ms;

	(void)loop;
	(void)events;
	keeper->restarts++;
	log_warn("keeper ended keeper_pid=%d restarts=%llu, starting it anew", (int)keeper->pid,
		 (unsigned long long)keeper->restarts);
	keeper_stop(keeper);
	start_in(keeper, alive_ms < RESTART_MS ? RESTART_MS : 0);
}

void keeper_init(struct keeper *keeper, struct ev_loop *loop)
{
	*keeper = (struct keeper){
		.loop = loop,
		.manager.fd = -1,
		.barrier_fds = {-1, -1},
		.relay_fd = -1,
		.bag = HANDOVER_BAG_NONE,
		.pid_fd = -1,
	};
	ev_init(&keeper->ended, on_ended);
	ev_init(&keeper->again, on_again);
}

bool keeper_is_possible(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}
