// SPDX-License-Identifier: MIT
/* Files of /proc, getrlimit(2) and uname(2). */
#include "tools/relayctl/doctor_facts.h"

#include "base/fd.h"
#include "base/num.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The file's text, its blanks made single and those at the end cut; "" when it cannot be read. */
static void read_text(char *buf, size_t size, const char *proc, const char *name)
{
	char path[512];
	size_t at = 0;
	ssize_t got;
	int fd;

	buf[0] = '\0';
	(void)snprintf(path, sizeof path, "%s/%s", proc, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, buf, size - 1);
	fd_close(&fd);
	for (ssize_t i = 0; i < got; i++) {
		bool is_blank = strchr(" \t\n", buf[i]) != NULL;

		if (!is_blank)
			buf[at++] = buf[i];
		else if (at > 0 && buf[at - 1] != ' ')
			buf[at++] = ' ';
	}
	if (at > 0 && buf[at - 1] == ' ')
		at--;
	buf[at] = '\0';
}

/* The word that stands at place `index` of the text, as a number. */
static uint64_t number_at(const char *text, size_t index)
{
	char word[NUM_PRINT_BYTES];
	uint64_t value;
	size_t length;

	while (index-- > 0) {
		text += strcspn(text, " ");
		text += strspn(text, " ");
	}
	length = strcspn(text, " ");
	if (length >= sizeof word)
		return FACT_NOT_KNOWN;
	memcpy(word, text, length);
	word[length] = '\0';
	return num_parse_count(word, &value) < 0 ? FACT_NOT_KNOWN : value;
}

static uint64_t read_number(const char *proc, const char *name, size_t index)
{
	char text[FACT_TEXT_BYTES];

	read_text(text, sizeof text, proc, name);
	return number_at(text, index);
}

/* "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3" */
static uint64_t read_tcp_pages(const char *proc)
{
	char text[4 * FACT_TEXT_BYTES];
	const char *at;

	read_text(text, sizeof text, proc, "net/sockstat");
	at = strstr(text, "TCP: ");
	at = at ? strstr(at, " mem ") : NULL;
	return at ? number_at(at + 5, 0) : FACT_NOT_KNOWN;
}

/* Digits at *at, which moves behind them and a dot that follows. */
static bool take_number(const char **at, unsigned *ret)
{
	size_t length = strspn(*at, "0123456789");
	char digits[8];
	uint64_t value;

	if (length == 0 || length >= sizeof digits)
		return false;
	memcpy(digits, *at, length);
	digits[length] = '\0';
	if (num_parse_count(digits, &value) < 0)
		return false;
	*at += length + ((*at)[length] == '.');
	*ret = (unsigned)value;
	return true;
}

bool doctor_facts_parse_kernel(struct doctor_facts *facts, const char *release, const char *version)
{
	const char *debian = strstr(version, "Debian ");
	const char *at = debian ? debian + strlen("Debian ") : release;

	(void)snprintf(facts->kernel, sizeof facts->kernel, "%s%s%.*s%s", release,
		       debian ? " (" : "", debian ? (int)strcspn(at, " ") : 0, at,
		       debian ? ")" : "");
	return take_number(&at, &facts->kernel_major) && take_number(&at, &facts->kernel_minor) &&
	       take_number(&at, &facts->kernel_patch);
}

static void read_process(struct doctor_facts *facts)
{
	struct rlimit limit;
	struct utsname name;

	facts->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	facts->is_exempt = geteuid() == 0;
	facts->descriptors_soft = facts->descriptors_hard = FACT_NOT_KNOWN;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		facts->descriptors_soft = limit.rlim_cur;
		facts->descriptors_hard = limit.rlim_max;
	}
	if (uname(&name) < 0 || !doctor_facts_parse_kernel(facts, name.release, name.version))
		facts->kernel_major = 0;
}

void doctor_facts_read(struct doctor_facts *ret, const char *proc)
{
	*ret = (struct doctor_facts){0};
	read_process(ret);
	ret->nr_open = read_number(proc, "sys/fs/nr_open", 0);
	ret->pipe_pages_soft = read_number(proc, "sys/fs/pipe-user-pages-soft", 0);
	ret->pipe_pages_hard = read_number(proc, "sys/fs/pipe-user-pages-hard", 0);
	ret->pipe_max_bytes = read_number(proc, "sys/fs/pipe-max-size", 0);
	ret->somaxconn = read_number(proc, "sys/net/core/somaxconn", 0);
	ret->syn_backlog = read_number(proc, "sys/net/ipv4/tcp_max_syn_backlog", 0);
	ret->tcp_mem_pressure = read_number(proc, "sys/net/ipv4/tcp_mem", 1);
	ret->tcp_pages_used = read_tcp_pages(proc);
	ret->tcp_wmem_max = read_number(proc, "sys/net/ipv4/tcp_wmem", 2);
	read_text(ret->congestion, sizeof ret->congestion, proc,
		  "sys/net/ipv4/tcp_congestion_control");
	read_text(ret->congestion_available, sizeof ret->congestion_available, proc,
		  "sys/net/ipv4/tcp_available_congestion_control");
	read_text(ret->congestion_allowed, sizeof ret->congestion_allowed, proc,
		  "sys/net/ipv4/tcp_allowed_congestion_control");
	doctor_facts_try(ret);
}
