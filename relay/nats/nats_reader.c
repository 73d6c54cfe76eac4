// SPDX-License-Identifier: MIT
/* The thread of a reader, from its connection to the packets that it writes. */
#include "nats/nats_reader.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/thread.h"
#include "nats/nats_consumer.h"
#include "nats/nats_stream.h"
#include "nats/packet_batch.h"
#include "nats/stream_position.h"

enum {
	WAIT_MS = 100,       /* for a message, before others are looked at */
	LOOK_MS = 2000,      /* silent for so long: the stream is looked at */
	RETRY_MAX_MS = 2000, /* between two tries to connect */
	SHORT_MS = 1000,     /* a consumer that does not live longer is followed by a pause */
	SHORTER_MS = 30000,  /* so long a stream may have less than was read: its new leader has to
				take all of its log in first */
	NAME_BYTES = 65,
};

struct nats_reader {
	struct backbone_params params; /* ro */
	char feed[NAME_BYTES];         /* ro */
	_Atomic unsigned owners;       /* the worker's, and the thread's */
	_Atomic bool is_stopped;
	_Atomic uint64_t max_message;

	/* Shared, under the lock. */
	pthread_mutex_t lock;
	struct ev_loop *loop; /* NULL: nobody wants news */
	ev_async *news;
	struct nats_report report;

	/* The thread's. */
	struct packet_batch batch;
	struct stream_position position;
	struct stream_seen seen;
	struct backoff backoff;
	uint64_t trouble_ms; /* monotonic: since when nothing can be read; 0: it can */
	uint64_t shorter_ms; /* since when the stream has less than was read; 0: it has not */
	struct errmsg told;  /* what the log has been told of it */
	struct log_rate renewals_log, too_long_log;
};

/* ---- what the worker is told ---- */

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

static bool is_stream(const struct nats_reader *reader)
{
	return *reader->params.stream;
}

static bool is_stopped(const struct nats_reader *reader)
{
	return atomic_load(&reader->is_stopped);
}

/* Under the lock. */
static void tell(struct nats_reader *reader)
{
	if (reader->loop)
		ev_async_send(reader->loop, reader->news);
}

static void set_up(struct nats_reader *reader, bool is_up)
{
	(void)pthread_mutex_lock(&reader->lock);
	if (reader->report.is_up != is_up || reader->report.is_down == is_up) {
		reader->report.is_up = is_up;
		reader->report.is_down = !is_up;
		tell(reader);
	}
	(void)pthread_mutex_unlock(&reader->lock);
}

static void set_server(struct nats_reader *reader, const char *server)
{
	(void)pthread_mutex_lock(&reader->lock);
	(void)snprintf(reader->report.server, sizeof(reader->report.server), "%s", server);
	reader->report.connects += *server != '\0';
	(void)pthread_mutex_unlock(&reader->lock);
}

static void set_lag(struct nats_reader *reader, uint64_t lag)
{
	(void)pthread_mutex_lock(&reader->lock);
	reader->report.lag = lag;
	(void)pthread_mutex_unlock(&reader->lock);
}

/* ---- trouble ---- */

/* Said once, and again when it is another. */
static void tell_trouble(struct nats_reader *reader, const struct errmsg *err)
{
	if (!reader->trouble_ms)
		reader->trouble_ms = now_ms();
	if (strcmp(reader->told.text, err->text) == 0)
		return;
	reader->told = *err;
	log_warn("nats source not read feed=%s: %s", reader->feed, err->text);
}

static void look_at_trouble(struct nats_reader *reader)
{
	if (reader->trouble_ms &&
	    (!is_stream(reader) || now_ms() - reader->trouble_ms >= READER_DOWN_MS))
		set_up(reader, false);
}

static void end_trouble(struct nats_reader *reader)
{
	reader->trouble_ms = reader->shorter_ms = 0;
	reader->told.text[0] = '\0';
	backoff_reset(&reader->backoff);
	set_up(reader, true);
}

static void pause_thread(struct nats_reader *reader)
{
	uint32_t left_ms = backoff_next_ms(&reader->backoff, RETRY_MAX_MS, arc4random());

	while (left_ms && !is_stopped(reader)) {
		uint32_t part_ms = left_ms < WAIT_MS ? left_ms : WAIT_MS;
		struct timespec time = {.tv_nsec = (long)(part_ms * NS_PER_MS)};

		(void)nanosleep(&time, NULL);
		left_ms -= part_ms;
		look_at_trouble(reader);
	}
}

/* ---- packets ---- */

/* False: nobody reads them any more. */
static bool put_packet(struct nats_reader *reader, const struct packet_header *header,
		       natsMsg *message)
{
	packet_batch_add(&reader->batch, header, message);
	return !packet_batch_is_full(&reader->batch) || packet_batch_write(&reader->batch);
}

/* Tells the feed where it is. */
static bool put_position(struct nats_reader *reader)
{
	const struct packet_header header = {
		.type = PACKET_HEARTBEAT,
		.session = reader->position.session,
		.sequence = reader->position.next_seq,
		.time = clock_wall_ns(),
	};

	(void)pthread_mutex_lock(&reader->lock);
	reader->report.session = reader->position.session;
	(void)pthread_mutex_unlock(&reader->lock);
	return put_packet(reader, &header, NULL) && packet_batch_write(&reader->batch);
}

static bool put_gap(struct nats_reader *reader, uint64_t to, uint8_t flags)
{
	const struct packet_header header = {
		.type = PACKET_GAP,
		.flags = flags,
		.session = reader->position.session,
		.sequence = reader->position.next_seq,
		.time = to,
	};

	reader->position.next_seq = to;
	return put_packet(reader, &header, NULL);
}

/* It is lost to subscribers, who are told. */
static bool pass_over(struct nats_reader *reader, const struct nats_message *message)
{
	uint64_t suppressed;

	(void)pthread_mutex_lock(&reader->lock);
	reader->report.too_long++;
	(void)pthread_mutex_unlock(&reader->lock);
	if (log_allow_each_minute(&reader->too_long_log, clock_mono_ns(), &suppressed))
		log_warn("nats message passed over feed=%s sequence=%llu bytes=%zu, more than "
			 "max_message suppressed=%llu",
			 reader->feed, (unsigned long long)reader->position.next_seq,
			 message->count, (unsigned long long)suppressed);
	natsMsg_Destroy(message->message);
	return put_gap(reader, reader->position.next_seq + 1, 0);
}

/* Behind what was left out: the message is the next one. */
static bool put_next(struct nats_reader *reader, const struct nats_message *message)
{
	const struct packet_header header = {
		.type = PACKET_DATA,
		.count = 1,
		.length = (uint32_t)message->count,
		.session = reader->position.session,
		.sequence = reader->position.next_seq,
		.time = message->time_ns ? message->time_ns : clock_wall_ns(),
	};

	if (!message->count) { /* subscribers never get a packet without bytes */
		natsMsg_Destroy(message->message);
		return !is_stream(reader) ||
		       put_gap(reader, reader->position.next_seq + 1, PACKET_FLAG_HOLE);
	}
	if (message->count > atomic_load(&reader->max_message))
		return pass_over(reader, message);
	reader->position.next_seq++;
	return put_packet(reader, &header, message->message);
}

static bool put_message(struct nats_reader *reader, const struct nats_message *message)
{
	struct stream_position *position = &reader->position;
	uint64_t sequence = message->sequence;
	bool goes_on = true;

	if (!sequence)
		sequence = position->next_seq + message->missed;
	if (!position->next_seq) {
		position->next_seq = sequence;
		goes_on = put_position(reader);
	}
	if (sequence < position->next_seq) { /* a consumer begins where it was told to */
		natsMsg_Destroy(message->message);
		return true;
	}
	position->mark_seq = message->sequence;
	position->mark_ns = message->time_ns;
	if (goes_on && sequence > position->next_seq)
		goes_on = put_gap(reader, sequence, is_stream(reader) ? PACKET_FLAG_HOLE : 0);
	if (goes_on)
		return put_next(reader, message);
	natsMsg_Destroy(message->message);
	return false;
}

/* ---- reading ---- */

/* While nothing comes.  "": nothing should have; else why the consumer is to be made anew. */
static const char *look_at_stream(struct nats_reader *reader, struct nats_connection *connection,
				  uint64_t *silent_next)
{
	uint64_t created_ns = reader->position.created_ns;
	uint64_t next = reader->position.next_seq;
	struct errmsg err;

	if (nats_stream_look(connection, &reader->params, &reader->seen, &err) < 0) {
		tell_trouble(reader, &err);
		return "the stream cannot be looked at";
	}
	if (reader->seen.created_ns != created_ns)
		return "the stream was made anew";
	set_lag(reader,
		next && reader->seen.match_seq >= next ? reader->seen.match_seq + 1 - next : 0);
	if (!next || reader->seen.match_seq < next)
		return "";
	if (*silent_next == next) /* as at the last look */
		return "the stream has more than was sent";
	*silent_next = next;
	return "";
}

/* Until there is a reason not to.  "": it was stopped. */
static const char *read_messages(struct nats_reader *reader, struct nats_consumer *consumer)
{
	uint64_t looked_ms = now_ms(), silent_next = 0;
	struct nats_message message;
	const char *why = "";

	for (;;) {
		enum nats_arrival arrival;

		if (*nats_connection_why_lost(consumer->connection))
			why = nats_connection_why_lost(consumer->connection);
		if (*why || is_stopped(reader))
			return why;
		arrival = nats_consumer_next(consumer, reader->batch.count ? 0 : WAIT_MS, &message,
					     &why);
		if (arrival == NATS_ARRIVAL_MESSAGE) {
			looked_ms = now_ms();
			set_lag(reader, message.pending);
			if (!put_message(reader, &message))
				return "";
		} else if (!packet_batch_write(&reader->batch)) {
			return "";
		} else if (!*why && is_stream(reader) && now_ms() - looked_ms >= LOOK_MS) {
			looked_ms = now_ms();
			why = look_at_stream(reader, consumer->connection, &silent_next);
		}
	}
}

/* What the operator has to know of a stream that does not go on as it was. */
static void log_begin(const struct nats_reader *reader, enum stream_begin begin)
{
	if (begin == STREAM_IS_ANOTHER)
		log_warn("nats stream made anew feed=%s stream=%s session=%u%s", reader->feed,
			 reader->params.stream, reader->position.session,
			 reader->params.session ? ": session of the configuration is that of the "
						  "one before"
						: "");
}

/* What was read under some of the stream's numbers is not what they stand for. */
static void cut(struct nats_reader *reader)
{
	uint64_t read_seq = reader->position.next_seq - 1;

	stream_position_cut(&reader->position, &reader->seen, clock_wall_ns());
	(void)pthread_mutex_lock(&reader->lock);
	reader->report.losses++;
	(void)pthread_mutex_unlock(&reader->lock);
	log_warn("nats stream has lost messages feed=%s stream=%s from=%llu read=%llu, going on in "
		 "a session of its own session=%u",
		 reader->feed, reader->params.stream, (unsigned long long)reader->position.next_seq,
		 (unsigned long long)read_seq, reader->position.session);
}

static int wait_for_more(struct nats_reader *reader, struct errmsg *err)
{
	if (!reader->shorter_ms)
		reader->shorter_ms = now_ms();
	if (now_ms() - reader->shorter_ms < SHORTER_MS) {
		errmsg_set(
			err, "stream %s ends before message %llu, which was read: waiting for it",
			reader->params.stream, (unsigned long long)reader->position.next_seq - 1);
		return -EAGAIN;
	}
	cut(reader);
	return 0;
}

/* A user who may not ask for a message goes on without. */
static int check_mark(struct nats_reader *reader, struct nats_connection *connection,
		      struct errmsg *err)
{
	uint64_t time_ns;
	int r;

	if (!reader->position.mark_seq)
		return 0;
	r = nats_stream_find_time(connection, &reader->params, reader->position.mark_seq, &time_ns,
				  err);
	if (r == 0 && !stream_position_check(&reader->position, time_ns))
		cut(reader);
	return r == -EACCES ? 0 : r;
}

/* 0: the position is that of the first message to read, or *ret_from_ns is its time. */
static int find_position(struct nats_reader *reader, struct nats_connection *connection,
			 uint64_t *ret_from_ns, struct errmsg *err)
{
	const struct stream_wish wish = {(uint32_t)reader->params.session,
					 reader->params.backfill_ms};
	enum stream_begin begin;
	int r;

	*ret_from_ns = 0;
	if (!is_stream(reader))
		return 0;
	r = nats_stream_look(connection, &reader->params, &reader->seen, err);
	if (r < 0)
		return r;
	begin = stream_position_find(&reader->position, &reader->seen, &wish, clock_wall_ns(),
				     ret_from_ns);
	log_begin(reader, begin);
	if (begin == STREAM_IS_SHORTER)
		return wait_for_more(reader, err);
	return begin == STREAM_GOES_ON ? check_mark(reader, connection, err) : 0;
}

/* With one consumer.  0; or -errno: it could not be made. */
static int read_consumer(struct nats_reader *reader, struct nats_connection *connection,
			 const char **why, struct errmsg *err)
{
	struct nats_consumer consumer;
	uint64_t from_ns;
	int r = find_position(reader, connection, &from_ns, err);

	if (r == 0)
		r = nats_consumer_open(&consumer, connection, &reader->params,
				       from_ns ? 0 : reader->position.next_seq, from_ns, err);
	if (r < 0)
		return r;
	if (!reader->position.next_seq && !consumer.pending)
		reader->position.next_seq = stream_seen_end(&reader->seen);
	end_trouble(reader);
	*why = "";
	if (!reader->position.next_seq || put_position(reader))
		*why = read_messages(reader, &consumer);
	nats_consumer_close(&consumer);
	return 0;
}

static void note_renewal(struct nats_reader *reader, const char *server, const char *why)
{
	uint64_t suppressed;

	if (!reader->trouble_ms)
		reader->trouble_ms = now_ms();
	(void)pthread_mutex_lock(&reader->lock);
	reader->report.renewals++;
	(void)pthread_mutex_unlock(&reader->lock);
	if (log_allow(&reader->renewals_log, clock_mono_ns(), &suppressed))
		log_warn("nats source read anew feed=%s server=%s next=%llu: %s suppressed=%llu",
			 reader->feed, server, (unsigned long long)reader->position.next_seq, why,
			 (unsigned long long)suppressed);
}

/* With one connection, until it is lost, or nothing can be read through it. */
static void read_connection(struct nats_reader *reader, struct nats_connection *connection)
{
	const char *why = "";
	struct errmsg err;

	do {
		uint64_t began_ms = now_ms();

		if (read_consumer(reader, connection, &why, &err) < 0) {
			tell_trouble(reader, &err);
			pause_thread(reader);
			return;
		}
		if (*why)
			note_renewal(reader, connection->server, why);
		if (*why && now_ms() - began_ms < SHORT_MS) /* not again and again at once */
			pause_thread(reader);
	} while (!is_stopped(reader) && *why && !*nats_connection_why_lost(connection));
}

static void *run(void *arg)
{
	struct nats_reader *reader = arg;
	char name[NAME_BYTES + 16];

	(void)pthread_setname_np(pthread_self(), "nats reader");
	(void)snprintf(name, sizeof(name), "relay feed %s", reader->feed);
	while (!is_stopped(reader)) {
		struct nats_connection connection;
		struct errmsg err;

		if (nats_connection_open(&connection, &reader->params, name, &err) < 0) {
			tell_trouble(reader, &err);
			pause_thread(reader);
			continue;
		}
		set_server(reader, connection.server);
		read_connection(reader, &connection);
		set_server(reader, "");
		nats_connection_close(&connection);
		look_at_trouble(reader);
	}
	nats_ReleaseThreadMemory();
	packet_batch_fini(&reader->batch);
	return reader;
}

/* ---- life ---- */

static void release(struct nats_reader *reader)
{
	if (atomic_fetch_sub(&reader->owners, 1) != 1)
		return;
	(void)pthread_mutex_destroy(&reader->lock);
	explicit_bzero(&reader->params, sizeof(reader->params));
	free(reader);
}

static void *run_and_release(void *arg)
{
	release(run(arg));
	return NULL;
}

static struct nats_reader *new_reader(const struct nats_reader_params *params, int fd)
{
	struct nats_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return NULL;
	reader->params = *params->backbone;
	(void)snprintf(reader->feed, sizeof(reader->feed), "%s", params->feed);
	atomic_init(&reader->owners, 2);
	atomic_init(&reader->max_message, params->max_message);
	(void)pthread_mutex_init(&reader->lock, NULL);
	reader->loop = params->loop;
	reader->news = params->news;
	reader->batch.fd = fd;
	reader->batch.is_stopped = &reader->is_stopped;
	reader->position.session = params->session;
	reader->position.next_seq = params->next_seq;
	return reader;
}

int nats_reader_start(const struct nats_reader_params *params, struct nats_reader **ret,
		      int *ret_fd)
{
	struct nats_reader *reader;
	pthread_t thread;
	int fds[2], r = -ENOMEM;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	reader = new_reader(params, fds[1]);
	if (reader)
		r = thread_start(run_and_release, reader, &thread);
	if (r < 0) {
		fd_close(&fds[0]);
		fd_close(&fds[1]);
		free(reader);
		return r;
	}
	(void)pthread_detach(thread);
	*ret = reader;
	*ret_fd = fds[0];
	return 0;
}

void nats_reader_stop(struct nats_reader **reader_ptr)
{
	struct nats_reader *reader = *reader_ptr;

	*reader_ptr = NULL;
	if (!reader)
		return;
	atomic_store(&reader->is_stopped, true);
	(void)pthread_mutex_lock(&reader->lock);
	reader->loop = NULL;
	(void)pthread_mutex_unlock(&reader->lock);
	release(reader);
}

void nats_reader_report(struct nats_reader *reader, struct nats_report *ret)
{
	(void)pthread_mutex_lock(&reader->lock);
	*ret = reader->report;
	(void)pthread_mutex_unlock(&reader->lock);
}

void nats_reader_set_max_message(struct nats_reader *reader, uint64_t max_message)
{
	atomic_store(&reader->max_message, max_message);
}
