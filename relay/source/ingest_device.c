// SPDX-License-Identifier: MIT
/*
 * Serial devices, and files that grow.  Both may not be there yet, go away and come back.  It is
 * said once that they are missing, and they are tried every second.
 *
 * A file that grows is read to its end, and again when the kernel tells of a change (inotify(7)),
 * or a second has passed: inotify knows nothing of what other machines write.  Another file at the
 * path is begun once it has bytes, for then its writer has left the old one, and the old one has
 * been read to its end twice: what was written behind the first look is not lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "feed/feed_kept.h"
#include "file/open_path.h"
#include "source/ingest.h"
#include "source/ingest_file.h"

static const double AGAIN_S = 1.;

static bool is_tail(const struct ingest *ingest)
{
	return ingest->params.kind == INGEST_TAIL;
}

static int open_device(struct ingest *ingest, int *ret_fd, struct errmsg *err)
{
	uint64_t bytes;

	return is_tail(ingest) ? open_regular("tail", ingest->params.path, ret_fd, &bytes, err)
			       : open_serial(ingest->params.path, &ingest->params.serial,
					     ingest->send_file.bytes != NULL, ret_fd, err);
}

/* ---- watching a file and its folder ---- */

static void watch_file(struct ingest *ingest)
{
	struct ingest_device *device = &ingest->device;

	if (device->inotify_fd < 0)
		return;
	if (device->file_watch >= 0)
		(void)inotify_rm_watch(device->inotify_fd, device->file_watch);
	device->file_watch =
		inotify_add_watch(device->inotify_fd, ingest->params.path, IN_MODIFY | IN_ATTRIB);
}

static void watch_folder(struct ingest *ingest)
{
	struct ingest_device *device = &ingest->device;
	const char *path = ingest->params.path;
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX] = ".";

	device->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (device->inotify_fd < 0) {
		log_warn("no inotify feed=%s error=%s, looking at %s every second",
			 ingest->feed->params.name, strerror(errno), path);
		return;
	}
	if (slash)
		(void)snprintf(folder, sizeof(folder), "%.*s",
			       slash == path ? 1 : (int)(slash - path), path);
	(void)inotify_add_watch(device->inotify_fd, folder, IN_CREATE | IN_MOVED_TO | IN_MODIFY);
	ev_io_set(&device->changed, device->inotify_fd, EV_READ);
	ev_io_start(ingest->loop, &device->changed);
}

/* ---- coming and going ---- */

/* What the intake has and could not publish yet is read again after a crash. */
static void note_offset(struct ingest *ingest)
{
	const struct intake *intake = &ingest->feed->intake;
	off_t at = is_tail(ingest) ? lseek(ingest->source.fd, 0, SEEK_CUR) : -1;
	size_t rest = intake_pipe_bytes(intake) + intake_memory_bytes(intake);

	/* Of a packet of another relay, the head is no part of the rest. */
	if (intake->params.framing.kind == FRAMING_RELAY && !intake_is_between(intake))
		return;
	if (at >= (off_t)rest)
		feed_record_note_file(&ingest->feed->fanout, ingest->source.fd,
				      (uint64_t)at - rest);
}

static void begin(struct ingest *ingest, int fd)
{
	struct ingest_device *device = &ingest->device;

	device->has_begun = true;
	device->is_told = false;
	device->is_at_end = false;
	log_info("publisher up feed=%s peer=%s:%s", ingest->feed->params.name,
		 is_tail(ingest) ? "tail" : "serial", ingest->params.path);
	ingest_adopt(ingest, fd);
	note_offset(ingest);
	watch_file(ingest);
}

/* What the process that died was reading goes on, whatever its name is by now.  False:
 * it was nothing. */
static bool go_on_after_crash(struct ingest *ingest, const struct ingest_state *kept)
{
	struct stat stat;
	int fd = kept->fd < 0 ? -1 : fcntl(kept->fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) ||
	    lseek(fd, (off_t)kept->file_offset, SEEK_SET) < 0) {
		fd_close(&fd);
		return false;
	}
	begin(ingest, fd);
	return true;
}

static void open_it(struct ingest *ingest)
{
	struct ingest_device *device = &ingest->device;
	struct errmsg err;
	int fd = -1;
	int r = open_device(ingest, &fd, &err);

	if (r < 0) {
		if (!device->is_told)
			log_warn("source missing feed=%s: %s; trying again every second",
				 ingest->feed->params.name, err.text);
		device->is_told = true;
		device->has_begun = true;
		return;
	}
	/* What was in the file before relay began is past; a file that has come since is not. */
	if (is_tail(ingest) && !device->has_begun)
		(void)lseek(fd, 0, SEEK_END);
	begin(ingest, fd);
}

static void read_on(struct ingest *ingest)
{
	ingest->device.is_at_end = false;
	ingest_watch(ingest);
}

/* Is any of the changes one of the file, or may have been?  The folder may have files that change
 * all the time.  Those of the file itself, and lost ones, come without a name. */
static bool is_changed(const struct ingest *ingest)
{
	const char *slash = strrchr(ingest->params.path, '/');
	const char *name = slash ? slash + 1 : ingest->params.path;
	alignas(struct inotify_event) char bytes[4096];
	bool is_ours = false;
	ssize_t got;

	while ((got = read(ingest->device.inotify_fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t at = 0; at < got;) {
			const struct inotify_event *event = (const void *)(bytes + at);

			is_ours = is_ours || !event->len || strcmp(event->name, name) == 0;
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	return is_ours;
}

static void on_changed(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct ingest *ingest = container_of(watcher, struct ingest, device.changed);

	(void)loop;
	(void)events;
	if (!is_changed(ingest))
		return;
	if (ingest->source.fd < 0 && !ingest->device.is_awaited)
		open_it(ingest);
	else
		read_on(ingest);
}

static void on_again(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct ingest *ingest = container_of(watcher, struct ingest, device.again);

	(void)loop;
	(void)events;
	if (ingest->source.fd < 0 && !ingest->device.is_awaited)
		open_it(ingest);
	else if (is_tail(ingest))
		read_on(ingest);
}

void ingest_start_device(struct ingest *ingest, bool is_kept, const struct ingest_state *kept)
{
	struct ingest_device *device = &ingest->device;

	ev_io_init(&device->changed, on_changed, -1, EV_READ);
	ev_timer_init(&device->again, on_again, AGAIN_S, AGAIN_S);
	ev_timer_start(ingest->loop, &device->again);
	if (is_tail(ingest))
		watch_folder(ingest);
	if (is_kept) {
		device->has_begun = device->is_awaited = true;
		watch_file(ingest);
		return;
	}
	if (!is_tail(ingest) || !kept || !go_on_after_crash(ingest, kept))
		open_it(ingest);
}

static void stop(struct ingest *ingest)
{
	struct ingest_device *device = &ingest->device;

	ev_io_stop(ingest->loop, &device->changed);
	ev_timer_stop(ingest->loop, &device->again);
	fd_close(&device->inotify_fd);
}

/* ---- the end of a file that grows ---- */

static void begin_file_anew(struct ingest *ingest, const char *why)
{
	uint64_t suppressed;

	if (log_allow_each_minute(&ingest->device.log, clock_mono_ns(), &suppressed))
		log_info("file begins anew feed=%s path=%s: it %s; suppressed=%llu",
			 ingest->feed->params.name, ingest->params.path, why,
			 (unsigned long long)suppressed);
	feed_begin_elsewhere(ingest->feed);
	ingest->device.is_at_end = false;
	ingest->device.is_leaving = false;
}

static void look_whether_it_shrank(struct ingest *ingest, const struct stat *now)
{
	if (now->st_size >= lseek(ingest->source.fd, 0, SEEK_CUR))
		return;
	ingest->feed->metrics.files_shrunk++;
	begin_file_anew(ingest, "is shorter than what was read of it");
	(void)lseek(ingest->source.fd, 0, SEEK_SET);
	note_offset(ingest);
}

/* The other file has bytes. */
static void go_to_other_file(struct ingest *ingest)
{
	struct errmsg err;
	uint64_t bytes;
	int fd = -1;

	if (!ingest->device.is_leaving) {
		ingest->device.is_leaving = true;
		ingest->device.is_at_end = false;
		return;
	}
	if (open_regular("tail", ingest->params.path, &fd, &bytes, &err) < 0)
		return;
	begin_file_anew(ingest, "is another one");
	feed_record_note_file(&ingest->feed->fanout, -1, 0);
	fd_close(&ingest->source.fd);
	ingest_attach(ingest, fd);
	note_offset(ingest);
	watch_file(ingest);
}

static void at_end(struct ingest *ingest)
{
	struct stat there, now;

	ingest->device.is_at_end = true;
	if (fstat(ingest->source.fd, &now) < 0 || stat(ingest->params.path, &there) < 0)
		return;
	if (there.st_dev == now.st_dev && there.st_ino == now.st_ino)
		look_whether_it_shrank(ingest, &now);
	else if (there.st_size > 0)
		go_to_other_file(ingest);
}

const struct ingest_way ingest_way_of_devices = {
	.took = note_offset, .at_end = at_end, .stop = stop};
