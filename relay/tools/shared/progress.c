// SPDX-License-Identifier: MIT
/* One line that is drawn over itself: carriage return, text, erase to the end of the line. */
#include "tools/shared/progress.h"

#include "base/clock.h"
#include "base/num.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void progress_init(struct progress *progress, uint64_t now_ns)
{
	*progress = (struct progress){.start_ns = now_ns, .last_ns = now_ns};
}

bool progress_is_due(const struct progress *progress, uint64_t now_ns)
{
	return now_ns - progress->last_ns >= NS_PER_S;
}

int progress_wait_ms(const struct progress *progress, uint64_t now_ns)
{
	uint64_t gone_ns = u64_min(now_ns - progress->last_ns, NS_PER_S);

	return (int)((NS_PER_S - gone_ns + NS_PER_MS - 1) / NS_PER_MS);
}

struct progress_rates progress_take_rates(struct progress *progress, uint64_t now_ns,
					  uint64_t bytes, uint64_t messages)
{
	double seconds = (double)u64_max(now_ns - progress->last_ns, 1) / (double)NS_PER_S;
	struct progress_rates rates = {
		.bytes_per_s = (uint64_t)((double)(bytes - progress->last_bytes) / seconds),
		.messages_per_s =
			(uint64_t)((double)(messages - progress->last_messages) / seconds),
	};

	progress->last_ns = now_ns;
	progress->last_bytes = bytes;
	progress->last_messages = messages;
	return rates;
}

static size_t terminal_columns(void)
{
	struct winsize size = {0};

	// A terminal that does not know its width (0) is taken for the usual one.
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

void progress_draw(struct progress *progress, const char *fmt, ...)
{
	char line[256];
	va_list arguments;

	va_start(arguments, fmt);
	(void)vsnprintf(line, sizeof line, fmt, arguments);
	va_end(arguments);
	// A line that wraps cannot be drawn over.
	(void)fprintf(stderr, "\r%.*s\033[K", (int)(terminal_columns() - 1), line);
	progress->is_drawn = true;
}

void progress_clear(struct progress *progress)
{
	if (progress->is_drawn)
		(void)fputs("\r\033[K", stderr);
	progress->is_drawn = false;
}

const char *progress_print_bytes(char *buf, uint64_t bytes)
{
	char *unit;

	num_print_rate(buf, NUM_PRINT_BYTES, bytes);
	unit = strstr(buf, "/s");
	if (unit)
		*unit = '\0';
	return buf;
}
