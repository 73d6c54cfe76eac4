// SPDX-License-Identifier: MIT
/* What is left for later is a copy, so that a reload may bring other bytes meanwhile. */
#include "source/send_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/secret_file.h"

/* ---- reading ---- */

static int check_bytes(const struct secret_file *secret, size_t count, struct errmsg *err)
{
	if (ferror(secret->file)) {
		errmsg_errno(err, -EIO, "cannot read %s", secret->path);
		return -EIO;
	}
	if (count == 0) {
		errmsg_set(err, "%s is empty; expected the bytes to be sent", secret->path);
		return -EINVAL;
	}
	if (count > SEND_FILE_MAX) {
		errmsg_set(err, "%s is longer than %d bytes; expected a login or commands",
			   secret->path, SEND_FILE_MAX);
		return -EFBIG;
	}
	if (secret->is_for_all)
		log_warn("everybody on this machine can read %s, ignoring", secret->path);
	return 0;
}

static void forget(uint8_t **bytes, size_t count)
{
	if (*bytes)
		explicit_bzero(*bytes, count);
	free(*bytes);
	*bytes = NULL;
}

/* On success, the bytes are the caller's to forget. */
static int read_bytes(const char *name, uint8_t **ret_bytes, size_t *ret_count, struct errmsg *err)
{
	struct secret_file secret;
	uint8_t *bytes;
	size_t count;
	int r = secret_file_open(name, &secret, err);

	if (r < 0)
		return r;
	bytes = malloc(SEND_FILE_MAX + 1);
	if (!bytes) {
		(void)fclose(secret.file);
		errmsg_errno(err, -ENOMEM, "%s", secret.path);
		return -ENOMEM;
	}
	count = fread(bytes, 1, SEND_FILE_MAX + 1, secret.file);
	r = check_bytes(&secret, count, err);
	(void)fclose(secret.file);
	if (r < 0) {
		forget(&bytes, count);
		return r;
	}
	*ret_bytes = bytes;
	*ret_count = count;
	return 0;
}

int send_file_check(const char *name, struct errmsg *err)
{
	uint8_t *bytes = NULL;
	size_t count = 0;
	int r = *name ? read_bytes(name, &bytes, &count, err) : 0;

	forget(&bytes, count);
	return r;
}

void send_file_load(struct send_file *send_file, const char *name)
{
	uint8_t *bytes = NULL;
	size_t count = 0;
	struct errmsg err;

	if (*name && read_bytes(name, &bytes, &count, &err) < 0) {
		log_error("%s feed=%s, what is sent has not changed", err.text, send_file->feed);
		return;
	}
	forget(&send_file->bytes, send_file->count);
	send_file->bytes = bytes;
	send_file->count = count;
}

/* ---- sending ---- */

static void tell_failure(const struct send_file *send_file, int err)
{
	log_warn("send_file not sent feed=%s error=%s", send_file->feed, strerror(err));
}

/* The bytes that were taken, 0 if none can be now, or -errno. */
static ssize_t try_to_send(int fd, const uint8_t *bytes, size_t count)
{
	ssize_t sent = write(fd, bytes, count);

	if (sent < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return sent;
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct send_file *send_file = container_of(watcher, struct send_file, writable);
	ssize_t sent = events & EV_ERROR
			       ? -ENOMEM
			       : try_to_send(watcher->fd, send_file->rest + send_file->rest_sent,
					     send_file->rest_count - send_file->rest_sent);

	(void)loop;
	if (sent < 0)
		tell_failure(send_file, (int)-sent);
	else
		send_file->rest_sent += (size_t)sent;
	if (sent < 0 || send_file->rest_sent == send_file->rest_count)
		send_file_stop(send_file);
}

void send_file_init(struct send_file *send_file, struct ev_loop *loop, const char *feed)
{
	*send_file = (struct send_file){.loop = loop, .feed = feed};
	ev_io_init(&send_file->writable, on_writable, -1, EV_WRITE);
}

static void send_rest_later(struct send_file *send_file, int fd, size_t sent)
{
	send_file->rest_count = send_file->count - sent;
	send_file->rest_sent = 0;
	send_file->rest = malloc(send_file->rest_count);
	if (!send_file->rest) {
		tell_failure(send_file, ENOMEM);
		return;
	}
	memcpy(send_file->rest, send_file->bytes + sent, send_file->rest_count);
	ev_io_set(&send_file->writable, fd, EV_WRITE);
	ev_io_start(send_file->loop, &send_file->writable);
}

void send_file_begin(struct send_file *send_file, int fd)
{
	ssize_t sent;

	send_file_stop(send_file);
	if (!send_file->bytes)
		return;
	sent = try_to_send(fd, send_file->bytes, send_file->count);
	if (sent < 0)
		tell_failure(send_file, (int)-sent);
	else if ((size_t)sent < send_file->count)
		send_rest_later(send_file, fd, (size_t)sent);
}

bool send_file_is_under_way(const struct send_file *send_file)
{
	return send_file->rest != NULL;
}

void send_file_stop(struct send_file *send_file)
{
	ev_io_stop(send_file->loop, &send_file->writable);
	forget(&send_file->rest, send_file->rest_count);
}

void send_file_fini(struct send_file *send_file)
{
	send_file_stop(send_file);
	forget(&send_file->bytes, send_file->count);
}
