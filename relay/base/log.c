// SPDX-License-Identifier: MIT
/*
 * Lines for the operator, to standard error.
 *
 * A line is put together on the stack. It goes out with one write(2), so lines of several threads
 * do not mix. Before log_start(), who logs writes it; behind that, the thread of log_writer.c does.
 *
 * Whether standard error is the journal is found out once, with the first line; if so, a line goes
 * to the journal's own socket, with fields, and to standard error when that does not take it.
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
#include "base/log_writer.h"

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

static void printf_like(3, 0)
	make_line(struct log_line *ret, enum log_level level, const char *fmt, va_list args)
{
	char text[LOG_LINE_BYTES];
	size_t prefix = print_prefix(ret->text, sizeof(ret->text), level);

	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = '\0';
	ret->priority = levels[level].priority;
	ret->prefix_bytes = (uint32_t)prefix;
	ret->bytes = (uint32_t)(prefix + escape(ret->text + prefix, LOG_LINE_BYTES, text));
}

/* Standard error may be non-blocking, since another process shares it: then poll(2) waits. */
static bool write_stderr(const char *bytes, size_t count)
{
	struct pollfd writable = {.fd = STDERR_FILENO, .events = POLLOUT};

	while (count > 0) {
		ssize_t n = write(STDERR_FILENO, bytes, count);

		if (n >= 0) {
			bytes += n;
			count -= (size_t)n;
		} else if (errno == EAGAIN) {
			(void)poll(&writable, 1, -1);
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

static bool write_line(struct log_line *line)
{
	line->text[line->bytes] = '\0';
	if (is_journal() && send_to_journal(line->priority, line->text + line->prefix_bytes))
		return true;
	line->text[line->bytes] = '\n';
	return write_stderr(line->text, line->bytes + 1);
}

static void printf_like(3, 4)
	print_to(struct log_line *ret, enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	make_line(ret, level, fmt, args);
	va_end(args);
}

static void print_lost(struct log_line *ret, uint64_t lost)
{
	print_to(ret, LOG_LEVEL_WARN, "log lines lost count=%llu, standard error did not take them",
		 (unsigned long long)lost);
}

static const struct log_output output = {.write = write_line, .print_lost = print_lost};
static struct log_writer writer = LOG_WRITER_INIT(&output);

static void printf_like(2, 0) print_line(enum log_level level, const char *fmt, va_list args)
{
	int saved_errno = errno;
	struct log_line line;

	if (!is_on(level))
		return;
	make_line(&line, level, fmt, args);
	if (!log_writer_put(&writer, &line))
		(void)write_line(&line);
	errno = saved_errno;
}

int log_start(void)
{
	return log_writer_start(&writer);
}

void log_flush(uint64_t timeout_ms)
{
	log_writer_flush(&writer, timeout_ms);
}

uint64_t log_lost(void)
{
	return log_writer_lost(&writer);
}

/* journald reads from /proc/PID/cgroup of which unit a sender is (systemd.journal-fields(7)), when
 * it takes the datagram. It takes one after the other: when the empty one, which it ignores, is no
 * longer in the queue (SIOCOUTQ, unix(7)), it has looked at the sender of all before. */
void log_settle(void)
{
	const uint64_t end_ns = clock_mono_ns() + LOG_SETTLE_MS * NS_PER_MS;
	bool is_marked = false;
	int fd;
	int queued = 1;

	log_flush(LOG_FLUSH_MS);
	fd = atomic_load(&journal_fd);
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
