// SPDX-License-Identifier: MIT
/*
 * Paced mode: messages at a fixed rate, each with the time it was sent in it; a subscriber's
 * latency is from there to the moment its last byte was read, over all subscribers and messages. It
 * includes the load's own turn over the subscribers, which is the same for every engine. When the
 * load falls behind its schedule it sends at once; `rate` in the result says what was held.
 */
#include "base/clock.h"
#include "bench.h"
#include "cost.h"
#include "histogram.h"
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nearer to the next message than this a sleep would be late. */
#define SPIN_NS (100 * UINT64_C(1000))

static struct histogram latency;
static uint64_t measure_from_ns; /* messages stamped before are warm-up */

/* Copies to *stamp what of it lies in these bytes; `at` is the place of the first in its message.
 */
static void gather_stamp(uint64_t *stamp, uint64_t at, const uint8_t *bytes, uint64_t count)
{
	uint8_t *to = (uint8_t *)stamp;

	for (uint64_t i = 0; i < LOAD_STAMP_BYTES; i++) {
		uint64_t place = LOAD_STAMP_OFFSET + i;

		if (place >= at && place < at + count)
			to[i] = bytes[place - at];
	}
}

static void see_bytes(struct load *load, struct load_subscriber *subscriber, const uint8_t *bytes,
		      uint64_t count)
{
	uint64_t size = load->params->size, now_ns = clock_mono_ns();
	uint64_t at = subscriber->position % size;

	while (count) {
		uint64_t part = count < size - at ? count : size - at;

		gather_stamp(&subscriber->stamp, at, bytes, part);
		if (at + part == size && subscriber->stamp >= measure_from_ns)
			histogram_add(&latency, now_ns - subscriber->stamp);
		at = (at + part) % size;
		bytes += part;
		count -= part;
	}
}

/* Publishes count messages on schedule and receives in between. Returns 0 or -errno. */
static int run_schedule(struct load *load, uint64_t count)
{
	uint64_t gap_ns = NS_PER_S / load->params->rate, start_ns = clock_mono_ns();

	/* The gap after the last message belongs to the schedule, so that `rate` is not overstated.
	 */
	for (uint64_t i = 0;;) {
		uint64_t now_ns = clock_mono_ns(), due_ns = start_ns + i * gap_ns;
		uint64_t wait_ns = 0;
		int64_t sent;

		if (i == count && now_ns >= due_ns)
			return 0;
		if (now_ns < due_ns) {
			if (load->params->may_sleep && due_ns - now_ns > SPIN_NS)
				wait_ns = due_ns - now_ns - SPIN_NS;
			load_receive(load, see_bytes, wait_ns);
			continue;
		}
		if (load->chunk_sent == 0)
			memcpy(load->chunk + LOAD_STAMP_OFFSET, &now_ns, LOAD_STAMP_BYTES);
		sent = load_publish(load, 1, UINT64_MAX);
		if (sent < 0)
			return (int)sent;
		if (load->chunk_sent == 0 && sent > 0)
			i++;
		else
			load_receive(load, see_bytes, 0);
	}
}

static void print_result(const struct load *load, double seconds, const struct cost *from,
			 const struct cost *to, uint64_t sent, uint64_t lost)
{
	const struct bench_params *params = load->params;
	double server_s = to->server_s - from->server_s;
	double deliveries = (double)sent * (double)params->subscribers;

	printf("{\"mode\": \"paced\", \"subscribers\": %llu, \"size\": %llu, ",
	       (unsigned long long)params->subscribers, (unsigned long long)params->size);
	printf("\"rate\": %.1f, \"deliveries\": %llu, ", (double)sent / seconds,
	       (unsigned long long)latency.count);
	printf("\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
	       "\"max_us\": %.1f, ",
	       (double)histogram_quantile(&latency, 0.5) / 1e3,
	       (double)histogram_quantile(&latency, 0.9) / 1e3,
	       (double)histogram_quantile(&latency, 0.99) / 1e3,
	       (double)histogram_quantile(&latency, 0.999) / 1e3, (double)latency.max / 1e3);
	printf("\"server_busy\": %.3f, \"others_cpu\": %.3f, ", server_s / seconds,
	       cost_others(from, to, seconds));
	printf("\"server_us_per_delivery\": %.4f, \"server_cpu_s_per_gb\": %.5f, ",
	       server_s / deliveries * 1e6, server_s / deliveries / (double)params->size * 1e9);
	printf("\"lost_bytes\": %llu, \"closed\": %llu}\n", (unsigned long long)lost,
	       (unsigned long long)load->closed);
}

int bench_run_paced(const struct bench_params *params)
{
	uint64_t count = (uint64_t)(params->seconds * (double)params->rate), lost;
	struct cost before, after;
	struct load load;
	double seconds;
	int r = load_open(&load, params);

	measure_from_ns = UINT64_MAX;
	if (r == 0)
		r = run_schedule(&load, (uint64_t)(params->warmup * (double)params->rate));
	if (r == 0) {
		cost_read(params->server_pid, &before);
		measure_from_ns = clock_mono_ns();
		r = run_schedule(&load, count);
		seconds = (double)(clock_mono_ns() - measure_from_ns) / (double)NS_PER_S;
		cost_read(params->server_pid, &after);
		lost = load_drain(&load, see_bytes);
		if (r == 0)
			print_result(&load, seconds, &before, &after, count, lost);
		else
			fprintf(stderr, "relay-bench: publisher: %s\n", strerror(-r));
	}
	load_close(&load);
	return r;
}
