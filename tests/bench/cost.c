// SPDX-License-Identifier: MIT
/*
 * Readers of /proc/PID/stat, /proc/stat, /proc/PID/statm and /proc/PID/fd (proc(5)). Each opens its
 * file anew: they are called twice a run.
 */
#include "cost.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static double read_process_seconds(pid_t pid)
{
	char path[64], line[1024];
	unsigned long user = 0, kernel = 0;
	const char *after_name;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	/* The name in parentheses may hold anything; fields 14 and 15 count from behind it. */
	if (fgets(line, sizeof(line), file) && (after_name = strrchr(line, ')')))
		sscanf(after_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		       &user, &kernel);
	fclose(file);
	return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
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
