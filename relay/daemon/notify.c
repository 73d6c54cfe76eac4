// SPDX-License-Identifier: MIT
/* The protocol of sd_notify(3), and sd_watchdog_enabled(3), in relay's words.  Holds no state:
 * NOTIFY_SOCKET and WATCHDOG_USEC are read from the environment each time, so both stay set. */
#include "daemon/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/handover_bag.h"
#include "daemon/notify_socket.h"

#define US_PER_MS 1000
#define BUS_US    2000000

enum {
	STATUS_BYTES = 264, /* with its name */
};

static int send_text(const char *text, int fd, int flags)
{
	struct notify_socket notify;
	int r = notify_socket_open(&notify);

	if (r == 0)
		r = notify_socket_send(&notify, text, fd, flags);
	fd_close(&notify.fd);
	return r;
}

/* What does not go at once is lost. */
static int tell(const char *text)
{
	return send_text(text, -1, MSG_DONTWAIT);
}

bool notify_ready(void)
{
	return tell("READY=1") != -EAGAIN;
}

void notify_status(const char *fmt, ...)
{
	char text[STATUS_BYTES] = "STATUS=";
	size_t name_bytes = strlen(text);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text + name_bytes, sizeof(text) - name_bytes, fmt, args);
	va_end(args);
	/* A line break would start another assignment. */
	for (char *c = text; *c; c++) {
		if (*c == '\n')
			*c = ' ';
	}
	(void)tell(text);
}

void notify_reloading(void)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		       clock_mono_ns() / NS_PER_US);
	(void)tell(text);
}

void notify_stopping(void)
{
	(void)tell("STOPPING=1");
}

void notify_watchdog(void)
{
	(void)tell("WATCHDOG=1");
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
	char text[64];

	(void)snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%" PRIu64, timeout_ms * US_PER_MS);
	(void)tell(text);
}

int notify_store(const char *name, int fd)
{
	char text[128];

	/* FDPOLL=0: else the manager drops what it finds hung up. */
	(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	return send_text(text, fd, 0);
}

/* The manager closes the descriptor that comes with it (sd_notify(3)); the other end sees that. */
int notify_barrier(void)
{
	struct pollfd taken;
	int ends[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	r = send_text("BARRIER=1", ends[0], 0);
	fd_close(&ends[0]);
	taken = (struct pollfd){.fd = ends[1]};
	if (r == 0 && poll(&taken, 1, NOTIFY_SOCKET_MS) <= 0)
		r = -ETIMEDOUT;
	fd_close(&ends[1]);
	return r;
}

void notify_unstore(void)
{
	(void)tell("FDSTOREREMOVE=1\nFDNAME=" HANDOVER_STATE_NAME);
	(void)tell("FDSTOREREMOVE=1\nFDNAME=" HANDOVER_IN_NAME);
	(void)tell("FDSTOREREMOVE=1\nFDNAME=" HANDOVER_OUT_NAME);
}

/* The type of the job of our unit: "restart", "stop", ...; NULL: none, or not to be had. */
static char *job_type(sd_bus *bus)
{
	static const char name[] = "org.freedesktop.systemd1";
	sd_bus_message *unit_reply = NULL, *job_reply = NULL;
	const char *unit = NULL, *job = NULL;
	uint32_t id = 0;
	char *type = NULL;

	if (sd_bus_call_method(bus, name, "/org/freedesktop/systemd1",
			       "org.freedesktop.systemd1.Manager", "GetUnitByPID", NULL,
			       &unit_reply, "u", (uint32_t)getpid()) >= 0 &&
	    sd_bus_message_read(unit_reply, "o", &unit) > 0 &&
	    sd_bus_get_property(bus, name, unit, "org.freedesktop.systemd1.Unit", "Job", NULL,
				&job_reply, "(uo)") >= 0 &&
	    sd_bus_message_read(job_reply, "(uo)", &id, &job) > 0 && id != 0 &&
	    sd_bus_get_property_string(bus, name, job, "org.freedesktop.systemd1.Job", "JobType",
				       NULL, &type) < 0)
		type = NULL;
	(void)sd_bus_message_unref(unit_reply);
	(void)sd_bus_message_unref(job_reply);
	return type;
}

bool notify_is_restart(void)
{
	sd_bus *bus = NULL;
	char *type = NULL;
	bool is_restart;
	int r;

	if (!getenv("NOTIFY_SOCKET"))
		return false;
	r = sd_bus_open_system(&bus);
	if (r < 0) {
		log_warn("D-Bus does not say whether this is a restart: %s; taking it for a stop",
			 strerror(-r));
		return false;
	}
	if (sd_bus_set_method_call_timeout(bus, BUS_US) >= 0)
		type = job_type(bus);
	is_restart = type && strcmp(type, "restart") == 0;
	free(type);
	(void)sd_bus_flush_close_unref(bus);
	return is_restart;
}
