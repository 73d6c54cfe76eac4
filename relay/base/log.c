// SPDX-License-Identifier: MIT
/*
 * Lines for the operator, to standard error.
 *
 * A line is put together on the stack and goes out with one write(2), so lines of several threads
 * do not mix. Whether standard error is the journal is found out once, with the first line; if so,
 * a line goes to the journal's own socket, with fields, and to standard error when that does not
 * take it.
 */
#include "base/log.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/journal.h"

static const struct {
	const char *name;
	int priority; /* syslog(3) */
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", 3},
	[LOG_LEVEL_WARN] = {"warning", 4},
	[LOG_LEVEL_INFO] = {"info", 6},
	[LOG_LEVEL_DEBUG] = {"debug", 7},
};

enum journal {
	JOURNAL_UNKNOWN,
	JOURNAL_NO,
	JOURNAL_YES,
};

static _Atomic int limit = LOG_LEVEL_INFO;
static _Atomic int journal = JOURNAL_UNKNOWN;
static _Atomic int journal_fd = -1;

void log_set_level(enum log_level level)
{
	atomic_store(&limit, (int)level);
}

static bool is_on(enum log_level level)
{
	return (int)level <= atomic_load(&limit);
}

/* JOURNAL_STREAM alone proves nothing: it is inherited by children whose stderr is elsewhere. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

static bool is_journal(void)
{
	if (atomic_load(&journal) == JOURNAL_UNKNOWN)
		atomic_store(&journal, stderr_is_journal() ? JOURNAL_YES : JOURNAL_NO);
	return atomic_load(&journal) == JOURNAL_YES;
}

/* The socket for all datagrams to the journal; -1 when there is no descriptor for it. */
static int journal_socket(void)
{
	int none = -1;
	int fd = atomic_load(&journal_fd);

	if (fd >= 0)
		return fd;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || atomic_compare_exchange_strong(&journal_fd, &none, fd))
		return fd;
	fd_close(&fd); /* another thread was first */
	return none;
}

/* By address each time, so that a journald that was restarted is found. Does not wait. */
static bool send_datagram(int fd, const void *bytes, size_t count)
{
	static const struct sockaddr_un address = {AF_UNIX, "/run/systemd/journal/socket"};

	return sendto(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT,
		      (const struct sockaddr *)&address, sizeof(address)) >= 0;
}

static bool send_to_journal(int priority, const char *text)
{
	char entry[2 * LOG_LINE_BYTES + JOURNAL_WORDS_MAX * 8];
	size_t bytes = journal_encode(entry, sizeof(entry), priority, text);
	int fd = journal_socket();

	return fd >= 0 && bytes > 0 && send_datagram(fd, entry, bytes);
}

static size_t print_prefix(char *out, size_t size, enum log_level level)
{
	char time[CLOCK_UTC_BYTES];
	int n;

	if (is_journal()) {
		n = snprintf(out, size, "<%d>", levels[level].priority);
		return (size_t)n;
	}
	n = snprintf(out, size, "%s %s ", clock_print_utc(time, sizeof(time), clock_wall_ns()),
		     levels[level].name);
	return (size_t)n;
}

/* Copy text with its control bytes as \xNN, as far as it goes into size bytes; returns how far. */
static size_t escape(char *out, size_t size, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (n + 4 > size) {
			for (size_t i = n < 3 ? 0 : n - 3; i < n; i++)
				out[i] = '.';
			break;
		}
		if (c >= 0x20 && c != 0x7f) {
			out[n++] = *p;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return n;
}

static void printf_like(2, 0) print_line(enum log_level level, const char *fmt, va_list args)
{
	char text[LOG_LINE_BYTES];
	char line[LOG_LINE_BYTES + 128];
	int saved_errno = errno;
	size_t prefix, n;

	if (!is_on(level))
		return;
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		return;
	prefix = print_prefix(line, sizeof(line), level);
	n = prefix + escape(line + prefix, LOG_LINE_BYTES, text);
	line[n] = '\0';
	if (!is_journal() || !send_to_journal(levels[level].priority, line + prefix)) {
		line[n++] = '\n';
		(void)TEMP_FAILURE_RETRY(write(STDERR_FILENO, line, n));
	}
	errno = saved_errno;
}

/* journald reads from /proc/PID/cgroup of which unit a sender is (systemd.journal-fields(7)), when
 * it takes the datagram. It takes one after the other: when the empty one, which it ignores, is no
 * longer in the queue (SIOCOUTQ, unix(7)), it has looked at the sender of all before. */
void log_settle(void)
{
	const uint64_t end_ns = clock_mono_ns() + LOG_SETTLE_MS * NS_PER_MS;
	int fd = atomic_load(&journal_fd);
	bool is_marked = false;
	int queued = 1;

	while (fd >= 0 && queued > 0 && clock_mono_ns() < end_ns) {
		if (!is_marked)
			is_marked = send_datagram(fd, "", 0);
		if (!is_marked && errno != EAGAIN)
			return;
		(void)poll(NULL, 0, 1);
		if (is_marked && ioctl(fd, SIOCOUTQ, &queued) < 0)
			return;
	}
}

void log_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(LOG_LEVEL_ERROR, fmt, args);
	va_end(args);
}

void log_warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(LOG_LEVEL_WARN, fmt, args);
	va_end(args);
}

void log_info(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(LOG_LEVEL_INFO, fmt, args);
	va_end(args);
}

void log_debug(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(LOG_LEVEL_DEBUG, fmt, args);
	va_end(args);
}
