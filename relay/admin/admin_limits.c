// SPDX-License-Identifier: MIT
/* Limits.  What a sandbox hides is null, not guessed. */
#include "admin/admin_limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "admin/collect.h"
#include "base/fd.h"
#include "serve/served_feed.h"
#include "serve/service.h"

static const char *const sysctls[] = {
	"fs/file-max",
	"fs/nr_open",
	"fs/pipe-max-size",
	"fs/pipe-user-pages-hard",
	"fs/pipe-user-pages-soft",
	"net/core/somaxconn",
	"net/core/rmem_max",
	"net/core/wmem_max",
	"net/ipv4/ip_local_port_range",
	"net/ipv4/tcp_allowed_congestion_control",
	"net/ipv4/tcp_congestion_control",
	"net/ipv4/tcp_max_syn_backlog",
	"net/ipv4/tcp_mem",
	"net/ipv4/tcp_notsent_lowat",
	"net/ipv4/tcp_rmem",
	"net/ipv4/tcp_wmem",
};

/* "4096 16384 4194304"; the kernel puts tabs between numbers. */
static json_t *sysctl_json(const char *name)
{
	char path[128], text[256];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	fd_close(&fd);
	if (got <= 0)
		return json_null();
	while (got > 0 && text[got - 1] == '\n')
		got--;
	text[got] = '\0';
	for (char *at = text; (at = strchr(at, '\t'));)
		*at = ' ';
	return json_string(text);
}

static json_t *sysctls_json(void)
{
	json_t *json = json_object();

	for (size_t i = 0; i < ARRAY_LEN(sysctls); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s", sysctls[i]);
		for (char *at = name; (at = strchr(at, '/'));)
			*at = '.';
		(void)json_object_set_new(json, name, sysctl_json(sysctls[i]));
	}
	return json;
}

static json_t *limit_json(rlim_t limit)
{
	return limit == RLIM_INFINITY ? json_null() : json_integer((json_int_t)limit);
}

/* {"soft": 1024, "hard": null}; null is no limit. */
static json_t *rlimit_json(int resource)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return json_null();
	return json_pack("{s:o,s:o}", "soft", limit_json(limit.rlim_cur), "hard",
			 limit_json(limit.rlim_max));
}

static json_t *budget_json(const struct budget *budget)
{
	return json_pack(
		"{s:I,s:I,s:I,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "descriptors",
		(json_int_t)budget->descriptors, "reserved", (json_int_t)budget->reserved,
		"subscribers", (json_int_t)budget->subscribers, "is_by_option",
		budget->is_by_option, "pipes_wanted", (json_int_t)budget->pipes_wanted, "pipes",
		(json_int_t)budget->pipes, "pipe_pages", (json_int_t)budget->pipe_pages, "segments",
		(json_int_t)budget->segments, "tcp_bytes", (json_int_t)budget->tcp_bytes,
		"stalled_bytes", (json_int_t)budget->stalled_bytes, "rings_bytes",
		(json_int_t)budget->rings_bytes, "heads_bytes", (json_int_t)budget->heads_bytes,
		"memory_bytes", (json_int_t)budget->memory_bytes);
}

static json_t *kernel_json(void)
{
	struct utsname name;

	if (uname(&name) < 0)
		return json_null();
	return json_pack("{s:s,s:s,s:s}", "release", name.release, "version", name.version,
			 "machine", name.machine);
}

void admin_get_limits(const struct admin_request *request)
{
	struct service *service = request->admin->service;
	struct admin_process process;
	struct list_node *node;
	uint64_t pipes = 0;

	admin_describe(request->admin, &process);
	collect_reports(service, true);
	list_for_each (&service->feeds, node)
		pipes += served_feed_at(node)->report.metrics.pipes_open;
	admin_answer_json(request, 200,
			  json_pack("{s:o,s:{s:o,s:o},s:o,s:I,s:o}", "budget",
				    budget_json(process.budget), "rlimits", "nofile",
				    rlimit_json(RLIMIT_NOFILE), "memlock",
				    rlimit_json(RLIMIT_MEMLOCK), "sysctls", sysctls_json(),
				    "pipes_open", (json_int_t)pipes, "kernel", kernel_json()));
}
