// SPDX-License-Identifier: MIT
/* The budget.  Figures of the kernel that cannot be had are left out of the line, not guessed. */
#include "daemon/budget.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "fanout/rendition.h"
#include "http/http_connection.h"
#include "intake/intake.h"
#include "pipe/pipe_set.h"

enum {
	FDS_RESERVED = 64,           /* log, loop, signals, listeners, a configuration being read */
	FDS_RESERVED_PER_FEED = 256, /* in each worker, at least; a pipe has two */
	HTTP_FORMATS = 2,            /* that an http listener offers from the start */
	FEEDS_FOR_ANY_MAX = 10,      /* they have more combinations than max_combinations can be */
	PIPE_SLOT_BYTES = 4096,
	PATH_BYTES = 1024,
	PIPES_TRIED_MAX = 1024, /* more are not worth the time at start */
};

static bool has_format(const struct config *config, const struct config_feed *feed,
		       enum format format)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		if (listener->format == format && config_is_served(listener, feed))
			return true;
	}
	return false;
}

/* That may be in use, in all workers. */
static size_t rings_of(const struct config *config, const struct config_feed *feed,
		       unsigned workers)
{
	size_t formats = 0;

	for (int i = 0; i < FORMAT_COUNT; i++) {
		if (has_format(config, feed, (enum format)i))
			formats += i == FORMAT_HTTP ? HTTP_FORMATS : 1;
	}
	return workers * formats;
}

static size_t ring_pipes_of(const struct config_feed *feed, size_t rings)
{
	if (feed->engine == CONFIG_ENGINE_COPY)
		return 0;
	return rings * rendition_max_pipes(feed->ring, feed->segment);
}

static size_t pipes_of(const struct config *config, const struct config_feed *feed,
		       unsigned workers)
{
	if (feed->engine == CONFIG_ENGINE_COPY)
		return 0;
	return INTAKE_PIPES_MAX + ring_pipes_of(feed, rings_of(config, feed, workers));
}

/* Of a feed, those in which laggards stand included. */
static uint64_t descriptors_of(const struct config *config, const struct config_feed *feed,
			       unsigned workers)
{
	uint64_t pipes =
		pipes_of(config, feed, workers) + RING_HELD_PIPES * rings_of(config, feed, workers);

	return u64_max(2 * pipes, FDS_RESERVED_PER_FEED * workers);
}

/* Of so many feeds, two or more are asked for at once. */
static uint64_t count_combinations(unsigned feeds, uint64_t max)
{
	return feeds < FEEDS_FOR_ANY_MAX ? u64_min((1U << feeds) - 1 - feeds, max) : max;
}

/* Of combinations that are first asked for at this listener, each in one format.  *widest: the ring
 * and the segments of any of them are no larger. */
static size_t combined_rings_of(const struct config *config, const struct config_listener *listener,
				unsigned workers, struct config_feed *widest)
{
	unsigned feeds = 0;

	*widest = (struct config_feed){.engine = CONFIG_ENGINE_COPY};
	if (listener->format != FORMAT_HTTP || listener->delay)
		return 0;
	for (size_t i = 0; i < config->feed_count; i++) {
		const struct config_feed *feed = &config->feeds[i];

		if (!config_is_served(listener, feed) || !config_has_messages(feed))
			continue;
		feeds++;
		widest->ring = size_max(widest->ring, feed->ring);
		widest->segment = size_max(widest->segment, feed->segment);
		if (feed->engine != CONFIG_ENGINE_COPY)
			widest->engine = feed->engine;
	}
	return workers * count_combinations(feeds, listener->max_combinations);
}

static uint64_t ring_bytes_of(const struct config_feed *feed)
{
	const struct ring ring = {.params.max_bytes = feed->ring};

	return ring_max_cost(&ring);
}

void budget_reckon(const struct config *config, unsigned workers, uint64_t fd_limit,
		   struct budget *budget)
{
	uint64_t wanted = config->relay.max_subscribers;
	uint64_t reserved = FDS_RESERVED;
	uint64_t possible, heads = 0, rings = 0;

	for (size_t i = 0; i < config->feed_count; i++) {
		const struct config_feed *feed = &config->feeds[i];

		reserved += descriptors_of(config, feed, workers);
		rings += rings_of(config, feed, workers) * ring_bytes_of(feed);
	}
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		struct config_feed widest;
		size_t combined = combined_rings_of(config, listener, workers, &widest);

		reserved += 2 * (ring_pipes_of(&widest, combined) + RING_HELD_PIPES * combined);
		rings += combined * ring_bytes_of(&widest);
		if (listener->format == FORMAT_HTTP || *listener->trusted_proxies)
			heads += listener->max_heads;
	}
	reserved += heads;
	possible = fd_limit > 2 * reserved ? fd_limit - reserved : fd_limit / 2;
	budget->descriptors = fd_limit;
	budget->heads_bytes = heads * HTTP_CONNECTION_BYTES;
	budget->rings_bytes = rings;
	budget->reserved = fd_limit - possible;
	budget->subscribers = wanted ? u64_min(wanted, possible) : possible;
	budget->is_by_option = wanted && wanted <= possible;
	if (wanted > possible)
		log_warn("max_subscribers=%llu is more than the limit of open files allows: %llu; "
			 "raise LimitNOFILE",
			 (unsigned long long)wanted, (unsigned long long)possible);
}

/* ---- pipes ---- */

/* Pipes that are open to find out if there are so many. */
struct tried_pipes {
	struct pipe *list;
	size_t count, max;
	size_t wanted;
	bool goes_on; /* none has failed yet */
};

static void try_pipes(struct tried_pipes *tried, size_t more, const struct config_feed *feed)
{
	tried->wanted += more;
	while (tried->goes_on && tried->count < size_min(tried->wanted, tried->max)) {
		struct pipe *next = &tried->list[tried->count];

		tried->goes_on = pipe_open(next, pipe_set_slots(feed->segment)) == 0;
		tried->count += tried->goes_on;
	}
}

static void probe_pipes(const struct config *config, unsigned workers, struct budget *budget)
{
	size_t tried_max = (size_t)u64_min(PIPES_TRIED_MAX, budget->descriptors / 4);
	struct tried_pipes tried = {.list = calloc(tried_max + 1, sizeof(struct pipe)),
				    .max = tried_max};

	tried.goes_on = tried.list != NULL;
	for (size_t i = 0; i < config->feed_count; i++)
		try_pipes(&tried, pipes_of(config, &config->feeds[i], workers), &config->feeds[i]);
	for (size_t i = 0; i < config->listener_count; i++) {
		struct config_feed widest;
		size_t rings = combined_rings_of(config, &config->listeners[i], workers, &widest);

		try_pipes(&tried, ring_pipes_of(&widest, rings), &widest);
	}
	budget->pipes_wanted = tried.goes_on ? size_min(tried.wanted, tried.max) : tried.wanted;
	budget->pipes = tried.count;
	while (tried.count > 0)
		pipe_close(&tried.list[--tried.count]);
	free(tried.list);
}

/* Text of a small file.  False: it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

	fd_close(&fd);
	text[got > 0 ? got : 0] = '\0';
	return got > 0;
}

/* Numbers of a file of /proc/sys; false when they cannot be had. */
static bool read_numbers(const char *path, uint64_t *ret, size_t count)
{
	char text[128];
	char *at = text;

	if (!read_text(path, text, sizeof(text)))
		return false;
	for (size_t i = 0; i < count; i++) {
		char *word = at + strspn(at, " \t");

		at = word + strcspn(word, " \t\n");
		if (*at)
			*at++ = '\0';
		if (num_parse_count(word, &ret[i]) < 0)
			return false;
	}
	return true;
}

/* Whose pipes are counted (pipe_is_unprivileged_user() of Linux).  Where it cannot be found out,
 * they are not taken for it. */
static bool has_page_limit(void)
{
	const uint32_t exempt = CAP_TO_MASK(CAP_SYS_RESOURCE) | CAP_TO_MASK(CAP_SYS_ADMIN);
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	return syscall(SYS_capget, &head, sets) == 0 && !(sets[0].effective & exempt);
}

static void probe_pipe_pages(const struct config *config, struct budget *budget)
{
	unsigned slots = 0;
	uint64_t pages;

	for (size_t i = 0; i < config->feed_count; i++)
		slots = (unsigned)size_max(slots, pipe_set_slots(config->feeds[i].segment));
	if (!slots || !read_numbers("/proc/sys/fs/pipe-user-pages-soft", &pages, 1) ||
	    !has_page_limit())
		return;
	budget->pipe_pages = pages;
	budget->segments = pages / slots;
}

/* ---- TCP memory ---- */

static void probe_tcp(const struct config *config, struct budget *budget)
{
	uint64_t pages[3], bytes[3];
	uint64_t most = 0;
	bool is_autotuned = false;

	if (!read_numbers("/proc/sys/net/ipv4/tcp_mem", pages, 3) ||
	    !read_numbers("/proc/sys/net/ipv4/tcp_wmem", bytes, 3))
		return;
	for (size_t i = 0; i < config->listener_count; i++) {
		is_autotuned = is_autotuned || config->listeners[i].send_buffer == 0;
		most = u64_max(most, config->listeners[i].send_buffer);
	}
	budget->tcp_bytes = pages[1] * (uint64_t)sysconf(_SC_PAGESIZE);
	/* The kernel doubles what it is asked for (socket(7), SO_SNDBUF). */
	budget->stalled_bytes = is_autotuned ? u64_max(bytes[2], 2 * most) : 2 * most;
}

/* ---- memory ---- */

/* This process's cgroup of version 2, with a slash in front (cgroups(7)); NULL: none.  Cuts
 * `text`. */
static char *own_cgroup(char *text, size_t size)
{
	char *at = read_text("/proc/self/cgroup", text, size) ? text : NULL;

	while (at && strncmp(at, "0::/", 4) != 0) {
		at = strchr(at, '\n');
		at += at != NULL;
	}
	if (!at)
		return NULL;
	at[strcspn(at, "\n")] = '\0';
	return at + 3;
}

/* The lowest limit of this cgroup and those above it; 0: none.  "max" is no number, so it counts as
 * none. */
static uint64_t memory_limit(void)
{
	static const char *const files[] = {"memory.high", "memory.max"};
	char text[PATH_BYTES], path[PATH_BYTES + 64], value[64];
	char *group = own_cgroup(text, sizeof(text));
	uint64_t least = UINT64_MAX, limit;

	while (group) {
		char *end = strrchr(group, '/');

		for (size_t i = 0; i < ARRAY_LEN(files); i++) {
			(void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s/%s", group, files[i]);
			if (!read_text(path, value, sizeof(value)))
				continue;
			value[strcspn(value, "\n")] = '\0';
			if (num_parse_count(value, &limit) == 0)
				least = u64_min(least, limit);
		}
		if (!end)
			break;
		*end = '\0';
	}
	return least == UINT64_MAX ? 0 : least;
}

void budget_probe(const struct config *config, unsigned workers, struct budget *budget)
{
	probe_pipes(config, workers, budget);
	probe_pipe_pages(config, budget);
	probe_tcp(config, budget);
	budget->memory_bytes = memory_limit();
}

/* ---- the line ---- */

void budget_log(const struct budget *budget)
{
	const char *raise = budget->is_by_option ? "max_subscribers" : "LimitNOFILE";
	char tcp[160] = "", pages[80] = "";

	if (budget->stalled_bytes)
		(void)snprintf(tcp, sizeof(tcp),
			       " stalled=%llu at_bytes=%llu (lower send_buffer or raise "
			       "net.ipv4.tcp_mem for more)",
			       (unsigned long long)(budget->tcp_bytes / budget->stalled_bytes),
			       (unsigned long long)budget->stalled_bytes);
	if (budget->segments)
		(void)snprintf(pages, sizeof(pages), " pipe_pages=%llu segments=%llu",
			       (unsigned long long)budget->pipe_pages,
			       (unsigned long long)budget->segments);
	log_info("budget subscribers=%llu (raise %s for more) descriptors=%llu reserved=%llu "
		 "heads_bytes=%llu rings_bytes=%llu memory_limit=%llu pipes=%zu/%zu%s%s%s",
		 (unsigned long long)budget->subscribers, raise,
		 (unsigned long long)budget->descriptors, (unsigned long long)budget->reserved,
		 (unsigned long long)budget->heads_bytes, (unsigned long long)budget->rings_bytes,
		 (unsigned long long)budget->memory_bytes, budget->pipes, budget->pipes_wanted,
		 budget->pipes < budget->pipes_wanted
			 ? " (the rest is copied; raise fs.pipe-user-pages-soft for more)"
			 : "",
		 pages, tcp);
	if (budget->memory_bytes &&
	    budget->rings_bytes + budget->heads_bytes > budget->memory_bytes)
		log_warn("rings and requests may take %llu bytes of memory, but MemoryHigh= and "
			 "MemoryMax= allow %llu; lower ring, or raise them",
			 (unsigned long long)(budget->rings_bytes + budget->heads_bytes),
			 (unsigned long long)budget->memory_bytes);
}
