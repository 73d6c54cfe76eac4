// SPDX-License-Identifier: MIT
/*
 * Broadcast mode: throughput of a server of any dialect, with a load that spins, as in throughput
 * mode. Of each follower most bytes are only counted, the same way for every server; a share in the
 * measured part, and everything before and after it, is compared (follower.h).
 */
#include "base/clock.h"
#include "base/fd.h"
#include "bench.h"
#include "cost.h"
#include "follower.h"
#include "reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define READS_PER_TURN  48 /* of payload, and of the heads before it */
#define WIRE_BYTES      (UINT64_C(256) << 10)
#define QUIET_NS        (100 * NS_PER_MS)
#define PROBE_QUIET_NS  (30 * NS_PER_MS)
#define ATTACH_LIMIT_NS (30 * NS_PER_S)
#define LOSS_NS         (200 * NS_PER_MS) /* nothing for so long: what is missing is lost */
#define DRAIN_LIMIT_NS  NS_PER_S

struct broadcast {
	const struct bench_params *params;
	struct stream stream;
	struct follower *followers;
	int publisher;
	uint8_t *wire; /* whole frames, sent again and again under new numbers */
	uint8_t *sink;
	uint64_t frame_sent, stamp_at; /* of a frame as it is published */
	uint64_t wire_frames, wire_at;
	uint64_t published;   /* messages whose last byte is out */
	uint64_t written_off; /* message up to which nobody is waited for any more */
	uint64_t last_ns;     /* when something came */
	uint64_t closed;      /* followers */
};

/* --- receiving -------------------------------------------------------------------------------- */

static void close_follower(struct broadcast *bench, struct follower *follower)
{
	fd_close(&follower->reader.fd);
	bench->closed++;
}

/* One recv as the follower wishes. False when there is nothing more for now. */
static bool receive_piece(struct broadcast *bench, struct follower *follower, uint64_t *ret_bytes)
{
	struct follower_wish wish = follower_wish(&bench->stream, follower);
	/* MSG_TRUNC on TCP (tcp(7), Linux): count and discard, copy nothing. */
	int flags = wish.how == FOLLOWER_LOOK      ? MSG_PEEK
		    : wish.how == FOLLOWER_COMPARE ? 0
						   : MSG_TRUNC;
	ssize_t n = recv(follower->reader.fd, bench->sink, wish.bytes, MSG_DONTWAIT | flags);
	int64_t taken;

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_follower(bench, follower);
	if (n <= 0)
		return false;
	taken = follower_take(&bench->stream, follower, wish, bench->sink, (uint64_t)n);
	if (taken == -EPROTO)
		close_follower(bench, follower);
	if (taken < 0)
		return false;
	*ret_bytes += (uint64_t)taken;
	return wish.how == FOLLOWER_LOOK || (uint64_t)n == wish.bytes;
}

static uint64_t receive_one(struct broadcast *bench, struct follower *follower)
{
	uint64_t bytes = 0;

	for (int i = 0; i < READS_PER_TURN && follower->reader.fd >= 0; i++)
		if (!receive_piece(bench, follower, &bytes))
			break;
	return bytes;
}

/* Whatever has come, and the answers to the publisher. Returns bytes of the former. */
static uint64_t receive(struct broadcast *bench)
{
	uint64_t all = 0;

	for (uint64_t i = 0; i < bench->params->subscribers; i++)
		all += receive_one(bench, &bench->followers[i]);
	while (recv(bench->publisher, bench->sink, FOLLOWER_READ_BYTES, MSG_DONTWAIT | MSG_TRUNC) >
	       0)
		;
	if (all)
		bench->last_ns = clock_mono_ns();
	return all;
}

/* --- publishing ------------------------------------------------------------------------------- */

/* The next round over the frames: each gets its number. */
static void number_frames(struct broadcast *bench)
{
	for (uint64_t i = 0; i < bench->wire_frames; i++) {
		uint64_t number = bench->published + i;

		memcpy(bench->wire + i * bench->frame_sent + bench->stamp_at, &number,
		       sizeof(number));
	}
}

/* Sends what the socket takes, up to the message `end`. Returns bytes or -errno. */
static int64_t publish(struct broadcast *bench, uint64_t end)
{
	uint64_t first = bench->published - bench->wire_at / bench->frame_sent;
	uint64_t limit = bench->wire_frames;
	ssize_t n;

	if (first + limit > end)
		limit = end > first ? end - first : 0;
	if (limit * bench->frame_sent <= bench->wire_at)
		return 0;
	if (bench->wire_at == 0)
		number_frames(bench);
	n = send(bench->publisher, bench->wire + bench->wire_at,
		 limit * bench->frame_sent - bench->wire_at, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	bench->wire_at += (uint64_t)n;
	bench->published = first + bench->wire_at / bench->frame_sent;
	if (bench->wire_at == bench->wire_frames * bench->frame_sent)
		bench->wire_at = 0;
	return n;
}

/* --- a run ------------------------------------------------------------------------------------ */

static uint64_t count_messages(const struct broadcast *bench, const struct follower *follower)
{
	return bench->stream.frame ? follower->place / bench->stream.frame : 0;
}

/* The message that the slowest still lacks, or the last one written off. */
static uint64_t find_slowest(const struct broadcast *bench)
{
	uint64_t slowest = bench->published;

	for (uint64_t i = 0; i < bench->params->subscribers; i++) {
		uint64_t count = count_messages(bench, &bench->followers[i]);

		if (bench->followers[i].reader.fd >= 0 && count < slowest)
			slowest = count;
	}
	return slowest > bench->written_off ? slowest : bench->written_off;
}

static int run_for(struct broadcast *bench, double seconds, uint64_t *ret_idle_ns)
{
	uint64_t lead = bench->params->window / bench->params->size;
	uint64_t now_ns = clock_mono_ns();
	uint64_t end_ns = now_ns + (uint64_t)(seconds * (double)NS_PER_S);

	*ret_idle_ns = 0;
	bench->last_ns = now_ns;
	while (now_ns < end_ns) {
		int64_t sent = publish(bench, find_slowest(bench) + (lead ? lead : 1));
		uint64_t came = receive(bench);
		uint64_t turn_ns = clock_mono_ns();

		if (sent < 0 || bench->closed == bench->params->subscribers)
			return sent < 0 ? (int)sent : -ECONNRESET;
		if (!sent && !came)
			*ret_idle_ns += turn_ns - now_ns;
		if (sent)
			bench->last_ns = turn_ns;
		if (turn_ns - bench->last_ns > LOSS_NS)
			bench->written_off = bench->published;
		now_ns = turn_ns;
	}
	return 0;
}

/* Sends up to that message, receiving meanwhile. */
static int publish_until(struct broadcast *bench, uint64_t end)
{
	bench->last_ns = clock_mono_ns();
	while (bench->published < end) {
		int64_t sent = publish(bench, end);

		if (sent < 0)
			return (int)sent;
		receive(bench);
		if (clock_mono_ns() - bench->last_ns > ATTACH_LIMIT_NS)
			return -ETIMEDOUT;
	}
	return 0;
}

static void wait_quiet(struct broadcast *bench, uint64_t quiet_ns)
{
	bench->last_ns = clock_mono_ns();
	while (clock_mono_ns() - bench->last_ns < quiet_ns)
		receive(bench);
}

static bool are_all_reached(const struct broadcast *bench)
{
	for (uint64_t i = 0; i < bench->params->subscribers; i++)
		if (!bench->followers[i].is_reached || bench->followers[i].is_adrift)
			return false;
	return true;
}

/* Single messages until each follower has got one. */
static int attach(struct broadcast *bench)
{
	uint64_t start_ns = clock_mono_ns();

	bench->stream.compares = true;
	while (!are_all_reached(bench)) {
		int r = publish_until(bench, bench->published + 1);

		if (r < 0)
			return r;
		wait_quiet(bench, PROBE_QUIET_NS);
		if (bench->closed || clock_mono_ns() - start_ns > ATTACH_LIMIT_NS)
			return -ETIMEDOUT;
	}
	wait_quiet(bench, QUIET_NS);
	/* Where a server knows no messages, one who comes late begins inside one. */
	bench->stream.received = bench->stream.compared = bench->stream.torn = 0;
	bench->stream.compares = false;
	return 0;
}

/* Until all has come or nothing comes any more, every byte compared. */
static void drain(struct broadcast *bench)
{
	bench->stream.compares = true;
	bench->last_ns = clock_mono_ns();
	bench->written_off = 0;
	while (find_slowest(bench) < bench->published &&
	       clock_mono_ns() - bench->last_ns < DRAIN_LIMIT_NS)
		receive(bench);
}

static int make_wire(struct broadcast *bench)
{
	uint64_t room = bench->params->size + DIALECT_WRAP_BYTES, at = 0;
	uint64_t count = WIRE_BYTES / room + 1;

	bench->wire = malloc(count * room);
	bench->sink = malloc(FOLLOWER_READ_BYTES);
	if (!bench->wire || !bench->sink)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++) {
		at += dialect_wrap(bench->stream.dialect, bench->params->size, bench->wire + at,
				   &bench->stamp_at);
		reader_fill(bench->wire + i * bench->frame_sent + bench->stamp_at,
			    bench->params->size);
		bench->frame_sent = at / (i + 1);
	}
	bench->wire_frames = count;
	bench->stream.pattern = bench->wire + bench->stamp_at;
	return 0;
}

static int open_bench(struct broadcast *bench, const struct bench_params *params)
{
	int *fds = malloc(params->subscribers * sizeof(*fds));
	int r;

	*bench = (struct broadcast){.params = params, .publisher = -1};
	bench->stream.dialect = dialect_find(params->dialect);
	bench->stream.size = params->size;
	bench->followers = calloc(params->subscribers, sizeof(*bench->followers));
	r = fds && bench->followers ? make_wire(bench) : -ENOMEM;
	if (fds && bench->followers) {
		int connected = reader_connect(params, params->subscribers, fds, &bench->publisher);

		for (uint64_t i = 0; i < params->subscribers; i++)
			follower_init(&bench->followers[i], &bench->stream, fds[i]);
		r = r < 0 ? r : connected;
	}
	free(fds);
	return r < 0 ? r : attach(bench);
}

static void close_bench(struct broadcast *bench)
{
	for (uint64_t i = 0; bench->followers && i < bench->params->subscribers; i++)
		fd_close(&bench->followers[i].reader.fd);
	fd_close(&bench->publisher);
	free(bench->followers);
	free(bench->wire);
	free(bench->sink);
}

/* Of the messages published since attach(), those that came, over all followers. */
static double share_delivered(const struct broadcast *bench, uint64_t first)
{
	double wanted = (double)(bench->published - first) * (double)bench->params->subscribers;
	double came = (double)bench->stream.received / (double)bench->stream.frame;

	return wanted > 0 && came < wanted ? came / wanted : 1;
}

struct interval {
	uint64_t start_ns, received;
	struct cost cost;
};

static void read_interval(const struct broadcast *bench, struct interval *ret)
{
	ret->start_ns = clock_mono_ns();
	ret->received = bench->stream.received;
	cost_read(bench->params->server_pid, &ret->cost);
}

/* Tears, and those whose stream never became right again. */
static uint64_t count_torn(const struct broadcast *bench)
{
	uint64_t count = bench->stream.torn;

	for (uint64_t i = 0; i < bench->params->subscribers; i++)
		count += bench->followers[i].is_adrift;
	return count;
}

static void print_result(const struct broadcast *bench, const struct interval *from,
			 const struct interval *to, uint64_t idle_ns, uint64_t first)
{
	const struct bench_params *params = bench->params;
	double seconds = (double)(to->start_ns - from->start_ns) / (double)NS_PER_S;
	double messages = (double)(to->received - from->received) / (double)bench->stream.frame;
	double gigabytes = messages * (double)params->size / 1e9;
	double server_s = to->cost.server_s - from->cost.server_s;
	double idle_s = (double)idle_ns / (double)NS_PER_S;

	printf("{\"mode\": \"broadcast\", \"dialect\": \"%s\", \"subscribers\": %llu, ",
	       params->dialect, (unsigned long long)params->subscribers);
	printf("\"size\": %llu, \"seconds\": %.3f, \"bytes_per_s\": %.0f, ",
	       (unsigned long long)params->size, seconds, gigabytes * 1e9 / seconds);
	printf("\"server_cpu_s_per_gb\": %.5f, \"system_work_s_per_gb\": %.5f, ",
	       gigabytes > 0 ? server_s / gigabytes : 0,
	       gigabytes > 0 ? (to->cost.system_s - from->cost.system_s - idle_s) / gigabytes : 0);
	printf("\"server_busy\": %.3f, \"load_idle\": %.3f, \"others_cpu\": %.3f, ",
	       server_s / seconds, idle_s / seconds, cost_others(&from->cost, &to->cost, seconds));
	printf("\"delivered\": %.6f, \"compared\": %.4f, \"closed\": %llu, \"torn\": %llu}\n",
	       share_delivered(bench, first),
	       bench->stream.received
		       ? (double)bench->stream.compared / (double)bench->stream.received
		       : 0,
	       (unsigned long long)bench->closed, (unsigned long long)count_torn(bench));
}

static int measure(struct broadcast *bench)
{
	uint64_t first = bench->published, idle_ns;
	struct interval from, to;
	int r = run_for(bench, bench->params->warmup, &idle_ns);

	if (r < 0)
		return r;
	read_interval(bench, &from);
	r = run_for(bench, bench->params->seconds, &idle_ns);
	read_interval(bench, &to);
	/* The message under way is ended, so that all that was published can be asked for. */
	if (r == 0 && bench->wire_at % bench->frame_sent)
		r = publish_until(bench, bench->published + 1);
	if (r < 0)
		return r;
	drain(bench);
	print_result(bench, &from, &to, idle_ns, first);
	return 0;
}

int bench_run_broadcast(const struct bench_params *params)
{
	struct broadcast bench;
	int r = open_bench(&bench, params);

	if (r == 0)
		r = measure(&bench);
	if (r < 0)
		fprintf(stderr, "relay-bench: broadcast: %s; %llu subscribers closed, %llu torn\n",
			strerror(-r), (unsigned long long)bench.closed,
			(unsigned long long)bench.stream.torn);
	close_bench(&bench);
	return r;
}
