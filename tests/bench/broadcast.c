// SPDX-License-Identifier: MIT
/*
 * Broadcast mode: throughput of a server of any dialect, with a load that spins, as in throughput
 * mode. To read all that a fast server sends would make the load the limit, so most bytes are only
 * counted (MSG_TRUNC), the same way for every server; at every 64th read of a subscriber, and
 * in everything read before and after the measured part, each byte is compared.
 * Invariant: all frames of a run are equally long, so `place`, the bytes counted since message 0,
 * says which byte of which message comes next; a read that is compared proves or corrects it. Where
 * a server puts messages into packets, what stands around them is read apart and not counted.
 */
#include "base/clock.h"
#include "base/fd.h"
#include "bench.h"
#include "cost.h"
#include "reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SINK_BYTES      (UINT64_C(1) << 20)
#define COMPARED_BYTES  (UINT64_C(64) << 10)
#define COMPARED_EVERY  64
#define READS_PER_TURN  16
#define WIRE_BYTES      (UINT64_C(256) << 10)
#define PEEKED_BYTES    256
#define QUIET_NS        (100 * NS_PER_MS)
#define PROBE_QUIET_NS  (30 * NS_PER_MS)
#define ATTACH_LIMIT_NS (30 * NS_PER_S)
#define LOSS_NS         (200 * NS_PER_MS) /* nothing for so long: what is missing is lost */
#define DRAIN_LIMIT_NS  NS_PER_S

struct listener {
	struct reader reader;
	struct dialect_frame packet; /* of a server that sends packets: what is left of one */
	uint64_t place;
	uint64_t next;   /* message under way; only while bytes are compared */
	uint64_t reads;  /* how many there were */
	bool is_whole;   /* its stamp has been seen */
	bool is_adrift;  /* place is wrong: a frame must be found first */
	bool is_reached; /* a message has come */
};

struct broadcast {
	const struct bench_params *params;
	const struct dialect *dialect;
	struct listener *listeners;
	int publisher;
	uint8_t *wire; /* whole frames, sent again and again under new numbers */
	uint8_t *sink;
	uint64_t frame_sent, stamp_at; /* of a frame as it is published */
	uint64_t wire_frames, wire_at;
	uint64_t published;    /* messages whose last byte is out */
	uint64_t written_off;  /* message up to which nobody is waited for any more */
	uint64_t last_ns;      /* when something came */
	bool compares;         /* every byte */
	uint64_t head, frame;  /* bytes of a frame as it comes; 0 = not known yet */
	uint64_t tail;         /* of these, behind the payload */
	uint64_t received;     /* bytes of frames, all listeners */
	uint64_t compared;     /* of these, looked at */
	uint64_t closed, torn; /* listeners; times that a stream was not what was sent */
	uint8_t head_bytes[DIALECT_HEAD_BYTES];
};

/* --- comparing -------------------------------------------------------------------------------- */

static void end_message(void *owner, struct reader *reader)
{
	struct broadcast *bench = owner;
	struct listener *listener = (struct listener *)reader; /* its first member */

	listener->is_reached = true;
	if (!bench->frame) {
		bench->head = reader->frame.head;
		bench->tail = reader->frame.tail;
		bench->frame = bench->head + bench->params->size + bench->tail;
		memcpy(bench->head_bytes, reader->head, bench->head);
	}
	/* Messages that are missing move the place; one that comes again is none of the stream. */
	bench->torn += listener->is_whole && reader->stamp < listener->next;
	if (listener->is_whole)
		listener->place += (reader->stamp - listener->next) * bench->frame;
	listener->next = (listener->is_whole ? reader->stamp : listener->next) + 1;
	listener->is_whole = true;
}

/* Puts the parser where the listener stands. */
static void seek(const struct broadcast *bench, struct listener *listener)
{
	struct reader *reader = &listener->reader;
	uint64_t at = listener->place % bench->frame, size = bench->params->size;

	listener->next = listener->place / bench->frame;
	listener->is_whole = at <= bench->head;
	reader->have = 0;
	reader->frame = (struct dialect_frame){0};
	reader->payload_at = 0;
	if (at < bench->head) {
		memcpy(reader->head, bench->head_bytes, at);
		reader->have = (uint32_t)at;
	} else if (at < bench->head + size) {
		reader->payload_at = at - bench->head;
		reader->frame.payload = size - reader->payload_at;
		reader->frame.tail = (uint32_t)bench->tail;
		reader->frame.is_message = true;
	} else {
		reader->frame.tail = (uint32_t)(bench->frame - at);
		listener->next++;
		listener->is_whole = true;
	}
}

/* Takes bytes at a place that is thought to be right. */
static int compare(struct broadcast *bench, struct listener *listener, const uint8_t *bytes,
		   uint64_t count)
{
	if (bench->frame && !listener->is_adrift)
		seek(bench, listener);
	return reader_take(&listener->reader, bench->dialect, bench->wire + bench->stamp_at, bytes,
			   count, end_message, bench);
}

/*
 * Looks for a frame in bytes that are not what was expected at the listener's place. When the
 * server may have said something between messages while bytes were only counted, that explains a
 * shift of just so many bytes; any other is a tear.
 */
static void find_frame(struct broadcast *bench, struct listener *listener, const uint8_t *bytes,
		       uint64_t count)
{
	uint64_t place = listener->place, notice = dialect_notice_bytes(bench->dialect);
	const uint8_t *from = bytes, *end = bytes + count, *found;

	listener->is_adrift = true;
	while ((found = memmem(from, (size_t)(end - from), bench->head_bytes, bench->head))) {
		uint64_t shift = (place + (uint64_t)(found - bytes)) % bench->frame;

		/* Rounded to the frame it stands for; the stamp then says which it is. */
		listener->place = place + (uint64_t)(found - bytes) - shift;
		listener->is_adrift = false;
		if (compare(bench, listener, found, (uint64_t)(end - found)) == 0) {
			listener->place += (uint64_t)(end - found);
			bench->torn += !notice || shift != notice;
			return;
		}
		listener->is_adrift = true;
		from = found + 1;
	}
	listener->place = place + count;
}

static void take_compared(struct broadcast *bench, struct listener *listener, uint64_t count)
{
	uint64_t place = listener->place;

	bench->compared += count;
	if (!listener->is_adrift && compare(bench, listener, bench->sink, count) == 0) {
		listener->place += count;
		return;
	}
	listener->place = place;
	if (bench->frame)
		find_frame(bench, listener, bench->sink, count);
	else
		listener->is_adrift = true;
}

/* --- receiving -------------------------------------------------------------------------------- */

static void close_listener(struct broadcast *bench, struct listener *listener)
{
	fd_close(&listener->reader.fd);
	bench->closed++;
}

/* One recv into the sink. Returns its bytes, 0 when there is nothing more for now. */
static uint64_t receive_piece(struct broadcast *bench, struct listener *listener, uint64_t wanted,
			      int flags)
{
	ssize_t n = recv(listener->reader.fd, bench->sink, wanted, MSG_DONTWAIT | flags);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_listener(bench, listener);
	return n > 0 ? (uint64_t)n : 0;
}

/* Takes what stands between the payloads of two packets and nothing behind it, so that what is
 * counted is payload. False: the next payload is not there yet. */
static bool enter_packet(struct broadcast *bench, struct listener *listener)
{
	while (listener->reader.fd >= 0 && !listener->packet.payload) {
		uint64_t tail = listener->packet.tail;
		uint64_t count = receive_piece(bench, listener, PEEKED_BYTES, MSG_PEEK);
		struct dialect_frame packet;
		int r = count <= tail ? 0
				      : dialect_parse_packet(bench->dialect, bench->sink + tail,
							     (uint32_t)(count - tail), &packet);

		if (r < 0) {
			bench->torn++;
			close_listener(bench, listener);
		}
		if (r <= 0)
			return false;
		receive_piece(bench, listener, tail + packet.head, 0);
		if (!packet.is_message) { /* a ping: passed over with the next head */
			packet.tail += (uint32_t)packet.payload;
			packet.payload = 0;
		}
		listener->packet = packet;
	}
	return listener->reader.fd >= 0;
}

/*
 * Of `count` bytes received, those that are payload. What ends a packet is asked for with its
 * payload: a byte left in the socket would put off the acknowledgement of all before it, which no
 * client does that reads what there is (tcp_cleanup_rbuf() in Linux acknowledges at once when
 * nothing is left).
 */
static uint64_t leave_packet(struct dialect_frame *packet, uint64_t count)
{
	uint64_t payload = count < packet->payload ? count : packet->payload;

	packet->payload -= payload;
	packet->tail -= (uint32_t)(count - payload);
	return payload;
}

static uint64_t receive_one(struct broadcast *bench, struct listener *listener)
{
	bool has_packets = dialect_has_packets(bench->dialect);
	uint64_t all = 0;

	for (int i = 0; i < READS_PER_TURN && listener->reader.fd >= 0; i++) {
		bool compares = bench->compares || listener->is_adrift ||
				listener->reads % COMPARED_EVERY == 0;
		uint64_t wanted = compares ? COMPARED_BYTES : SINK_BYTES, count;
		bool is_all;

		if (has_packets && !enter_packet(bench, listener))
			break;
		if (has_packets && listener->packet.payload + listener->packet.tail < wanted)
			wanted = listener->packet.payload + listener->packet.tail;
		/* MSG_TRUNC on TCP (tcp(7), Linux): count and discard, copy nothing. */
		count = receive_piece(bench, listener, wanted, compares ? 0 : MSG_TRUNC);
		is_all = count < wanted;
		listener->reads += count > 0;
		if (has_packets)
			count = leave_packet(&listener->packet, count);
		all += count;
		if (compares && count)
			take_compared(bench, listener, count);
		else
			listener->place += count;
		if (is_all)
			break;
	}
	bench->received += all;
	return all;
}

/* Whatever has come, and the answers to the publisher. Returns bytes of the former. */
static uint64_t receive(struct broadcast *bench)
{
	uint64_t all = 0;

	for (uint64_t i = 0; i < bench->params->subscribers; i++)
		all += receive_one(bench, &bench->listeners[i]);
	while (recv(bench->publisher, bench->sink, SINK_BYTES, MSG_DONTWAIT | MSG_TRUNC) > 0)
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

static uint64_t count_messages(const struct broadcast *bench, const struct listener *listener)
{
	return bench->frame ? listener->place / bench->frame : 0;
}

/* The message that the slowest still lacks, or the last one written off. */
static uint64_t find_slowest(const struct broadcast *bench)
{
	uint64_t slowest = bench->published;

	for (uint64_t i = 0; i < bench->params->subscribers; i++) {
		uint64_t count = count_messages(bench, &bench->listeners[i]);

		if (bench->listeners[i].reader.fd >= 0 && count < slowest)
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
		if (!bench->listeners[i].is_reached || bench->listeners[i].is_adrift)
			return false;
	return true;
}

/* Single messages until each listener has got one. */
static int attach(struct broadcast *bench)
{
	uint64_t start_ns = clock_mono_ns();

	bench->compares = true;
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
	bench->received = bench->compared = bench->torn = 0;
	bench->compares = false;
	return 0;
}

/* Until all has come or nothing comes any more, every byte compared. */
static void drain(struct broadcast *bench)
{
	bench->compares = true;
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
	bench->sink = malloc(SINK_BYTES);
	if (!bench->wire || !bench->sink)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++) {
		at += dialect_wrap(bench->dialect, bench->params->size, bench->wire + at,
				   &bench->stamp_at);
		reader_fill(bench->wire + i * bench->frame_sent + bench->stamp_at,
			    bench->params->size);
		bench->frame_sent = at / (i + 1);
	}
	bench->wire_frames = count;
	return 0;
}

static int open_bench(struct broadcast *bench, const struct bench_params *params)
{
	int *fds = malloc(params->subscribers * sizeof(*fds));
	int r;

	*bench = (struct broadcast){
		.params = params, .dialect = dialect_find(params->dialect), .publisher = -1};
	bench->listeners = calloc(params->subscribers, sizeof(*bench->listeners));
	r = fds && bench->listeners ? make_wire(bench) : -ENOMEM;
	if (fds && bench->listeners) {
		int connected = reader_connect(params, params->subscribers, fds, &bench->publisher);

		for (uint64_t i = 0; i < params->subscribers; i++) {
			bench->listeners[i].reader.fd = fds[i];
			bench->listeners[i].is_whole = true;
		}
		r = r < 0 ? r : connected;
	}
	free(fds);
	return r < 0 ? r : attach(bench);
}

static void close_bench(struct broadcast *bench)
{
	for (uint64_t i = 0; bench->listeners && i < bench->params->subscribers; i++)
		fd_close(&bench->listeners[i].reader.fd);
	fd_close(&bench->publisher);
	free(bench->listeners);
	free(bench->wire);
	free(bench->sink);
}

/* Of the messages published since attach(), those that came, over all listeners. */
static double share_delivered(const struct broadcast *bench, uint64_t first)
{
	double wanted = (double)(bench->published - first) * (double)bench->params->subscribers;
	double came = (double)bench->received / (double)bench->frame;

	return wanted > 0 && came < wanted ? came / wanted : 1;
}

struct interval {
	uint64_t start_ns, received;
	struct cost cost;
};

static void read_interval(const struct broadcast *bench, struct interval *ret)
{
	ret->start_ns = clock_mono_ns();
	ret->received = bench->received;
	cost_read(bench->params->server_pid, &ret->cost);
}

/* Tears, and those whose stream never became right again. */
static uint64_t count_torn(const struct broadcast *bench)
{
	uint64_t count = bench->torn;

	for (uint64_t i = 0; i < bench->params->subscribers; i++)
		count += bench->listeners[i].is_adrift;
	return count;
}

static void print_result(const struct broadcast *bench, const struct interval *from,
			 const struct interval *to, uint64_t idle_ns, uint64_t first)
{
	const struct bench_params *params = bench->params;
	double seconds = (double)(to->start_ns - from->start_ns) / (double)NS_PER_S;
	double messages = (double)(to->received - from->received) / (double)bench->frame;
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
	       bench->received ? (double)bench->compared / (double)bench->received : 0,
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
			(unsigned long long)bench.torn);
	close_bench(&bench);
	return r;
}
