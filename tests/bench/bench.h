// SPDX-License-Identifier: MIT
/*
 * relay-bench: one publisher and N subscribers in one process, on loopback, against relay or
 * against one of two bare loops (floor.h). This header has what all its files share: the parameters
 * of a run. A run prints one line of JSON on stdout; nothing here judges a figure.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum bench_mode {
	BENCH_THROUGHPUT, /* as fast as the window lets it, spinning */
	BENCH_PACED,      /* rate messages a second, latency percentiles */
	BENCH_MEMORY,     /* subscribers that only connect */
	BENCH_ISOLATION,  /* as paced, beside subscribers that do not read, for other servers too */
	BENCH_BROADCAST,  /* as throughput, for other servers too */
};

enum bench_floor {
	BENCH_FLOOR_NONE, /* relay, started by somebody else */
	BENCH_FLOOR_COPY,
	BENCH_FLOOR_SPLICE,
	BENCH_FLOOR_PAIR,
};

struct bench_params {
	enum bench_mode mode;
	enum bench_floor floor;
	struct sockaddr_in ingest;    /* where the publisher connects to */
	struct sockaddr_in subscribe; /* where the subscribers connect to */
	pid_t server_pid;             /* whose CPU and memory is read; 0 = nobody's */
	uint64_t subscribers;
	uint64_t size;          /* bytes of a message, its length prefix included */
	bool is_length_framed;  /* each message begins with a u32be of the bytes after it */
	bool is_packet_format;  /* subscribers get relay's 32-byte packet headers */
	uint64_t batch;         /* bytes a send carries, in whole messages; 0 = one message */
	uint64_t piece;         /* throughput: bytes on a page of their own (loose.h); 0 = send() */
	uint64_t window;        /* bytes the publisher may be ahead of the slowest subscriber */
	uint64_t rcvbuf;        /* SO_RCVBUF of subscribers; 0 = autotuning */
	uint64_t segment;       /* bytes the bare loops take at once; 0 = their default */
	uint64_t rate;          /* paced: messages a second */
	bool may_sleep;         /* paced: sleep between messages instead of spinning */
	const char *dialect;    /* of the server, a name for dialect_find() */
	uint64_t extra;         /* isolation: subscribers that do not keep up */
	uint64_t extra_rate;    /* bytes a second that each of these reads; 0 = none */
	double warmup;          /* seconds */
	double seconds;         /* of the measured part */
	const char *congestion; /* of the publisher and the bare loops; "" = the system's */
	int cpu;                /* of the load; -1 = not pinned */
	int server_cpu;         /* of a bare loop; -1 = not pinned */
};

/* The modes. Each prints its JSON line and returns 0, or returns -errno after a line on
 * stderr. */
int bench_run_throughput(const struct bench_params *params);
int bench_run_paced(const struct bench_params *params);
int bench_run_memory(const struct bench_params *params);
int bench_run_isolation(const struct bench_params *params);
int bench_run_broadcast(const struct bench_params *params);

#endif
