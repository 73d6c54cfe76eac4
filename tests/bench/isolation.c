// SPDX-License-Identifier: MIT
/*
 * Isolation mode: healthy subscribers, who read whatever comes, beside extra ones that never read
 * or read a trickle. What is told is the latency of the healthy ones, from the moment at which a
 * message was due (so a publisher that the server holds up counts as latency) to its last byte
 * read, and the share of all messages that came to them. The load sleeps when it has nothing to
 * do, since the machine shall be about half busy.
 */
#include "base/clock.h"
#include "base/fd.h"
#include "bench.h"
#include "cost.h"
#include "histogram.h"
#include "reader.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SINK_BYTES       (UINT64_C(256) << 10)
#define EVENTS_PER_TURN  256
#define TRICKLE_BYTES    4096
#define TRICKLE_GAP_NS   (10 * NS_PER_MS) /* some read at once, or the load would wake for each */
#define PROBE_GAP_NS     (20 * NS_PER_MS)
#define ATTACH_LIMIT_NS  (30 * NS_PER_S)
#define PUBLISH_LIMIT_NS (10 * NS_PER_S)
#define QUIET_NS         (2 * NS_PER_S)
#define DRAIN_LIMIT_NS   (20 * NS_PER_S)

struct healthy {
	struct reader reader;
	bool is_reached; /* a message has come */
};

struct isolation {
	const struct bench_params *params;
	const struct dialect *dialect;
	int epoll_fd, publisher;
	struct healthy *healthy;
	int *extras;
	uint64_t extra_turn, extra_due_ns; /* the next that reads its trickle, and when */
	uint64_t trickle_ns;               /* when the next of them are looked at */
	uint8_t *wire, *sink;
	uint64_t wire_bytes, wire_sent, stamp_at;
	uint64_t measure_from_ns;          /* messages stamped before are not measured */
	uint64_t now_ns;                   /* when the bytes that are looked at came */
	uint64_t probes, measured, closed; /* sums over the healthy ones */
	uint64_t torn;                     /* of them, whose stream was not what was sent */
	struct histogram latency;
};

/* --- receiving -------------------------------------------------------------------------------- */

static void end_message(void *owner, struct reader *reader)
{
	struct isolation *bench = owner;

	/* The reader is the first member. */
	((struct healthy *)reader)->is_reached = true;
	if (reader->stamp < bench->measure_from_ns) {
		bench->probes++;
		return;
	}
	histogram_add(&bench->latency,
		      bench->now_ns > reader->stamp ? bench->now_ns - reader->stamp : 0);
	bench->measured++;
}

static void close_reader(struct isolation *bench, struct reader *reader)
{
	fd_close(&reader->fd);
	bench->closed++;
}

static void receive_one(struct isolation *bench, struct reader *reader)
{
	ssize_t n;

	do {
		n = recv(reader->fd, bench->sink, SINK_BYTES, MSG_DONTWAIT);
		bench->now_ns = clock_mono_ns();
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			close_reader(bench, reader);
		} else if (n > 0 &&
			   reader_take(reader, bench->dialect, bench->wire + bench->stamp_at,
				       bench->sink, (uint64_t)n, end_message, bench) < 0) {
			bench->torn++;
			close_reader(bench, reader);
		}
	} while (n == (ssize_t)SINK_BYTES && reader->fd >= 0);
}

/* Those of the extra ones whose turn has come read their trickle. */
static void read_trickles(struct isolation *bench, uint64_t now_ns)
{
	const struct bench_params *params = bench->params;
	uint64_t gap_ns;

	if (!params->extra || !params->extra_rate || now_ns < bench->trickle_ns)
		return;
	bench->trickle_ns = now_ns + TRICKLE_GAP_NS;
	gap_ns = NS_PER_S * TRICKLE_BYTES / params->extra_rate / params->extra;
	for (; bench->extra_due_ns <= now_ns; bench->extra_due_ns += gap_ns) {
		int fd = bench->extras[bench->extra_turn];
		ssize_t n = recv(fd, bench->sink, TRICKLE_BYTES, MSG_DONTWAIT);

		(void)n; /* one that was closed is counted at the end */
		bench->extra_turn = (bench->extra_turn + 1) % params->extra;
	}
}

/* Takes what has come; sleeps until until_ns at most when there is nothing. */
static void receive(struct isolation *bench, uint64_t until_ns)
{
	struct epoll_event events[EVENTS_PER_TURN];
	uint64_t now_ns = clock_mono_ns();
	uint64_t wait_ns;
	struct timespec timeout;
	int count;

	read_trickles(bench, now_ns);
	if (bench->params->extra && bench->params->extra_rate && bench->trickle_ns < until_ns)
		until_ns = bench->trickle_ns;
	wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	timeout = (struct timespec){.tv_sec = (time_t)(wait_ns / NS_PER_S),
				    .tv_nsec = (long)(wait_ns % NS_PER_S)};
	count = epoll_pwait2(bench->epoll_fd, events, EVENTS_PER_TURN, &timeout, NULL);
	for (int i = 0; i < count; i++)
		if (events[i].data.ptr)
			receive_one(bench, events[i].data.ptr);
}

/* --- publishing ------------------------------------------------------------------------------- */

/* Sends what is left of the message. Returns 1 when it is out, 0 when not yet, or -errno. */
static int send_rest(struct isolation *bench)
{
	ssize_t n = send(bench->publisher, bench->wire + bench->wire_sent,
			 bench->wire_bytes - bench->wire_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
	ssize_t answer;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	if (n > 0)
		bench->wire_sent += (uint64_t)n;
	/* Some servers answer each message; a server whose answers nobody reads would stop. */
	answer = recv(bench->publisher, bench->sink, SINK_BYTES, MSG_DONTWAIT);
	if (answer == 0 || (answer < 0 && errno != EAGAIN && errno != EINTR))
		return answer < 0 ? -errno : -EPIPE;
	if (bench->wire_sent < bench->wire_bytes)
		return 0;
	bench->wire_sent = 0;
	return 1;
}

/* Returns 0 or -errno; -ETIMEDOUT when the server has stopped taking messages. */
static int publish(struct isolation *bench, uint64_t stamp)
{
	uint64_t start_ns = clock_mono_ns();
	int r;

	memcpy(bench->wire + bench->stamp_at, &stamp, sizeof(stamp));
	while ((r = send_rest(bench)) == 0) {
		if (clock_mono_ns() - start_ns > PUBLISH_LIMIT_NS) {
			fprintf(stderr, "the publisher was blocked for %llu s\n",
				(unsigned long long)(PUBLISH_LIMIT_NS / NS_PER_S));
			return -ETIMEDOUT;
		}
		receive(bench, clock_mono_ns() + NS_PER_MS);
	}
	return r < 0 ? r : 0;
}

/* count messages at the rate, each with the time it was due. Returns 0 or -errno. */
static int run_schedule(struct isolation *bench, uint64_t count)
{
	uint64_t gap_ns = NS_PER_S / bench->params->rate;
	uint64_t start_ns = clock_mono_ns();

	for (uint64_t i = 0; i < count; i++) {
		uint64_t due_ns = start_ns + i * gap_ns;
		int r;

		while (clock_mono_ns() < due_ns)
			receive(bench, due_ns);
		r = publish(bench, due_ns);
		if (r < 0)
			return r;
	}
	while (clock_mono_ns() < start_ns + count * gap_ns)
		receive(bench, start_ns + count * gap_ns);
	return 0;
}

/* --- a run ------------------------------------------------------------------------------------ */

static bool are_all_attached(const struct isolation *bench)
{
	for (uint64_t i = 0; i < bench->params->subscribers; i++)
		if (!bench->healthy[i].is_reached)
			return false;
	return true;
}

/* Until each healthy one has got a message: a connect that succeeds says nothing about accept. */
static int attach(struct isolation *bench)
{
	uint64_t start_ns = clock_mono_ns();
	int r = 0;

	bench->measure_from_ns = UINT64_MAX;
	while (r == 0 && !are_all_attached(bench)) {
		uint64_t until_ns = clock_mono_ns() + PROBE_GAP_NS;

		if (bench->closed || until_ns - start_ns > ATTACH_LIMIT_NS)
			return -ETIMEDOUT;
		r = publish(bench, 0);
		while (clock_mono_ns() < until_ns)
			receive(bench, until_ns);
	}
	return r;
}

static int watch(struct isolation *bench, int fd, uint32_t events, void *healthy)
{
	struct epoll_event event = {.events = events, .data.ptr = healthy};

	return epoll_ctl(bench->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Healthy and extra ones by turns, so that neither stand before the others in the server. */
static int connect_all(struct isolation *bench)
{
	uint64_t extra = bench->params->extra, extras_made = 0;
	uint64_t all = bench->params->subscribers + extra;
	int *fds = malloc(all * sizeof(*fds));
	int r;

	if (!fds)
		return -ENOMEM;
	r = reader_connect(bench->params, all, fds, &bench->publisher);
	for (uint64_t i = 0; i < all; i++) {
		struct healthy *healthy = &bench->healthy[i - extras_made];

		if (extras_made * all < i * extra) {
			bench->extras[extras_made++] = fds[i];
			continue;
		}
		healthy->reader.fd = fds[i];
		if (r == 0)
			r = watch(bench, fds[i], EPOLLIN, healthy);
	}
	free(fds);
	return r < 0 ? r : watch(bench, bench->publisher, EPOLLIN | EPOLLOUT | EPOLLET, NULL);
}

static int open_bench(struct isolation *bench, const struct bench_params *params)
{
	int r;

	*bench = (struct isolation){.params = params, .publisher = -1};
	bench->dialect = dialect_find(params->dialect);
	bench->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	bench->healthy = calloc(params->subscribers, sizeof(*bench->healthy));
	bench->extras = calloc(params->extra + 1, sizeof(*bench->extras));
	bench->wire = malloc(params->size + DIALECT_WRAP_BYTES);
	bench->sink = malloc(SINK_BYTES);
	if (bench->epoll_fd < 0 || !bench->healthy || !bench->extras || !bench->wire ||
	    !bench->sink)
		return -ENOMEM;
	for (uint64_t i = 0; i < params->subscribers; i++)
		bench->healthy[i].reader = (struct reader){.fd = -1, .size = params->size};
	for (uint64_t i = 0; i < params->extra; i++)
		bench->extras[i] = -1;
	bench->wire_bytes =
		dialect_wrap(bench->dialect, params->size, bench->wire, &bench->stamp_at);
	reader_fill(bench->wire + bench->stamp_at, params->size);
	prctl(PR_SET_TIMERSLACK, 1000UL);
	r = connect_all(bench);
	if (r == 0)
		r = attach(bench);
	bench->extra_due_ns = clock_mono_ns();
	return r;
}

static void close_bench(struct isolation *bench)
{
	for (uint64_t i = 0; bench->healthy && i < bench->params->subscribers; i++)
		fd_close(&bench->healthy[i].reader.fd);
	for (uint64_t i = 0; bench->extras && i < bench->params->extra; i++)
		fd_close(&bench->extras[i]);
	fd_close(&bench->publisher);
	fd_close(&bench->epoll_fd);
	free(bench->healthy);
	free(bench->extras);
	free(bench->wire);
	free(bench->sink);
}

/* Until all has come, or nothing has for a while, or whoever is late is too late. */
static void drain(struct isolation *bench, uint64_t wanted)
{
	uint64_t start_ns = clock_mono_ns(), last_ns = start_ns, now_ns = start_ns;

	while (bench->measured < wanted && now_ns - last_ns < QUIET_NS &&
	       now_ns - start_ns < DRAIN_LIMIT_NS) {
		uint64_t before = bench->probes + bench->measured;

		receive(bench, now_ns + 10 * NS_PER_MS);
		now_ns = clock_mono_ns();
		if (bench->probes + bench->measured > before)
			last_ns = now_ns;
	}
}

/* How many of the extra ones the server has cut off by now. */
static uint64_t count_extras_closed(const struct isolation *bench)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < bench->params->extra; i++) {
		struct tcp_info state;
		socklen_t length = sizeof(state);

		if (getsockopt(bench->extras[i], IPPROTO_TCP, TCP_INFO, &state, &length) == 0)
			count += state.tcpi_state != TCP_ESTABLISHED;
	}
	return count;
}

static double quantile_us(const struct isolation *bench, double share)
{
	return (double)histogram_quantile(&bench->latency, share) / 1e3;
}

static void print_result(const struct isolation *bench, double seconds, uint64_t sent,
			 const struct cost *from, const struct cost *to, uint64_t extras_closed)
{
	const struct bench_params *params = bench->params;
	double wanted = (double)sent * (double)params->subscribers;
	double cores = (double)sysconf(_SC_NPROCESSORS_ONLN);

	double server_s = to->server_s - from->server_s;

	printf("{\"mode\": \"isolation\", \"dialect\": \"%s\", \"subscribers\": %llu, ",
	       params->dialect, (unsigned long long)params->subscribers);
	printf("\"extra\": %llu, \"extra_rate\": %llu, \"size\": %llu, \"rate\": %.1f, ",
	       (unsigned long long)params->extra, (unsigned long long)params->extra_rate,
	       (unsigned long long)params->size, (double)sent / seconds);
	printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, ",
	       quantile_us(bench, 0.5), quantile_us(bench, 0.99), quantile_us(bench, 0.999),
	       (double)bench->latency.max / 1e3);
	printf("\"delivered\": %.6f, \"closed\": %llu, \"torn\": %llu, "
	       "\"extra_closed\": %llu, ",
	       (double)bench->measured / wanted, (unsigned long long)bench->closed,
	       (unsigned long long)bench->torn, (unsigned long long)extras_closed);
	printf("\"server_us_per_delivery\": %.4f, \"server_cpu_s_per_gb\": %.5f, ",
	       server_s / wanted * 1e6, server_s / wanted / (double)params->size * 1e9);
	printf("\"machine_busy\": %.3f, \"server_busy\": %.3f, \"load_busy\": %.3f, "
	       "\"server_rss\": %llu}\n",
	       (to->system_s - from->system_s) / seconds / cores, server_s / seconds,
	       (to->load_s - from->load_s) / seconds,
	       (unsigned long long)cost_read_rss(params->server_pid));
}

/* Warms up, measures, and waits for what is under way. Returns 0 or -errno. */
static int measure(struct isolation *bench)
{
	const struct bench_params *params = bench->params;
	uint64_t count = (uint64_t)(params->seconds * (double)params->rate), extras_closed;
	struct cost before, after;
	double seconds;
	int r = run_schedule(bench, (uint64_t)(params->warmup * (double)params->rate));

	if (r < 0)
		return r;
	cost_read(params->server_pid, &before);
	bench->measure_from_ns = clock_mono_ns();
	r = run_schedule(bench, count);
	if (r < 0)
		return r;
	seconds = (double)(clock_mono_ns() - bench->measure_from_ns) / (double)NS_PER_S;
	cost_read(params->server_pid, &after);
	extras_closed = count_extras_closed(bench);
	drain(bench, count * params->subscribers);
	print_result(bench, seconds, count, &before, &after, extras_closed);
	return 0;
}

int bench_run_isolation(const struct bench_params *params)
{
	struct isolation *bench = malloc(sizeof(*bench));
	int r;

	if (!bench)
		return -ENOMEM;
	r = open_bench(bench, params);
	if (r == 0)
		r = measure(bench);
	if (r < 0)
		fprintf(stderr, "relay-bench: isolation: %s; %llu healthy ones were closed\n",
			strerror(-r), (unsigned long long)bench->closed);
	close_bench(bench);
	free(bench);
	return r;
}
