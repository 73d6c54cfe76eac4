// SPDX-License-Identifier: MIT
/*
 * The judgement, from the surest sign to the weakest.  tcp_info is taken from <linux/tcp.h>, since
 * that of <netinet/tcp.h> ends before the fields that matter; a kernel that is older than one of
 * them leaves it zero.
 */
#include "fanout/slow_cause.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

const char *slow_cause_name(enum slow_cause cause)
{
	static const char *const names[] = {
#define CAUSE(id, name, text) name,
#include "fanout/slow_cause.def"
	};

	return names[cause];
}

/* The next segment does not fit into what the subscriber is ready to take. */
static bool is_window_closed(const struct slow_signs *signs)
{
	uint64_t in_flight = signs->queued_bytes - signs->unsent_bytes;

	return signs->unsent_bytes && in_flight + signs->segment_bytes > signs->window_bytes;
}

enum slow_cause slow_cause_judge(const struct slow_signs *signs)
{
	if (!signs->is_tcp)
		return CAUSE_UNKNOWN;
	if (signs->retransmits || signs->lost_segments)
		return CAUSE_NETWORK;
	if (signs->window_probes || is_window_closed(signs))
		return CAUSE_RECEIVE_WINDOW;
	/* Nothing holds it up at this moment, perhaps since a moment ago; what did until now? */
	if (signs->window_us > signs->busy_us / 2)
		return CAUSE_RECEIVE_WINDOW;
	if (!signs->queued_bytes)
		return CAUSE_RELAY;
	if (signs->send_buffer_us > signs->busy_us / 2)
		return CAUSE_RELAY;
	return CAUSE_NETWORK;
}

bool slow_signs_is_window_shut(const struct slow_signs *signs)
{
	bool is_in_flight = signs->queued_bytes > signs->unsent_bytes;

	return signs->is_tcp && signs->unsent_bytes && (!is_in_flight || !signs->window_bytes);
}

bool slow_signs_has_unsent(int fd)
{
	int unsent = 0;

	return ioctl(fd, SIOCOUTQNSD, &unsent) == 0 && unsent > 0;
}

void slow_cause_read(int fd, struct slow_signs *ret)
{
	struct tcp_info info = {0};
	socklen_t bytes = sizeof(info);
	int queued = 0;

	*ret = (struct slow_signs){0};
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0)
		return;
	if (ioctl(fd, SIOCOUTQ, &queued) < 0 || queued < 0)
		queued = 0;
	*ret = (struct slow_signs){
		.is_tcp = true,
		.queued_bytes = (uint64_t)queued,
		.unsent_bytes = info.tcpi_notsent_bytes,
		.window_bytes = info.tcpi_snd_wnd,
		.segment_bytes = info.tcpi_snd_mss,
		.lost_segments = info.tcpi_lost,
		.retransmits = info.tcpi_retransmits,
		.window_probes = info.tcpi_probes,
		.busy_us = info.tcpi_busy_time,
		.window_us = info.tcpi_rwnd_limited,
		.send_buffer_us = info.tcpi_sndbuf_limited,
	};
	/* The two calls are not one: what was sent in between must not become negative. */
	if (ret->unsent_bytes > ret->queued_bytes)
		ret->unsent_bytes = ret->queued_bytes;
}

enum slow_cause slow_cause_of(int fd)
{
	struct slow_signs signs;

	slow_cause_read(fd, &signs);
	return slow_cause_judge(&signs);
}
