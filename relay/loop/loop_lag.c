// SPDX-License-Identifier: MIT
/* Loop lag: a check watcher that runs first, and a prepare watcher that runs last. */
#include "loop/loop_lag.h"

#include "base/clock.h"
#include "base/compiler.h"

const uint64_t loop_lag_bounds_us[LOOP_LAG_BUCKETS - 1] = {
	50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000};

static void on_woke(struct ev_loop *loop, ev_check *watcher, int events)
{
	struct loop_lag *lag = container_of(watcher, struct loop_lag, woke);

	(void)loop;
	(void)events;
	lag->woke_ns = clock_mono_ns();
}

static void on_sleeps(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct loop_lag *lag = container_of(watcher, struct loop_lag, sleeps);
	struct loop_lag_counts *counts = &lag->counts;
	uint64_t lag_us;
	int bucket = 0;

	(void)loop;
	(void)events;
	if (!lag->woke_ns)
		return;
	lag_us = (clock_mono_ns() - lag->woke_ns) / NS_PER_US;
	while (bucket < LOOP_LAG_BUCKETS - 1 && lag_us > loop_lag_bounds_us[bucket])
		bucket++;
	counts->buckets[bucket]++;
	counts->sum_us += lag_us;
	counts->max_us = u64_max(counts->max_us, lag_us);
}

void loop_lag_start(struct loop_lag *lag, struct ev_loop *loop)
{
	*lag = (struct loop_lag){.woke_ns = 0};
	ev_check_init(&lag->woke, on_woke);
	ev_set_priority(&lag->woke, EV_MAXPRI);
	ev_check_start(loop, &lag->woke);
	ev_unref(loop);
	ev_prepare_init(&lag->sleeps, on_sleeps);
	ev_set_priority(&lag->sleeps, EV_MINPRI);
	ev_prepare_start(loop, &lag->sleeps);
	ev_unref(loop);
}

void loop_lag_stop(struct loop_lag *lag, struct ev_loop *loop)
{
	ev_ref(loop);
	ev_check_stop(loop, &lag->woke);
	ev_ref(loop);
	ev_prepare_stop(loop, &lag->sleeps);
}

uint64_t loop_lag_total(const struct loop_lag_counts *counts)
{
	uint64_t total = 0;

	for (int i = 0; i < LOOP_LAG_BUCKETS; i++)
		total += counts->buckets[i];
	return total;
}

uint64_t loop_lag_quantile_us(const struct loop_lag_counts *counts, double share)
{
	double wanted = share * (double)loop_lag_total(counts);
	uint64_t seen = 0;

	for (int i = 0; i < LOOP_LAG_BUCKETS - 1; i++) {
		seen += counts->buckets[i];
		if ((double)seen >= wanted)
			return u64_min(loop_lag_bounds_us[i], counts->max_us);
	}
	return counts->max_us;
}
