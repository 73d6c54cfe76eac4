// SPDX-License-Identifier: MIT
/*
 * Churn: at any time all subscribers are there but those few that are just joining. Who leaves is
 * drawn at random from those that have got something, by RST and by FIN in turn.
 */
#include "soak.h"

#include "base/clock.h"
#include "tests/bench/cost.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_NS         NS_PER_MS
#define RAMP_PER_TICK   5
#define RAMP_LIMIT_NS   (60 * NS_PER_S)
#define SETTLE_NS       (2 * NS_PER_S)
#define FDS_LIMIT_NS    (5 * NS_PER_S)
#define RSS_EVERY_TICKS 250

struct churn {
	struct crowd crowd;
	struct soak_fds before, full, after;
	uint64_t ramp_p99_ns; /* join to first byte while all join at once */
	uint64_t rss_before, rss_full, rss_most;
	uint64_t not_attached; /* when the churn began */
	double churn_s;
	uint64_t churned;
	uint64_t random;
};

static uint64_t draw(struct churn *churn, uint64_t below)
{
	churn->random = churn->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (churn->random >> 33) % below;
}

static uint64_t count_missing(const struct crowd *crowd)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < crowd->params->subscribers; i++)
		count += crowd->members[i].fd < 0 || !crowd->members[i].has_first;
	return count;
}

static void note_rss(struct churn *churn)
{
	churn->rss_full = cost_read_rss(churn->crowd.params->relay_pid);
	if (churn->rss_full > churn->rss_most)
		churn->rss_most = churn->rss_full;
}

/* All join, some each tick. Returns 0 or -errno. */
static int ramp(struct churn *churn)
{
	struct crowd *crowd = &churn->crowd;
	uint64_t tick_ns = clock_mono_ns(), end_ns = tick_ns + RAMP_LIMIT_NS;
	uint64_t joined = 0, all = crowd->params->subscribers;
	int r = 0;

	while (r == 0 && (joined < all || count_missing(crowd)) && tick_ns < end_ns) {
		for (int i = 0; r == 0 && i < RAMP_PER_TICK && joined < all; i++)
			r = crowd_join(crowd, joined++, true);
		tick_ns += joined < all ? TICK_NS : 100 * TICK_NS;
		if (r == 0)
			r = crowd_run(crowd, tick_ns);
	}
	churn->not_attached = count_missing(crowd);
	churn->ramp_p99_ns = histogram_quantile(&crowd->first_byte, 0.99);
	crowd->first_byte = (struct histogram){0};
	return r;
}

/* One leaves and joins again as somebody new. */
static int replace_one(struct churn *churn)
{
	struct crowd *crowd = &churn->crowd;
	uint64_t all = crowd->params->subscribers, place = draw(churn, all);

	for (uint64_t i = 0; i < all && !crowd->members[place].has_first; i++)
		place = (place + 1) % all;
	crowd_leave(crowd, place, churn->churned++ % 2);
	return crowd_join(crowd, place, true);
}

static int churn_for(struct churn *churn, double seconds)
{
	uint64_t start_ns = clock_mono_ns(), rate = churn->crowd.params->churn;
	uint64_t end_ns = start_ns + (uint64_t)(seconds * (double)NS_PER_S);
	int r = 0;

	for (uint64_t tick = 1; r == 0 && clock_mono_ns() < end_ns; tick++) {
		uint64_t elapsed_ns = clock_mono_ns() - start_ns;

		while (r == 0 && churn->churned < elapsed_ns / NS_PER_MS * rate / 1000)
			r = replace_one(churn);
		if (r == 0)
			r = crowd_run(&churn->crowd, clock_mono_ns() + TICK_NS);
		if (tick % RSS_EVERY_TICKS == 0)
			note_rss(churn);
	}
	churn->churn_s = (double)(clock_mono_ns() - start_ns) / (double)NS_PER_S;
	return r;
}

static int run_plan(struct churn *churn)
{
	struct crowd *crowd = &churn->crowd;
	pid_t pid = crowd->params->relay_pid;
	int r = crowd_run(crowd, clock_mono_ns() + SETTLE_NS);

	if (r < 0)
		return r;
	soak_count_fds(pid, &churn->before);
	churn->rss_before = cost_read_rss(pid);
	r = ramp(churn);
	if (r == 0)
		r = churn_for(churn, crowd->params->seconds);
	if (r == 0)
		r = crowd_run(crowd, clock_mono_ns() + SETTLE_NS);
	note_rss(churn);
	soak_count_fds(pid, &churn->full);
	for (uint64_t i = 0; i < crowd->params->subscribers; i++)
		crowd_leave(crowd, i, i % 2);
	if (r == 0)
		soak_wait_sockets(crowd, churn->before.sockets, FDS_LIMIT_NS, &churn->after);
	return r;
}

static void print_result(const struct churn *churn)
{
	const struct crowd *crowd = &churn->crowd;
	double subscribers = (double)crowd->params->subscribers;

	printf("{\"plan\": \"churn\", \"subscribers\": %llu, \"not_attached\": %llu, ",
	       (unsigned long long)crowd->params->subscribers,
	       (unsigned long long)churn->not_attached);
	printf("\"joins\": %llu, \"leaves\": %llu, \"joins_per_s\": %.0f, \"bytes\": %llu, ",
	       (unsigned long long)crowd->joins, (unsigned long long)crowd->leaves,
	       (double)churn->churned / churn->churn_s, (unsigned long long)crowd->bytes);
	printf("\"foreign\": %llu, \"gaps\": %llu, \"cut_off\": %llu, ",
	       (unsigned long long)crowd->foreign, (unsigned long long)crowd->gaps,
	       (unsigned long long)crowd->cut_off);
	printf("\"sockets_before\": %llu, \"sockets_full\": %llu, \"sockets_after\": %llu, ",
	       (unsigned long long)churn->before.sockets, (unsigned long long)churn->full.sockets,
	       (unsigned long long)churn->after.sockets);
	printf("\"others_before\": %llu, \"others_full\": %llu, \"others_after\": %llu, ",
	       (unsigned long long)churn->before.others, (unsigned long long)churn->full.others,
	       (unsigned long long)churn->after.others);
	printf("\"rss_before\": %llu, \"rss_full\": %llu, \"rss_most\": %llu, "
	       "\"rss_per_subscriber\": %.0f, ",
	       (unsigned long long)churn->rss_before, (unsigned long long)churn->rss_full,
	       (unsigned long long)churn->rss_most,
	       ((double)churn->rss_most - (double)churn->rss_before) / subscribers);
	printf("\"first_byte_p50_ms\": %.2f, \"first_byte_p99_ms\": %.2f, "
	       "\"first_byte_max_ms\": %.2f, \"ramp_p99_ms\": %.2f}\n",
	       (double)histogram_quantile(&crowd->first_byte, 0.5) / 1e6,
	       (double)histogram_quantile(&crowd->first_byte, 0.99) / 1e6,
	       (double)crowd->first_byte.max / 1e6, (double)churn->ramp_p99_ns / 1e6);
}

int soak_run_churn(const struct soak_params *params)
{
	struct churn *churn = calloc(1, sizeof(*churn));
	int r;

	if (!churn)
		return -ENOMEM;
	churn->random = 1;
	r = crowd_open(&churn->crowd, params);
	if (r == 0)
		r = run_plan(churn);
	if (r == 0)
		print_result(churn);
	else
		fprintf(stderr, "relay-soak: churn: %s\n", strerror(-r));
	crowd_close(&churn->crowd);
	free(churn);
	return r;
}
