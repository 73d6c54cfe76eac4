// SPDX-License-Identifier: MIT
/*
 * The CPU clock of a process (clock_getcpuclockid(3)), and readers of /proc/stat, /proc/PID/statm
 * and /proc/PID/fd (proc(5)). Each opens its file anew: they are called twice a run.
 */
#include "cost.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* To the nanosecond, where /proc/PID/stat counts in hundredths of a second. */
static double read_process_seconds(pid_t pid)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
		return 0;
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double read_system_seconds(void)
{
	unsigned long long user = 0, nice = 0, kernel = 0, idle, iowait, irq = 0, softirq = 0;
	FILE *file = fopen("/proc/stat", "re");

	if (!file)
		return 0;
	if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &kernel, &idle,
		   &iowait, &irq, &softirq) != 7)
		user = nice = kernel = irq = softirq = 0;
	fclose(file);
	return (double)(user + nice + kernel + irq + softirq) / (double)sysconf(_SC_CLK_TCK);
}

void cost_read(pid_t server_pid, struct cost *ret)
{
	ret->server_s = server_pid > 0 ? read_process_seconds(server_pid) : 0;
	ret->load_s = read_process_seconds(getpid());
	ret->system_s = read_system_seconds();
}

double cost_others(const struct cost *from, const struct cost *to, double seconds)
{
	double others_s = (to->system_s - from->system_s) - (to->server_s - from->server_s) -
			  (to->load_s - from->load_s);

	return others_s > 0 ? others_s / seconds : 0;
}

uint64_t cost_read_rss(pid_t pid)
{
	char path[64];
	unsigned long pages = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t cost_count_fds(pid_t pid)
{
	char path[64];
	uint64_t count = 0;
	struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	directory = opendir(path);
	if (!directory)
		return 0;
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			count++;
	closedir(directory);
	return count;
}
