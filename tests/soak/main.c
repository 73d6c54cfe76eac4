// SPDX-License-Identifier: MIT
/*
 * relay-soak: the crowd that tests/soak/run sends to a relay that it has started. Options, then one
 * of the plans.
 */
#include "soak.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tests/bench/wire.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_NS (50 * NS_PER_MS)

static const char usage_text[] =
	"usage: relay-soak --plan churn|stall|upgrade --relay-pid PID [option]...\n"
	"  --feed INGEST,RAW,FRAMED  127.0.0.1:PORT of a feed, once for each\n"
	"  --subscribers N           1000, of all feeds, half of them framed\n"
	"  --readers N               50 of these read (stall)\n"
	"  --message BYTES           1k, a multiple of 16     --rate N   4 a second on each feed\n"
	"  --churn N                 1000 joins and leaves a second (churn)\n"
	"  --upgrades N              20 (upgrade)     --command TEXT   instead of SIGUSR2, by the "
	"shell\n"
	"  --seconds N               10\n";

uint64_t soak_read_tcp_memory(void)
{
	FILE *file = fopen("/proc/net/sockstat", "re");
	unsigned long long pages = 0;
	char line[256];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "TCP: inuse %*u orphan %*u tw %*u alloc %*u mem %llu", &pages) ==
		    1)
			break;
	fclose(file);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void soak_count_fds(pid_t pid, struct soak_fds *ret)
{
	static const char socket_link[] = "socket:";
	char path[64], link[sizeof(socket_link)];
	struct dirent *entry;
	DIR *directory;

	*ret = (struct soak_fds){0};
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		ssize_t n = readlinkat(dirfd(directory), entry->d_name, link, sizeof(link));

		if (n < 0)
			continue; /* "." and "..", or closed meanwhile */
		if (memcmp(link, socket_link, sizeof(socket_link) - 1) == 0)
			ret->sockets++;
		else
			ret->others++;
	}
	if (directory)
		closedir(directory);
}

void soak_wait_sockets(struct crowd *crowd, uint64_t sockets, uint64_t limit_ns,
		       struct soak_fds *ret)
{
	uint64_t end_ns = clock_mono_ns() + limit_ns;

	for (;;) {
		soak_count_fds(crowd->params->relay_pid, ret);
		if (ret->sockets <= sockets || clock_mono_ns() > end_ns ||
		    crowd_run(crowd, clock_mono_ns() + LOOK_NS) < 0)
			return;
	}
}

/* "INGEST,RAW,FRAMED". */
static int parse_feed(char *text, struct soak_params *params)
{
	struct sockaddr_in *places[] = {&params->ingest[params->feeds], &params->raw[params->feeds],
					&params->framed[params->feeds]};
	char *rest = text;

	if (params->feeds == CROWD_FEEDS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < 3; i++) {
		char *part = strsep(&rest, ",");

		if (!part || wire_parse_address(part, places[i]) < 0)
			return -EINVAL;
	}
	params->feeds++;
	return rest ? -EINVAL : 0;
}

struct plan {
	const char *name;
	int (*run)(const struct soak_params *params);
};

static const struct plan plans[] = {
	{"churn", soak_run_churn}, {"stall", soak_run_stall}, {"upgrade", soak_run_upgrade}};

static const struct plan *find_plan(const char *name)
{
	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++)
		if (strcmp(name, plans[i].name) == 0)
			return &plans[i];
	return NULL;
}

static int parse_option(int code, char *text, struct soak_params *params, const struct plan **ret)
{
	uint64_t number = 0;

	switch (code) {
	case 'p':
		*ret = find_plan(text);
		return *ret ? 0 : -EINVAL;
	case 'f':
		return parse_feed(text, params);
	case 'm':
		return num_parse_bytes(text, &params->message);
	case 'n':
		return num_parse_count(text, &params->subscribers);
	case 'g':
		return num_parse_count(text, &params->readers);
	case 'r':
		return num_parse_count(text, &params->rate);
	case 'c':
		return num_parse_count(text, &params->churn);
	case 'x':
		params->command = text;
		return 0;
	case 'u':
		return num_parse_count(text, &params->upgrades);
	default:
		if (num_parse_count(text, &number) < 0)
			return -EINVAL;
		if (code == 's')
			params->seconds = (double)number;
		else
			params->relay_pid = (pid_t)number;
		return 0;
	}
}

static const struct option options[] = {
	{"plan", required_argument, NULL, 'p'},    {"relay-pid", required_argument, NULL, 'i'},
	{"feed", required_argument, NULL, 'f'},    {"subscribers", required_argument, NULL, 'n'},
	{"readers", required_argument, NULL, 'g'}, {"message", required_argument, NULL, 'm'},
	{"rate", required_argument, NULL, 'r'},    {"churn", required_argument, NULL, 'c'},
	{"seconds", required_argument, NULL, 's'}, {"upgrades", required_argument, NULL, 'u'},
	{"command", required_argument, NULL, 'x'}, {0},
};

int main(int argc, char **argv)
{
	struct soak_params params = {
		.subscribers = 1000,
		.readers = 50,
		.message = 1024,
		.rate = 4,
		.churn = 1000,
		.upgrades = 20,
		.seconds = 10,
	};
	const struct plan *plan = &plans[0];
	uint64_t fds;
	int code;

	while ((code = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (code == '?' || parse_option(code, optarg, &params, &plan) < 0) {
			fputs(usage_text, stderr);
			return 2;
		}
	}
	if (optind < argc || !params.feeds || !params.relay_pid || !params.rate ||
	    !params.message || params.message % STREAM_BLOCK_BYTES || !params.subscribers ||
	    !params.upgrades || params.readers > params.subscribers) {
		fputs(usage_text, stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (fd_limit(&fds) < 0 || fds < params.subscribers + 32) {
		fprintf(stderr, "relay-soak: the limit of open files is too low\n");
		return 1;
	}
	return plan->run(&params) < 0;
}
