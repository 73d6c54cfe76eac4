// SPDX-License-Identifier: MIT
/*
 * The only place where relay asks what time it is: clock_gettime(2), through the vDSO, so a call
 * costs some tens of nanoseconds and no system call. Both clocks exist on every Linux, so a failure
 * is not a case that callers could handle: it reads as time 1.
 */
#include "base/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t clock)
{
	struct timespec ts = {.tv_nsec = 1};

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

/* The thread may lose the CPU between two reads, for milliseconds: the narrowest of some pairs of
 * reads of one clock tells best what the other one showed between them. */
static int64_t wall_ahead_of_mono(void)
{
	uint64_t narrowest = UINT64_MAX, before, wall, after;
	int64_t ahead = 0;

	for (int i = 0; i < 4; i++) {
		before = clock_mono_ns();
		wall = clock_wall_ns();
		after = clock_mono_ns();
		if (after - before >= narrowest)
			continue;
		narrowest = after - before;
		ahead = (int64_t)(wall - (before + narrowest / 2));
	}
	return ahead;
}

uint64_t clock_mono_of_wall(uint64_t wall_ns)
{
	int64_t mono = (int64_t)wall_ns - wall_ahead_of_mono();

	return mono > 0 ? (uint64_t)mono : 1;
}

uint64_t clock_wall_of_mono(uint64_t mono_ns)
{
	return (uint64_t)((int64_t)mono_ns + wall_ahead_of_mono());
}

uint64_t clock_thread_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

const char *clock_print_utc(char *buf, size_t size, uint64_t wall_ns)
{
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		 (unsigned)(wall_ns % NS_PER_S / NS_PER_MS));
	return buf;
}

/* Takes exactly `digits` of them, and the character behind. */
static bool take_number(const char **text, int digits, char behind, int *ret)
{
	*ret = 0;
	for (; digits > 0; digits--, (*text)++) {
		if (**text < '0' || **text > '9')
			return false;
		*ret = *ret * 10 + (**text - '0');
	}
	return *(*text)++ == behind;
}

/* From behind the point on; *text is left behind the digits. */
static bool take_fraction(const char **text, uint64_t *ret_ns)
{
	uint64_t unit = NS_PER_S;

	for (*ret_ns = 0; **text >= '0' && **text <= '9'; (*text)++) {
		unit /= 10;
		if (!unit)
			return false;
		*ret_ns += unit * (uint64_t)(**text - '0');
	}
	return unit < NS_PER_S;
}

int clock_parse_utc(const char *text, uint64_t *ret_wall_ns)
{
	struct tm tm = {0}, real;
	uint64_t fraction = 0;
	time_t seconds;

	if (!take_number(&text, 4, '-', &tm.tm_year) || !take_number(&text, 2, '-', &tm.tm_mon) ||
	    !take_number(&text, 2, 'T', &tm.tm_mday) || !take_number(&text, 2, ':', &tm.tm_hour) ||
	    !take_number(&text, 2, ':', &tm.tm_min))
		return -EINVAL;
	if (!take_number(&text, 2, 'Z', &tm.tm_sec) &&
	    (text[-1] != '.' || !take_fraction(&text, &fraction) || *text++ != 'Z'))
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	real = tm;
	seconds = timegm(&real);
	/* What is no day or time of the calendar becomes another one. */
	if (*text || seconds < 0 || (uint64_t)seconds > INT64_MAX / NS_PER_S - 1 ||
	    real.tm_mon != tm.tm_mon || real.tm_mday != tm.tm_mday || real.tm_hour != tm.tm_hour ||
	    real.tm_min != tm.tm_min || real.tm_sec != tm.tm_sec)
		return -EINVAL;
	*ret_wall_ns = (uint64_t)seconds * NS_PER_S + fraction;
	return 0;
}

const char *clock_print_date(char *buf, size_t size, uint64_t wall_ns)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	(void)snprintf(buf, size, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
		       tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		       tm.tm_sec);
	return buf;
}
