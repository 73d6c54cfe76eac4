// SPDX-License-Identifier: MIT
/* sd_notify(3) and sd_watchdog_enabled(3) in relay's words.  Holds no state: libsystemd reads
 * NOTIFY_SOCKET and WATCHDOG_USEC from the environment each time, so both stay set. */
#include "daemon/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <systemd/sd-daemon.h>

#include "base/clock.h"

#define US_PER_MS 1000

void notify_ready(void)
{
	(void)sd_notify(0, "READY=1");
}

void notify_status(const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* A line break would start another assignment. */
	for (char *c = text; *c; c++) {
		if (*c == '\n')
			*c = ' ';
	}
	(void)sd_notifyf(0, "STATUS=%s", text);
}

void notify_reloading(void)
{
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns() / NS_PER_US);
}

void notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

void notify_watchdog(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}

uint64_t notify_watchdog_interval_ms(void)
{
	uint64_t timeout_us = 0;

	if (sd_watchdog_enabled(0, &timeout_us) <= 0)
		return 0;
	return u64_max(timeout_us / US_PER_MS / 2, 1);
}

void notify_extend_timeout(uint64_t timeout_ms)
{
	(void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64, timeout_ms * US_PER_MS);
}
