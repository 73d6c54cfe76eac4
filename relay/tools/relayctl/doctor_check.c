// SPDX-License-Identifier: MIT
/* A function a check.  The values asked for are those of deploy/60-relay.conf and relay.service, or
 * below them the least that does no harm: a machine with the kernel's own defaults gets findings
 * only where these cost something. */
#include "tools/relayctl/doctor_check.h"

#include "base/num.h"
#include "tools/relayctl/relayctl_text.h"
#include "tools/shared/progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SYSCTL_FILE "/etc/sysctl.d/60-relay.conf"
#define SYSCTL_LINE(setting)                                                                       \
	"put the line \"" setting "\" into " SYSCTL_FILE ", then run: sysctl --system"

enum {
	SOMAXCONN_LEAST = 4096,
	SYN_BACKLOG_LEAST = 1024,
	TCP_WMEM_LEAST = 4 << 20,
	TCP_MEM_LEAST = 64 << 20,
	PIPE_BYTES_LEAST = 1 << 30, // of one user: 1,000 segments
};

const char *doctor_verdict_name(enum doctor_verdict verdict)
{
	static const char *const names[] = {
		[DOCTOR_OK] = "ok",
		[DOCTOR_FINDING] = "finding",
		[DOCTOR_NOT_KNOWN] = "not known",
	};

	return names[verdict];
}

void doctor_report_add(struct doctor_report *report, const char *name, enum doctor_verdict verdict,
		       const char *found, const char *change)
{
	struct doctor_result *result;

	report->findings += verdict == DOCTOR_FINDING;
	if (report->count == DOCTOR_RESULTS_MAX)
		return;
	result = &report->results[report->count++];
	*result = (struct doctor_result){.name = name, .verdict = verdict};
	(void)snprintf(result->found, sizeof result->found, "%s", found);
	if (verdict == DOCTOR_FINDING)
		(void)snprintf(result->change, sizeof result->change, "%s", change);
}

static void judge(struct doctor_report *report, const char *name, bool is_good, const char *change,
		  const char *fmt, ...) printf_like(5, 6);

static void judge(struct doctor_report *report, const char *name, bool is_good, const char *change,
		  const char *fmt, ...)
{
	char found[DOCTOR_TEXT_BYTES];
	va_list arguments;

	va_start(arguments, fmt);
	(void)vsnprintf(found, sizeof found, fmt, arguments);
	va_end(arguments);
	doctor_report_add(report, name, is_good ? DOCTOR_OK : DOCTOR_FINDING, found, change);
}

/* True when the number is known; else the check is closed. */
static bool is_known(struct doctor_report *report, const char *name, uint64_t value,
		     const char *setting)
{
	char found[DOCTOR_TEXT_BYTES];

	if (value != FACT_NOT_KNOWN)
		return true;
	(void)snprintf(found, sizeof found, "%s cannot be read", setting);
	doctor_report_add(report, name, DOCTOR_NOT_KNOWN, found, "");
	return false;
}

/* ---- kernel ---- */

/* From which patch level a long-term series has the fixes of what splice and tee do to pages of
 * sockets: CVE-2026-31431, CVE-2026-43284, CVE-2026-46300, CVE-2026-98549. */
static const struct {
	unsigned major, minor, patch;
} kernel_floors[] = {
	{6, 1, 192},
	{6, 12, 115},
	{6, 18, 22},
};

static void check_kernel(const struct doctor_facts *facts, struct doctor_report *report)
{
	unsigned major = facts->kernel_major, minor = facts->kernel_minor;
	char change[DOCTOR_TEXT_BYTES];

	if (major == 0) {
		doctor_report_add(report, "kernel", DOCTOR_NOT_KNOWN, facts->kernel, "");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(kernel_floors); i++) {
		if (kernel_floors[i].major != major || kernel_floors[i].minor != minor)
			continue;
		(void)snprintf(change, sizeof change,
			       "update the kernel to %u.%u.%u or later: fixes of splice, tee and "
			       "TCP are missing",
			       major, minor, kernel_floors[i].patch);
		judge(report, "kernel", facts->kernel_patch >= kernel_floors[i].patch, change, "%s",
		      facts->kernel);
		return;
	}
	if (major < 6 || (major == 6 && minor < 1)) {
		judge(report, "kernel", false, "update the kernel to 6.1 or later",
		      "%s is older than any that relay is tested with", facts->kernel);
	} else if (major > 6 || minor > 18) {
		judge(report, "kernel", true, "", "%s", facts->kernel);
	} else {
		(void)snprintf(change, sizeof change,
			       "%s: whether this series has the fixes of "
			       "splice and tee is not known here",
			       facts->kernel);
		doctor_report_add(report, "kernel", DOCTOR_NOT_KNOWN, change, "");
	}
}

/* ---- descriptors ---- */

static void check_descriptors(const struct doctor_facts *facts, struct doctor_report *report)
{
	char most[TEXT_BYTES];

	if (is_known(report, "descriptors", facts->descriptors_hard, "RLIMIT_NOFILE"))
		judge(report, "descriptors", facts->descriptors_hard >= DOCTOR_DESCRIPTORS_LEAST,
		      "the service: LimitNOFILE=1048576 under [Service], by systemctl edit relay, "
		      "then restart it; started by hand: \"USER hard nofile 1048576\" in "
		      "/etc/security/limits.d/relay.conf, then log in again",
		      "this user may open %s, one a subscriber (LimitNOFILE, ulimit -Hn)",
		      text_count(most, sizeof most, facts->descriptors_hard));
	if (is_known(report, "nr_open", facts->nr_open, "fs.nr_open"))
		judge(report, "nr_open", facts->nr_open >= 1048576,
		      SYSCTL_LINE("fs.nr_open = 1048576"),
		      "fs.nr_open = %" PRIu64 ": what LimitNOFILE can be at most", facts->nr_open);
}

/* ---- pipes ---- */

static void check_pipe_pages(struct doctor_report *report, const char *name, uint64_t pages,
			     uint64_t page_bytes, const char *setting, const char *change)
{
	char bytes[NUM_PRINT_BYTES];

	if (!is_known(report, name, pages, setting))
		return;
	if (pages == 0)
		judge(report, name, true, "", "%s = 0: no limit", setting);
	else
		judge(report, name, pages >= PIPE_BYTES_LEAST / page_bytes, change,
		      "%s = %" PRIu64 ": the pipes of one user may hold %s; behind that relay has "
		      "to copy",
		      setting, pages, num_print_bytes(bytes, sizeof bytes, pages * page_bytes));
}

static void check_pipe_trial(const struct doctor_facts *facts, struct doctor_report *report)
{
	const char *who = facts->is_exempt ? " (as root, which the quota does not hold)" : "";

	if (facts->pipe_error != 0) {
		judge(report, "pipe_quota", false,
		      SYSCTL_LINE("fs.pipe-user-pages-hard = 0") "; and see descriptors",
		      "a pipe cannot be made: %s%s", strerror(facts->pipe_error), who);
		return;
	}
	judge(report, "pipe_quota",
	      facts->pipe_size_error == 0 && facts->pipe_bytes > 2 * facts->page_bytes,
	      SYSCTL_LINE("fs.pipe-user-pages-soft = 1048576"),
	      "a new pipe has %" PRIu64 " slots and can %sbe enlarged to 1 MiB%s%s%s",
	      facts->pipe_bytes / facts->page_bytes, facts->pipe_size_error ? "not " : "",
	      facts->pipe_size_error ? ": " : "",
	      facts->pipe_size_error ? strerror(facts->pipe_size_error) : "", who);
}

static void check_pipes(const struct doctor_facts *facts, struct doctor_report *report)
{
	check_pipe_pages(report, "pipe_pages_soft", facts->pipe_pages_soft, facts->page_bytes,
			 "fs.pipe-user-pages-soft",
			 SYSCTL_LINE("fs.pipe-user-pages-soft = 1048576"));
	check_pipe_pages(report, "pipe_pages_hard", facts->pipe_pages_hard, facts->page_bytes,
			 "fs.pipe-user-pages-hard", SYSCTL_LINE("fs.pipe-user-pages-hard = 0"));
	if (is_known(report, "pipe_size", facts->pipe_max_bytes, "fs.pipe-max-size"))
		judge(report, "pipe_size", facts->pipe_max_bytes >= FACT_SEGMENT_BYTES,
		      SYSCTL_LINE("fs.pipe-max-size = 1048576"),
		      "fs.pipe-max-size = %" PRIu64 ": a segment can be as large",
		      facts->pipe_max_bytes);
	check_pipe_trial(facts, report);
}

static void check_calls(const struct doctor_facts *facts, struct doctor_report *report)
{
	const struct {
		const char *name;
		int error;
	} calls[] = {
		{"vmsplice", facts->vmsplice_error},
		{"tee", facts->tee_error},
		{"splice", facts->splice_error},
	};

	for (size_t i = 0; facts->pipe_error == 0 && i < ARRAY_LEN(calls); i++)
		judge(report, calls[i].name, calls[i].error == 0,
		      "permit splice, tee and vmsplice: in the unit's SystemCallFilter= (they are "
		      "in "
		      "@system-service), or in the seccomp profile of the container",
		      "%s(2) %s%s", calls[i].name, calls[i].error ? "is refused: " : "is permitted",
		      calls[i].error ? strerror(calls[i].error) : "");
}

/* ---- network ---- */

static void check_backlog(const struct doctor_facts *facts, struct doctor_report *report)
{
	if (is_known(report, "somaxconn", facts->somaxconn, "net.core.somaxconn"))
		judge(report, "somaxconn", facts->somaxconn >= SOMAXCONN_LEAST,
		      SYSCTL_LINE("net.core.somaxconn = 65535"),
		      "net.core.somaxconn = %" PRIu64 ": who comes when so many wait is refused",
		      facts->somaxconn);
	if (is_known(report, "syn_backlog", facts->syn_backlog, "net.ipv4.tcp_max_syn_backlog"))
		judge(report, "syn_backlog", facts->syn_backlog >= SYN_BACKLOG_LEAST,
		      SYSCTL_LINE("net.ipv4.tcp_max_syn_backlog = 65535"),
		      "net.ipv4.tcp_max_syn_backlog = %" PRIu64 ": connections half made",
		      facts->syn_backlog);
}

static void check_tcp_memory(const struct doctor_facts *facts, struct doctor_report *report)
{
	uint64_t pressure = facts->tcp_mem_pressure, used = facts->tcp_pages_used;
	char most[NUM_PRINT_BYTES], now[NUM_PRINT_BYTES], change[DOCTOR_TEXT_BYTES];

	if (is_known(report, "tcp_wmem", facts->tcp_wmem_max, "net.ipv4.tcp_wmem"))
		judge(report, "tcp_wmem", facts->tcp_wmem_max >= TCP_WMEM_LEAST,
		      SYSCTL_LINE("net.ipv4.tcp_wmem = 4096 65536 16777216"),
		      "net.ipv4.tcp_wmem allows a send buffer of %s",
		      num_print_bytes(most, sizeof most, facts->tcp_wmem_max));
	if (!is_known(report, "tcp_mem", pressure, "net.ipv4.tcp_mem"))
		return;
	used = used == FACT_NOT_KNOWN ? 0 : used;
	pressure = u64_max(pressure, 1);
	// Its own proportions, with at least the double of what is there.
	pressure = u64_max(2 * pressure, 2 * TCP_MEM_LEAST / facts->page_bytes);
	(void)snprintf(change, sizeof change,
		       "put the line \"net.ipv4.tcp_mem = %" PRIu64 " %" PRIu64 " %" PRIu64
		       "\" into " SYSCTL_FILE
		       ", then run: sysctl --system; or lower send_buffer of "
		       "the listeners",
		       pressure / 4 * 3, pressure, pressure / 2 * 3);
	pressure = facts->tcp_mem_pressure;
	judge(report, "tcp_mem", pressure * facts->page_bytes >= TCP_MEM_LEAST && used < pressure,
	      change, "net.ipv4.tcp_mem presses from %s on, %s are in use",
	      progress_print_bytes(most, pressure * facts->page_bytes),
	      progress_print_bytes(now, used * facts->page_bytes));
}

static void check_congestion(const struct doctor_facts *facts, struct doctor_report *report)
{
	char found[DOCTOR_TEXT_BYTES];

	if (!facts->congestion[0]) {
		doctor_report_add(report, "congestion", DOCTOR_NOT_KNOWN,
				  "net.ipv4.tcp_congestion_control cannot be read", "");
		return;
	}
	(void)snprintf(
		found, sizeof found,
		"%.100s in use; `congestion` of a listener can be %.150s; the kernel has %.150s",
		facts->congestion,
		facts->congestion_allowed[0] ? facts->congestion_allowed : "none",
		facts->congestion_available);
	doctor_report_add(report, "congestion", DOCTOR_OK, found, "");
}

void doctor_check_all(const struct doctor_facts *facts, struct doctor_report *report)
{
	check_kernel(facts, report);
	check_descriptors(facts, report);
	check_pipes(facts, report);
	check_calls(facts, report);
	check_backlog(facts, report);
	check_tcp_memory(facts, report);
	check_congestion(facts, report);
}
