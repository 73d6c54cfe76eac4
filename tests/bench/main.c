// SPDX-License-Identifier: MIT
/*
 * relay-bench: options, then one of the modes. tests/bench/run starts it, once for each
 * measurement.
 */
#include "base/fd.h"
#include "base/num.h"
#include "bench.h"
#include "dialect.h"
#include "floor.h"
#include "load.h"
#include "wire.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage_text[] =
	"usage: relay-bench [--mode MODE] SERVER [option]...\n"
	"MODE is throughput (the default), paced, memory, isolation or broadcast\n"
	"SERVER is  --ingest 127.0.0.1:PORT --subscribe 127.0.0.1:PORT --server-pid PID\n"
	"or         --baseline copy|splice|pair   a bare loop of the bench itself\n"
	"  --subscribers N       16          --size BYTES         64k, with its length prefix\n"
	"  --framing none|u32be  none        --format raw|framed  raw\n"
	"  --seconds S           2           --warmup S           0.5\n"
	"  --window BYTES        4m          --batch BYTES        0 = a send for each message\n"
	"  --piece BYTES         0; else the publisher splices pieces, each on a page of its own\n"
	"  --rcvbuf BYTES        0 = auto    --congestion NAME    the system's\n"
	"  --segment BYTES       256k for copy, 1m for splice, 512k for pair: what a bare loop "
	"takes "
	"at once\n"
	"  --rate N              1000 messages a second (paced)   --sleep  between them\n"
	"  --dialect NAME        relay, relay-http, relay-websocket, relay-messages, redis, nats, "
	"mqtt,\n"
	"                        websocket, icecast, zmq or nng (the last three modes)\n"
	"  --extra N             0 subscribers beside the others (isolation)\n"
	"  --extra-rate BYTES    0 a second, which each of them reads\n"
	"  --cpu N               1, -1 = not pinned\n"
	"  --server-cpu N        0, of a bare loop\n";

enum option_code {
	OPTION_MODE = 1,
	OPTION_BASELINE,
	OPTION_INGEST,
	OPTION_SUBSCRIBE,
	OPTION_SERVER_PID,
	OPTION_SUBSCRIBERS,
	OPTION_SIZE,
	OPTION_FRAMING,
	OPTION_FORMAT,
	OPTION_SECONDS,
	OPTION_WARMUP,
	OPTION_WINDOW,
	OPTION_BATCH,
	OPTION_PIECE,
	OPTION_RCVBUF,
	OPTION_SEGMENT,
	OPTION_RATE,
	OPTION_SLEEP,
	OPTION_DIALECT,
	OPTION_EXTRA,
	OPTION_EXTRA_RATE,
	OPTION_CONGESTION,
	OPTION_CPU,
	OPTION_SERVER_CPU,
};

static const struct option options[] = {
	{"mode", required_argument, NULL, OPTION_MODE},
	{"baseline", required_argument, NULL, OPTION_BASELINE},
	{"ingest", required_argument, NULL, OPTION_INGEST},
	{"subscribe", required_argument, NULL, OPTION_SUBSCRIBE},
	{"server-pid", required_argument, NULL, OPTION_SERVER_PID},
	{"subscribers", required_argument, NULL, OPTION_SUBSCRIBERS},
	{"size", required_argument, NULL, OPTION_SIZE},
	{"framing", required_argument, NULL, OPTION_FRAMING},
	{"format", required_argument, NULL, OPTION_FORMAT},
	{"seconds", required_argument, NULL, OPTION_SECONDS},
	{"warmup", required_argument, NULL, OPTION_WARMUP},
	{"window", required_argument, NULL, OPTION_WINDOW},
	{"batch", required_argument, NULL, OPTION_BATCH},
	{"piece", required_argument, NULL, OPTION_PIECE},
	{"rcvbuf", required_argument, NULL, OPTION_RCVBUF},
	{"segment", required_argument, NULL, OPTION_SEGMENT},
	{"rate", required_argument, NULL, OPTION_RATE},
	{"sleep", no_argument, NULL, OPTION_SLEEP},
	{"dialect", required_argument, NULL, OPTION_DIALECT},
	{"extra", required_argument, NULL, OPTION_EXTRA},
	{"extra-rate", required_argument, NULL, OPTION_EXTRA_RATE},
	{"congestion", required_argument, NULL, OPTION_CONGESTION},
	{"cpu", required_argument, NULL, OPTION_CPU},
	{"server-cpu", required_argument, NULL, OPTION_SERVER_CPU},
	{NULL, 0, NULL, 0},
};

/* The place of text in a list of words. Returns 0 or -EINVAL. */
static int parse_word(const char *text, const char *const *words, int *ret)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_seconds(const char *text, double *ret)
{
	char *end;

	*ret = strtod(text, &end);
	return end == text || *end || !(*ret >= 0 && *ret < 3600) ? -EINVAL : 0;
}

static int parse_int(const char *text, int *ret)
{
	char *end;
	long value = strtol(text, &end, 10);

	*ret = (int)value;
	return end == text || *end || value < -1 || value > 1 << 30 ? -EINVAL : 0;
}

static int parse_choice(int code, const char *text, struct bench_params *params)
{
	static const char *const modes[] = {"throughput", "paced",     "memory",
					    "isolation",  "broadcast", NULL};
	static const char *const floors[] = {"none", "copy", "splice", "pair", NULL};
	static const char *const framings[] = {"none", "u32be", NULL};
	static const char *const formats[] = {"raw", "framed", NULL};
	int place = 0, r;

	switch (code) {
	case OPTION_MODE:
		r = parse_word(text, modes, &place);
		params->mode = (enum bench_mode)place;
		return r;
	case OPTION_BASELINE:
		r = parse_word(text, floors, &place);
		params->floor = (enum bench_floor)place;
		return r;
	case OPTION_FRAMING:
		r = parse_word(text, framings, &place);
		params->is_length_framed = place;
		return r;
	default:
		r = parse_word(text, formats, &place);
		params->is_packet_format = place;
		return r;
	}
}

static int parse_option(int code, const char *text, struct bench_params *params)
{
	switch (code) {
	case OPTION_INGEST:
		return wire_parse_address(text, &params->ingest);
	case OPTION_SUBSCRIBE:
		return wire_parse_address(text, &params->subscribe);
	case OPTION_SERVER_PID:
		return parse_int(text, &params->server_pid);
	case OPTION_SUBSCRIBERS:
		return num_parse_count(text, &params->subscribers);
	case OPTION_SIZE:
		return num_parse_bytes(text, &params->size);
	case OPTION_SECONDS:
		return parse_seconds(text, &params->seconds);
	case OPTION_WARMUP:
		return parse_seconds(text, &params->warmup);
	case OPTION_WINDOW:
		return num_parse_bytes(text, &params->window);
	case OPTION_BATCH:
		return num_parse_bytes(text, &params->batch);
	case OPTION_PIECE:
		return num_parse_bytes(text, &params->piece);
	case OPTION_RCVBUF:
		return num_parse_bytes(text, &params->rcvbuf);
	case OPTION_SEGMENT:
		return num_parse_bytes(text, &params->segment);
	case OPTION_RATE:
		return num_parse_count(text, &params->rate);
	case OPTION_SLEEP:
		params->may_sleep = true;
		return 0;
	case OPTION_DIALECT:
		params->dialect = text;
		return dialect_find(text) ? 0 : -EINVAL;
	case OPTION_EXTRA:
		return num_parse_count(text, &params->extra);
	case OPTION_EXTRA_RATE:
		return num_parse_bytes(text, &params->extra_rate);
	case OPTION_CONGESTION:
		params->congestion = text;
		return 0;
	case OPTION_CPU:
		return parse_int(text, &params->cpu);
	case OPTION_SERVER_CPU:
		return parse_int(text, &params->server_cpu);
	default:
		return parse_choice(code, text, params);
	}
}

/* What the options contradict, or NULL. */
static const char *find_contradiction(const struct bench_params *params)
{
	uint64_t chunk = params->batch > params->size ? params->batch : params->size;

	if (params->subscribers < 1 || params->subscribers > 1000000)
		return "--subscribers must be 1 to 1000000";
	if (params->size < 1 || params->size > UINT64_C(64) << 20 ||
	    params->batch > UINT64_C(64) << 20 || params->rcvbuf > UINT64_C(1) << 30 ||
	    params->segment > UINT64_C(1) << 30)
		return "--size or --batch over 64m, or --rcvbuf or --segment over 1g";
	if (params->is_length_framed && params->size < 5)
		return "--size must be at least 5 with a length prefix";
	if (params->piece && params->mode != BENCH_THROUGHPUT)
		return "--piece is for throughput mode";
	if (params->mode == BENCH_PACED && (params->size < LOAD_STAMP_OFFSET + LOAD_STAMP_BYTES ||
					    params->batch || params->rate < 1))
		return "paced mode needs --size 12 or more, a --rate and no --batch";
	if (params->mode == BENCH_ISOLATION &&
	    (params->floor != BENCH_FLOOR_NONE || params->size < LOAD_STAMP_BYTES ||
	     params->rate < 1 || params->extra > 1000000))
		return "isolation mode needs a server, --size 8 or more and a --rate";
	if (params->mode == BENCH_BROADCAST &&
	    (params->floor != BENCH_FLOOR_NONE || params->size < 16))
		return "broadcast mode needs a server and --size 16 or more";
	if ((params->mode == BENCH_THROUGHPUT || params->mode == BENCH_BROADCAST) &&
	    params->window < chunk)
		return "--window is smaller than what one send carries";
	if (params->floor != BENCH_FLOOR_NONE && params->is_packet_format)
		return "a bare loop knows no --format framed";
	if (params->floor == BENCH_FLOOR_NONE &&
	    (!params->subscribe.sin_port ||
	     (params->mode != BENCH_MEMORY && !params->ingest.sin_port)))
		return "no server: give --ingest and --subscribe, or --baseline";
	if (params->mode == BENCH_MEMORY && !params->server_pid &&
	    params->floor == BENCH_FLOOR_NONE)
		return "memory mode needs --server-pid";
	return NULL;
}

static int run_mode(const struct bench_params *params)
{
	switch (params->mode) {
	case BENCH_PACED:
		return bench_run_paced(params);
	case BENCH_MEMORY:
		return bench_run_memory(params);
	case BENCH_ISOLATION:
		return bench_run_isolation(params);
	case BENCH_BROADCAST:
		return bench_run_broadcast(params);
	case BENCH_THROUGHPUT:
	default:
		return bench_run_throughput(params);
	}
}

static int run(struct bench_params *params)
{
	uint64_t fds;
	int r = fd_limit(&fds);

	if (r == 0 && params->floor != BENCH_FLOOR_NONE)
		r = floor_start(params);
	if (r == 0)
		r = wire_pin(params->cpu);
	if (r < 0)
		fprintf(stderr, "relay-bench: start: %s\n", strerror(-r));
	else
		r = run_mode(params);
	if (params->floor != BENCH_FLOOR_NONE && params->server_pid > 0)
		floor_stop(params);
	return r;
}

int main(int argc, char **argv)
{
	struct bench_params params = {
		.subscribers = 16,
		.size = UINT64_C(64) << 10,
		.window = UINT64_C(4) << 20,
		.rate = 1000,
		.warmup = 0.5,
		.seconds = 2,
		.congestion = "",
		.dialect = "relay",
		.cpu = 1,
	};
	const char *contradiction;
	int code, place = 0;

	while ((code = getopt_long(argc, argv, "", options, &place)) != -1) {
		if (code == '?' || parse_option(code, optarg, &params) < 0) {
			if (code != '?')
				fprintf(stderr, "relay-bench: --%s %s?\n", options[place].name,
					optarg);
			fputs(usage_text, stderr);
			return 2;
		}
	}
	contradiction = optind < argc ? "no arguments but options" : find_contradiction(&params);
	if (contradiction) {
		fprintf(stderr, "relay-bench: %s\n", contradiction);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	return run(&params) < 0;
}
