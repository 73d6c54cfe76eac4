// SPDX-License-Identifier: MIT
/*
 * The quirks of splice(2), tee(2) and vmsplice(2), resolved.
 *
 * These calls answer EAGAIN both for "nothing to take" and for "no room to put", are interrupted,
 * come back short, and are taken away by sandboxes and kernels.  Each function below turns that
 * into one enum pipe_io and keeps held_bytes right; errno does not travel further.
 *
 * SPLICE_F_NONBLOCK goes on every call although all descriptors are O_NONBLOCK: vmsplice(2) ignores
 * O_NONBLOCK, kTLS sockets do as well, TCP sockets ignore the flag (checked on Linux 6.18).
 */
#include "pipe/pipe_io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	PAGE_BYTES = 4096
};

/* The outcome of a call that returned <= 0.  The caller says what EAGAIN means for it.
 * SPLICE_F_MORE is never among the flags: TCP would hold the tail back for 205 ms. */
static enum pipe_io outcome_of_errno(int err, enum pipe_io on_again, int *ret_err)
{
	switch (err) {
	case EAGAIN:
		return on_again;
	case EINVAL:     // this kind of object, or this kernel, cannot
	case EPERM:      // seccomp filters of containers and systemd
	case ENOSYS:     // the same, other taste
	case EOPNOTSUPP: // a protocol without the operation
		*ret_err = err;
		return PIPE_IO_REFUSED;
	default:
		*ret_err = err;
		return PIPE_IO_ERROR;
	}
}

/* The same for read(2) and write(2), for which no other path is left: REFUSED would be wrong. */
static enum pipe_io outcome_of_copy(int err, enum pipe_io on_again, int *ret_err)
{
	if (err == EAGAIN)
		return on_again;
	*ret_err = err;
	return PIPE_IO_ERROR;
}

/* A pipe that is open at both ends and holds bytes gave 0, the sign of the end.  Cannot be, and yet
 * no assert, since it is the kernel that says so. */
static enum pipe_io outcome_of_drained(int *ret_err)
{
	*ret_err = EIO;
	return PIPE_IO_ERROR;
}

static ssize_t splice_once(int from_fd, int to_fd, size_t bytes)
{
	return TEMP_FAILURE_RETRY(splice(from_fd, NULL, to_fd, NULL, bytes, SPLICE_F_NONBLOCK));
}

// Writable means at least one free slot (pipe_poll() in the kernel); no call counts the slots.
static bool has_free_slot(const struct pipe *p)
{
	struct pollfd ask = {.fd = p->write_fd, .events = POLLOUT};

	return TEMP_FAILURE_RETRY(poll(&ask, 1, 0)) > 0 && (ask.revents & POLLOUT);
}

enum pipe_io pipe_splice_in(struct pipe *to, int from_fd, size_t max_bytes, size_t *ret_bytes,
			    int *ret_err)
{
	size_t done = 0;

	if (max_bytes == 0) { // splice(2) would return 0, the sign of the end
		*ret_bytes = 0;
		return PIPE_IO_OK;
	}

	/* One call takes at most 4 KiB for each free slot (do_splice_read() of Linux), and a slot
	 * holds more than that where fragments are larger.  A call that was cut off so took whole
	 * pages: there may be more, and room for it.  What stops a later call, the next one
	 * tells. */
	ssize_t n = splice_once(from_fd, to->write_fd, max_bytes);
	while (n > 0) {
		done += (size_t)n;
		if (n % PAGE_BYTES != 0 || done == max_bytes)
			break;
		n = splice_once(from_fd, to->write_fd, max_bytes - done);
	}
	if (n == 0 && done == 0)
		return PIPE_IO_EOF;
	if (n < 0 && done == 0) {
		const int err = errno;

		/* EAGAIN: source empty or pipe full?  An empty pipe has room.  Any other may be
		 * full at one byte a slot, and only poll(2) knows.  When both are true FULL is the
		 * answer: after draining, the next call tells about the source. */
		if (err == EAGAIN && to->held_bytes > 0 && !has_free_slot(to))
			return PIPE_IO_FULL;
		return outcome_of_errno(err, PIPE_IO_EMPTY, ret_err);
	}
	to->held_bytes += done;
	*ret_bytes = done;
	return PIPE_IO_OK;
}

enum pipe_io pipe_splice_out(struct pipe *from, int to_fd, size_t bytes, size_t *ret_bytes,
			     int *ret_err)
{
	/* Never more than is held.  Since Linux 6.5 splice(2) feeds a socket 16 slots at a time and
	 * sets MSG_MORE as long as the length asked for is not reached: with a length larger than
	 * what 16, 32, ... slots hold, TCP corks the tail for 205 ms, TCP_NODELAY or not. */
	assert(bytes <= from->held_bytes);
	if (bytes == 0) {
		*ret_bytes = 0;
		return PIPE_IO_OK;
	}

	const ssize_t n = splice_once(from->read_fd, to_fd, bytes);
	if (n == 0)
		return outcome_of_drained(ret_err);
	if (n < 0) // the pipe holds bytes, so EAGAIN can only mean the socket
		return outcome_of_errno(errno, PIPE_IO_FULL, ret_err);
	from->held_bytes -= (size_t)n;
	*ret_bytes = (size_t)n;
	return PIPE_IO_OK;
}

enum pipe_io pipe_tee(struct pipe *from, struct pipe *to, size_t bytes, size_t *ret_bytes,
		      int *ret_err)
{
	assert(bytes <= from->held_bytes);
	if (bytes == 0) {
		*ret_bytes = 0;
		return PIPE_IO_OK;
	}

	const ssize_t n =
		TEMP_FAILURE_RETRY(tee(from->read_fd, to->write_fd, bytes, SPLICE_F_NONBLOCK));
	if (n == 0)
		return outcome_of_drained(ret_err);
	if (n < 0)
		return outcome_of_errno(errno, PIPE_IO_FULL, ret_err);
	to->held_bytes += (size_t)n;
	*ret_bytes = (size_t)n;
	return PIPE_IO_OK;
}

enum pipe_io pipe_move(struct pipe *from, struct pipe *to, size_t bytes, size_t *ret_bytes,
		       int *ret_err)
{
	assert(bytes <= from->held_bytes);
	if (bytes == 0) {
		*ret_bytes = 0;
		return PIPE_IO_OK;
	}

	const ssize_t n = splice_once(from->read_fd, to->write_fd, bytes);
	if (n == 0)
		return outcome_of_drained(ret_err);
	if (n < 0)
		return outcome_of_errno(errno, PIPE_IO_FULL, ret_err);
	from->held_bytes -= (size_t)n;
	to->held_bytes += (size_t)n;
	*ret_bytes = (size_t)n;
	return PIPE_IO_OK;
}

static ssize_t vmsplice_once(int to_fd, const uint8_t *bytes, size_t len)
{
	// struct iovec has no const, though the kernel only reads: this direction is into the pipe.
	const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

	return TEMP_FAILURE_RETRY(vmsplice(to_fd, &piece, 1, SPLICE_F_GIFT | SPLICE_F_NONBLOCK));
}

enum pipe_io pipe_gift(struct pipe *to, const void *bytes, size_t len, size_t *ret_bytes,
		       int *ret_err)
{
	size_t done = 0;

	/* vmsplice(2) may stop before the slots run out.  What went in cannot be taken back, so an
	 * errno after the first piece is left for the next call to find. */
	while (done < len) {
		const ssize_t n =
			vmsplice_once(to->write_fd, (const uint8_t *)bytes + done, len - done);

		if (n <= 0 && done > 0)
			break;
		if (n == 0)
			return PIPE_IO_FULL;
		if (n < 0)
			return outcome_of_errno(errno, PIPE_IO_FULL, ret_err);
		to->held_bytes += (size_t)n;
		done += (size_t)n;
	}
	*ret_bytes = done;
	return PIPE_IO_OK;
}

enum pipe_io pipe_write(struct pipe *to, const void *bytes, size_t len, size_t *ret_bytes,
			int *ret_err)
{
	const ssize_t n = TEMP_FAILURE_RETRY(write(to->write_fd, bytes, len));

	if (n < 0)
		return outcome_of_copy(errno, PIPE_IO_FULL, ret_err);
	to->held_bytes += (size_t)n;
	*ret_bytes = (size_t)n;
	return PIPE_IO_OK;
}

enum pipe_io pipe_read(struct pipe *from, void *to, size_t len, size_t *ret_bytes, int *ret_err)
{
	const ssize_t n = TEMP_FAILURE_RETRY(read(from->read_fd, to, len));

	if (n < 0)
		return outcome_of_copy(errno, PIPE_IO_EMPTY, ret_err);
	if (n == 0 && len > 0)
		return outcome_of_drained(ret_err);
	assert((size_t)n <= from->held_bytes);
	from->held_bytes -= (size_t)n;
	*ret_bytes = (size_t)n;
	return PIPE_IO_OK;
}

bool pipe_read_whole(struct pipe *from, void *to, size_t bytes)
{
	size_t filled = 0;

	while (filled < bytes) {
		size_t got = 0;
		int err = 0;

		if (pipe_read(from, (uint8_t *)to + filled, bytes - filled, &got, &err) !=
		    PIPE_IO_OK)
			return false;
		filled += got;
	}
	return true;
}

enum pipe_io pipe_discard(struct pipe *from, int null_fd, size_t bytes, size_t *ret_bytes,
			  int *ret_err)
{
	size_t left = bytes;

	assert(bytes <= from->held_bytes);
	while (left > 0) { // /dev/null is never full: one round, unless the call is refused
		const ssize_t n = splice_once(from->read_fd, null_fd, left);

		if (n <= 0)
			break;
		from->held_bytes -= (size_t)n;
		left -= (size_t)n;
	}
	while (left > 0) { // whatever stopped the splice, reading gets rid of the rest
		char sink[8192];
		size_t n;
		const enum pipe_io outcome =
			pipe_read(from, sink, size_min(left, sizeof(sink)), &n, ret_err);

		if (outcome == PIPE_IO_EMPTY)
			return outcome_of_drained(ret_err);
		if (outcome != PIPE_IO_OK)
			return outcome;
		left -= n;
	}
	*ret_bytes = bytes;
	return PIPE_IO_OK;
}
