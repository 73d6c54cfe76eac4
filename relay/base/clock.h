// SPDX-License-Identifier: MIT
/*
 * The only place where relay asks what time it is.
 *
 * Everybody else gets a time as an argument, so a test needs no clock of its own. Monotonic time is
 * for intervals; wall time goes into packet headers and log lines, and may jump.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* CLOCK_MONOTONIC, clock_gettime(2); never 0. */
uint64_t clock_mono_ns(void);

/* CLOCK_REALTIME: nanoseconds since 1970-01-01 UTC. */
uint64_t clock_wall_ns(void);

/* The monotonic time of a wall time, as the two clocks stand now, to less than a microsecond; 1 for
 * one before the machine was started. */
uint64_t clock_mono_of_wall(uint64_t wall_ns);

/* The reverse. */
uint64_t clock_wall_of_mono(uint64_t mono_ns);

/* CLOCK_THREAD_CPUTIME_ID: what the calling thread has worked.  A system call. */
uint64_t clock_thread_ns(void);

/* "2026-01-02T03:04:05.678Z" (RFC 3339) of wall time.  Returns buf; CLOCK_UTC_BYTES is enough. */
#define CLOCK_UTC_BYTES 32
const char *clock_print_utc(char *buf, size_t size, uint64_t wall_ns);

/* The reverse: UTC with its Z, with up to 9 digits behind the point or without a point, from 1970
 * on.  0 or -EINVAL. */
int clock_parse_utc(const char *text, uint64_t *ret_wall_ns) must_check;

/* "Sun, 06 Nov 1994 08:49:37 GMT" (IMF-fixdate; RFC 9110, 5.6.7), whatever the language here is,
 * for any time there is.  Returns buf. */
#define CLOCK_DATE_BYTES 48
const char *clock_print_date(char *buf, size_t size, uint64_t wall_ns);
