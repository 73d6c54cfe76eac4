// SPDX-License-Identifier: MIT
/* Gathering: a timer, and the low-water mark of the socket. */
#include "source/gathering.h"

#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "net/sockopt.h"

static const uint64_t LOOK_EVERY_NS = 10 * NS_PER_MS;

uint32_t gathering_load_change(uint32_t now_ms, uint64_t worked_ns, uint64_t passed_ns,
			       uint32_t limit_ms)
{
	if (worked_ns > passed_ns / 4 && now_ms < limit_ms)
		return now_ms + 1;
	if (now_ms > limit_ms || (worked_ns < passed_ns / 8 && now_ms))
		return now_ms - 1;
	return now_ms;
}

uint32_t gathering_skips_change(uint32_t now, uint64_t begun_bytes, uint64_t due_bytes)
{
	if (due_bytes / GATHERING_WORTH >= begun_bytes)
		return 0;
	return now < GATHERING_SKIPS_MOST / 2 ? 2 * now + 1 : GATHERING_SKIPS_MOST;
}

/* The thread that asks is the one that serves the feed. */
static void look_at_load(struct gathering *gathering)
{
	uint64_t now_ns = clock_mono_ns(), thread_ns;
	uint64_t passed_ns = now_ns - gathering->looked_ns;
	uint32_t limit_ms = gathering->params.time_ms < GATHERING_AUTO_MS
				    ? gathering->params.time_ms
				    : GATHERING_AUTO_MS;

	if (passed_ns < LOOK_EVERY_NS)
		return;
	thread_ns = clock_thread_ns();
	if (gathering->looked_ns)
		gathering->auto_ms = gathering_load_change(
			gathering->auto_ms, thread_ns - gathering->thread_ns, passed_ns, limit_ms);
	gathering->looked_ns = now_ns;
	gathering->thread_ns = thread_ns;
}

/* One of the pieces that are not held, since holding was not worth it. */
static bool skips(struct gathering *gathering)
{
	if (!gathering->params.is_auto || gathering->skips_left == 0)
		return false;
	gathering->skips_left--;
	return true;
}

/* What is held at most: in ms, 0: not at all. */
static uint32_t limit_ms(struct gathering *gathering)
{
	const struct gathering_params *params = &gathering->params;

	if (params->is_auto && !gathering->can_tell)
		return 0;
	if (params->is_auto) {
		look_at_load(gathering);
		return gathering->auto_ms;
	}
	if (params->bytes == 0)
		return 0;
	if (!gathering->can_tell && params->time_ms > GATHERING_BLIND_MS)
		return GATHERING_BLIND_MS;
	return params->time_ms;
}

static uint64_t enough_bytes(const struct gathering *gathering)
{
	return gathering->params.is_auto ? GATHERING_AUTO_BYTES : gathering->params.bytes;
}

static uint64_t queued_bytes(const struct gathering *gathering)
{
	int bytes = 0;

	return ioctl(gathering->fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (uint64_t)bytes : 0;
}

/* False: nothing was held. */
static bool let_go(struct gathering *gathering)
{
	if (!gathering->since_ns || gathering->is_due)
		return false;
	ev_timer_stop(gathering->loop, &gathering->timer);
	if (gathering->can_tell)
		sockopt_clear_low_water(gathering->fd);
	gathering->is_deaf = false;
	gathering->is_due = true;
	gathering->due_bytes = queued_bytes(gathering);
	gathering->skips = gathering_skips_change(gathering->skips, gathering->begun_bytes,
						  gathering->due_bytes);
	gathering->skips_left = gathering->skips;
	return true;
}

uint64_t gathering_let_go(struct gathering *gathering)
{
	return let_go(gathering) ? gathering->due_bytes : 0;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct gathering *gathering = container_of(timer, struct gathering, timer);

	(void)loop;
	(void)events;
	(void)let_go(gathering);
	gathering->on_due(gathering);
}

void gathering_init(struct gathering *gathering, struct ev_loop *loop,
		    const struct gathering_params *params,
		    void (*on_due)(struct gathering *gathering))
{
	*gathering = (struct gathering){
		.params = *params,
		.fd = -1,
		.loop = loop,
		.on_due = on_due,
	};
	ev_timer_init(&gathering->timer, on_timer, 0., 0.);
}

void gathering_change(struct gathering *gathering, const struct gathering_params *params)
{
	gathering->params = *params;
	gathering->auto_ms = 0;
	(void)let_go(gathering);
}

void gathering_begin(struct gathering *gathering, int fd)
{
	gathering->fd = fd;
	gathering->can_tell = sockopt_is_tcp(fd);
	/* The look at the first bytes may have left another one, or the process before. */
	if (gathering->can_tell)
		sockopt_clear_low_water(fd);
}

void gathering_end(struct gathering *gathering)
{
	(void)let_go(gathering);
	gathering->is_due = false;
	gathering->since_ns = 0;
	gathering->fd = -1;
}

bool gathering_holds(struct gathering *gathering, uint64_t left_bytes)
{
	uint64_t enough = u64_min(enough_bytes(gathering), left_bytes);
	uint32_t ms;
	uint64_t queued;

	if (gathering->fd < 0 || gathering->is_due)
		return false;
	/* Enough has come, or the end. */
	if (let_go(gathering))
		return false;
	ms = limit_ms(gathering);
	if (ms == 0 || skips(gathering))
		return false;
	queued = queued_bytes(gathering);
	if (queued == 0 || queued >= enough)
		return false;
	gathering->begun_bytes = queued;
	gathering->since_ns = clock_wall_ns();
	gathering->is_deaf = !gathering->can_tell;
	if (gathering->can_tell)
		sockopt_set_low_water(gathering->fd, enough);
	ev_timer_set(&gathering->timer, ms * 1e-3, 0.);
	ev_timer_start(gathering->loop, &gathering->timer);
	return true;
}

void gathering_note_take(struct gathering *gathering, uint64_t bytes)
{
	gathering->since_ns = 0;
	if (!gathering->is_due)
		return;
	gathering->due_bytes -= u64_min(bytes, gathering->due_bytes);
	/* What stands around the chunks of a body is not counted among `bytes`. */
	if (gathering->due_bytes == 0 || queued_bytes(gathering) == 0)
		gathering->is_due = false;
}
