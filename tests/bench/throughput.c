// SPDX-License-Identifier: MIT
/*
 * Throughput mode: publish as fast as the flow window lets it, read as fast as it comes, never
 * sleep. A load that sleeps has to be woken, and the waking is charged to the server. The time of
 * turns that found nothing to do is counted, so the machine's CPU can be told without the spinning.
 */
#include "base/clock.h"
#include "bench.h"
#include "cost.h"
#include "load.h"

#include <stdio.h>
#include <string.h>

#define PUBLISH_BYTES_PER_TURN (UINT64_C(256) << 10)

struct interval {
	uint64_t start_ns;
	uint64_t delivered;
	uint64_t published;
	struct cost cost;
};

static void read_interval(const struct load *load, struct interval *ret)
{
	ret->start_ns = clock_mono_ns();
	ret->delivered = load->delivered;
	ret->published = load->published;
	cost_read(load->params->server_pid, &ret->cost);
}

/* Runs for that long; the time spent on nothing goes to *ret_idle_ns. Returns 0 or -errno. */
static int run_for(struct load *load, double seconds, uint64_t *ret_idle_ns)
{
	uint64_t now_ns = clock_mono_ns();
	uint64_t end_ns = now_ns + (uint64_t)(seconds * (double)NS_PER_S);

	*ret_idle_ns = 0;
	while (now_ns < end_ns) {
		uint64_t window_end = load_slowest(load) + load->params->window;
		int64_t sent = load_publish(load, PUBLISH_BYTES_PER_TURN, window_end);
		uint64_t came = load_receive(load, NULL, 0);
		uint64_t turn_ns = clock_mono_ns();

		if (sent < 0)
			return (int)sent;
		if (!sent && !came)
			*ret_idle_ns += turn_ns - now_ns;
		now_ns = turn_ns;
	}
	return 0;
}

static void print_result(const struct load *load, const struct interval *from,
			 const struct interval *to, uint64_t idle_ns, uint64_t lost)
{
	const struct bench_params *params = load->params;
	double seconds = (double)(to->start_ns - from->start_ns) / (double)NS_PER_S;
	double bytes = (double)(to->delivered - from->delivered);
	double gigabytes = bytes > 0 ? bytes / 1e9 : 1e-9;
	double server_s = to->cost.server_s - from->cost.server_s;
	double system_s = to->cost.system_s - from->cost.system_s;
	double idle_s = (double)idle_ns / (double)NS_PER_S;

	printf("{\"mode\": \"throughput\", \"subscribers\": %llu, \"size\": %llu, ",
	       (unsigned long long)params->subscribers, (unsigned long long)params->size);
	printf("\"seconds\": %.3f, \"bytes_per_s\": %.0f, \"messages_per_s\": %.0f, ", seconds,
	       bytes / seconds, bytes / (double)params->size / seconds);
	printf("\"published_bytes_per_s\": %.0f, ",
	       (double)(to->published - from->published) / seconds);
	printf("\"server_cpu_s_per_gb\": %.5f, \"system_cpu_s_per_gb\": %.5f, ",
	       server_s / gigabytes, system_s / gigabytes);
	printf("\"system_work_s_per_gb\": %.5f, ", (system_s - idle_s) / gigabytes);
	printf("\"server_busy\": %.3f, \"load_idle\": %.3f, \"others_cpu\": %.3f, ",
	       server_s / seconds, idle_s / seconds, cost_others(&from->cost, &to->cost, seconds));
	printf("\"lost_bytes\": %llu, \"closed\": %llu}\n", (unsigned long long)lost,
	       (unsigned long long)load->closed);
}

int bench_run_throughput(const struct bench_params *params)
{
	struct interval from, to;
	uint64_t idle_ns = 0;
	struct load load;
	int r = load_open(&load, params);

	if (r == 0)
		r = run_for(&load, params->warmup, &idle_ns);
	if (r == 0) {
		read_interval(&load, &from);
		r = run_for(&load, params->seconds, &idle_ns);
		read_interval(&load, &to);
		if (r == 0)
			print_result(&load, &from, &to, idle_ns, load_drain(&load, NULL));
		else
			fprintf(stderr, "relay-bench: publisher: %s\n", strerror(-r));
	}
	load_close(&load);
	return r;
}
