// SPDX-License-Identifier: MIT
/*
 * relay-transfer: sends one file to one socket in one way and prints what that cost. The receiver
 * is another process, over loopback TCP, that reads and throws away, or with --check verifies every
 * byte. The clock runs from before the file is opened until the receiver has said that it has all.
 * tests/bench/transfer starts it, once for each measurement.
 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tools/shared/positions.h"
#include "transfer_file.h"
#include "transfer_ways.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: relay-transfer --file PATH --make BYTES           make the file\n"
	"       relay-transfer --file PATH --way WAY [option]...  send it, print JSON\n"
	"WAY is read-4k, read-32k, mmap, sendfile, splice, direct, direct-huge or "
	"direct-copy\n"
	"  --cache warm|cold   warm      --piece BYTES       the way's own\n"
	"  --check             verify each byte; times mean nothing then\n"
	"  --cpu N             0, -1 = not pinned            --receiver-cpu N    1\n";

enum {
	RECEIVE_BYTES = 256 * 1024,
	WAIT_MS = 60000,
};

struct params {
	const char *file;
	const struct transfer_way *way;
	uint64_t make_bytes;
	uint64_t piece;
	bool is_cold;
	bool check;
	int cpu;
	int receiver_cpu;
};

struct figures {
	double seconds;
	double user_s;
	double system_s;
	uint64_t waits;     /* voluntary context switches */
	uint64_t preempted; /* involuntary ones */
	double cached_before;
	double cached_after;
};

static int fail(const char *what, int r)
{
	fprintf(stderr, "relay-transfer: %s: %s\n", what, strerror(-r));
	return 1;
}

/* ---- the receiver ---- */

/* Reads `bytes`, or to the end. True when all came and, if asked for, were right. */
static bool receive_all(int fd, uint64_t bytes, bool check)
{
	uint8_t *buffer = malloc(RECEIVE_BYTES);
	struct positions_check positions;
	struct errmsg error = {.text = ""};
	unsigned errors = 0;
	uint64_t got = 0;

	positions_check_init(&positions, TRANSFER_SEED);
	while (buffer && got < bytes) {
		ssize_t n = read(fd, buffer, RECEIVE_BYTES);

		if (n <= 0)
			break;
		if (check)
			errors += positions_check_add(&positions, buffer, (size_t)n, &error);
		got += (uint64_t)n;
	}
	if (check) {
		errors += positions_check_finish(&positions, &error);
		if (errors || positions.verified != bytes)
			fprintf(stderr, "relay-transfer: %llu of %llu bytes were right: %s\n",
				(unsigned long long)positions.verified, (unsigned long long)bytes,
				error.text);
		return errors == 0 && positions.verified == bytes;
	}
	return got == bytes;
}

static int run_receiver(int listener, const struct params *params, uint64_t bytes)
{
	struct pollfd waiting = {.fd = listener, .events = POLLIN};
	char answer;
	int fd;

	(void)wire_pin(params->receiver_cpu);
	if (poll(&waiting, 1, WAIT_MS) != 1)
		return 1;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return 1;
	answer = receive_all(fd, bytes, params->check) ? 'y' : 'n';
	return write(fd, &answer, 1) == 1 ? 0 : 1;
}

/* A connection to a receiver that expects `bytes`: blocking; or -errno. */
static int open_receiver(const struct params *params, uint64_t bytes, pid_t *ret_pid)
{
	struct sockaddr_in address;
	int listener = wire_listen("", &address);
	int fd, flags;

	if (listener < 0)
		return listener;
	*ret_pid = fork();
	if (*ret_pid == 0)
		_exit(run_receiver(listener, params, bytes));
	fd_close(&listener);
	if (*ret_pid < 0)
		return -errno;
	fd = wire_connect(&address, 0, "");
	if (fd < 0)
		return fd;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -errno;
	return fd;
}

/* ---- one measurement ---- */

static double seconds_of(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static int prepare_cache(const struct params *params, struct figures *ret)
{
	int r = params->is_cold ? transfer_file_cool(params->file)
				: transfer_file_warm(params->file);

	if (r == 0)
		r = transfer_file_cached(params->file, &ret->cached_before);
	if (r < 0)
		return r;
	/* A figure under the wrong heading is worse than none. */
	return (params->is_cold ? ret->cached_before < 0.001 : ret->cached_before > 0.999) ? 0
											   : -EBUSY;
}

static int measure(const struct params *params, struct transfer *transfer, struct figures *ret)
{
	struct rusage before, after;
	uint64_t start;
	char answer = 'n';
	int r;

	(void)getrusage(RUSAGE_SELF, &before);
	start = clock_mono_ns();
	r = params->way->send(transfer);
	if (r == 0 && read(transfer->socket, &answer, 1) != 1)
		r = -ECONNRESET;
	ret->seconds = (double)(clock_mono_ns() - start) / 1e9;
	(void)getrusage(RUSAGE_SELF, &after);
	ret->user_s = seconds_of(after.ru_utime) - seconds_of(before.ru_utime);
	ret->system_s = seconds_of(after.ru_stime) - seconds_of(before.ru_stime);
	ret->waits = (uint64_t)(after.ru_nvcsw - before.ru_nvcsw);
	ret->preempted = (uint64_t)(after.ru_nivcsw - before.ru_nivcsw);
	return r < 0 ? r : answer == 'y' ? 0 : -EILSEQ;
}

static void print_figures(const struct params *params, const struct transfer *transfer,
			  const struct figures *figures)
{
	printf("{\"way\": \"%s\", \"bytes\": %llu, \"cache\": \"%s\", \"piece\": %zu, "
	       "\"seconds\": %.6f, \"user_s\": %.6f, \"system_s\": %.6f, \"calls\": %llu, "
	       "\"waits\": %llu, \"preempted\": %llu, \"copied_bytes\": %llu, "
	       "\"cached_before\": %.4f, \"cached_after\": %.4f}\n",
	       params->way->name, (unsigned long long)transfer->bytes,
	       params->is_cold ? "cold" : "warm", transfer->piece, figures->seconds,
	       figures->user_s, figures->system_s, (unsigned long long)transfer->calls,
	       (unsigned long long)figures->waits, (unsigned long long)figures->preempted,
	       (unsigned long long)transfer->copied, figures->cached_before, figures->cached_after);
}

static int run(const struct params *params)
{
	struct transfer transfer = {
		.path = params->file,
		.piece = params->piece ? params->piece : params->way->usual_piece,
	};
	struct figures figures = {0};
	pid_t receiver = -1;
	struct stat st;
	int r;

	if (stat(params->file, &st) < 0)
		return fail(params->file, -errno);
	transfer.bytes = (uint64_t)st.st_size;
	transfer.socket = open_receiver(params, transfer.bytes, &receiver);
	if (transfer.socket < 0)
		return fail("receiver", transfer.socket);
	(void)wire_pin(params->cpu);
	r = prepare_cache(params, &figures);
	if (r < 0)
		return fail(params->is_cold ? "the file does not leave the page cache"
					    : "the file does not stay in the page cache",
			    r);
	r = measure(params, &transfer, &figures);
	fd_close(&transfer.socket);
	(void)waitpid(receiver, NULL, 0);
	if (r == 0)
		r = transfer_file_cached(params->file, &figures.cached_after);
	if (r < 0)
		return fail(params->way->name, r);
	print_figures(params, &transfer, &figures);
	return 0;
}

/* ---- options ---- */

static bool parse_cpu(const char *text, int *ret)
{
	uint64_t cpu;

	if (strcmp(text, "-1") == 0) {
		*ret = -1;
		return true;
	}
	if (num_parse_count(text, &cpu) < 0 || cpu > 1023)
		return false;
	*ret = (int)cpu;
	return true;
}

static bool parse_option(struct params *params, const char *name, const char *value)
{
	if (strcmp(name, "file") == 0)
		params->file = value;
	else if (strcmp(name, "make") == 0)
		return num_parse_bytes(value, &params->make_bytes) == 0 && params->make_bytes;
	else if (strcmp(name, "way") == 0)
		return (params->way = transfer_way_find(value)) != NULL;
	else if (strcmp(name, "piece") == 0)
		return num_parse_bytes(value, &params->piece) == 0 && params->piece &&
		       params->piece % 4096 == 0;
	else if (strcmp(name, "cache") == 0) {
		params->is_cold = strcmp(value, "cold") == 0;
		return params->is_cold || strcmp(value, "warm") == 0;
	} else if (strcmp(name, "cpu") == 0)
		return parse_cpu(value, &params->cpu);
	else if (strcmp(name, "receiver-cpu") == 0)
		return parse_cpu(value, &params->receiver_cpu);
	else
		params->check = true;
	return true;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"file", required_argument, NULL, 1},
		{"make", required_argument, NULL, 1},
		{"way", required_argument, NULL, 1},
		{"piece", required_argument, NULL, 1},
		{"cache", required_argument, NULL, 1},
		{"cpu", required_argument, NULL, 1},
		{"check", no_argument, NULL, 1},
		{"receiver-cpu", required_argument, NULL, 1},
		{NULL, 0, NULL, 0},
	};
	struct params params = {.cpu = 0, .receiver_cpu = 1};
	int index = 0;
	int r;

	while ((r = getopt_long(argc, argv, "", options, &index)) == 1) {
		if (!parse_option(&params, options[index].name, optarg)) {
			fprintf(stderr, "relay-transfer: --%s %s: not possible\n%s",
				options[index].name, optarg, usage_text);
			return 64;
		}
	}
	if (r != -1 || optind != argc || !params.file || !params.make_bytes == !params.way) {
		fputs(usage_text, stderr);
		return 64;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (params.way)
		return run(&params);
	r = transfer_file_make(params.file, params.make_bytes);
	return r < 0 ? fail(params.file, r) : 0;
}
