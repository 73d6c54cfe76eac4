// SPDX-License-Identifier: MIT
/*
 * doctor: what is read from a /proc that the test wrote, what is tried for real, and the verdict on
 * each fact by itself.
 *
 * The tools are programs, not part of the library, so the files under test are included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "relay/tools/relayctl/doctor_check.c"
#include "relay/tools/relayctl/doctor_facts.c"
#include "relay/tools/relayctl/doctor_try.c"
#include "relay/tools/shared/progress.c"
#include "relay/tools/relayctl/relayctl_text.c"

/* A machine without a fault. */
static struct doctor_facts good_facts(void)
{
	struct doctor_facts facts = {
		.kernel_major = 6,
		.kernel_minor = 1,
		.kernel_patch = 192,
		.kernel = "6.1.0-42-amd64 (6.1.192-1)",
		.page_bytes = 4096,
		.descriptors_soft = 1024,
		.descriptors_hard = 1048576,
		.nr_open = 1048576,
		.pipe_max_bytes = 1048576,
		.somaxconn = 65535,
		.syn_backlog = 65535,
		.tcp_mem_pressure = 400000,
		.tcp_pages_used = 100,
		.tcp_wmem_max = 16777216,
		.congestion = "cubic",
		.congestion_available = "reno cubic bbr",
		.congestion_allowed = "reno cubic",
		.pipe_bytes = 65536,
	};

	return facts;
}

static const struct doctor_result *result_of(const struct doctor_report *report, const char *name)
{
	static const struct doctor_result none;

	for (size_t i = 0; i < report->count; i++) {
		if (strcmp(report->results[i].name, name) == 0)
			return &report->results[i];
	}
	fail_msg("no check %s", name);
	return &none;
}

/* The facts have this one finding, whose change names `change`. */
static void assert_finding(const struct doctor_facts *facts, const char *name, const char *change)
{
	struct doctor_report report = {0};

	doctor_check_all(facts, &report);
	assert_int_equal(report.findings, 1);
	assert_int_equal(result_of(&report, name)->verdict, DOCTOR_FINDING);
	if (!strstr(result_of(&report, name)->change, change))
		fail_msg("%s: \"%s\" is not in \"%s\"", name, change,
			 result_of(&report, name)->change);
}

static void assert_not_known(const struct doctor_facts *facts, const char *name)
{
	struct doctor_report report = {0};

	doctor_check_all(facts, &report);
	assert_int_equal(report.findings, 0);
	assert_int_equal(result_of(&report, name)->verdict, DOCTOR_NOT_KNOWN);
}

static void a_good_machine_has_no_findings(void **state)
{
	struct doctor_facts facts = good_facts();
	struct doctor_report report = {0};

	(void)state;
	doctor_check_all(&facts, &report);
	assert_int_equal(report.findings, 0);
	assert_int_equal(report.count, 15);
	for (size_t i = 0; i < report.count; i++) {
		assert_int_equal(report.results[i].verdict, DOCTOR_OK);
		assert_string_not_equal(report.results[i].found, "");
		assert_string_equal(report.results[i].change, "");
	}
}

static const struct {
	const char *name;
	size_t offset; // of a uint64_t of struct doctor_facts
	uint64_t bad, least_good;
	const char *change;
} numbers[] = {
#define NUMBER(name, member, bad, good, change)                                                    \
	{                                                                                          \
		name, offsetof(struct doctor_facts, member), bad, good, change                     \
	}
	NUMBER("descriptors", descriptors_hard, 65535, 65536, "LimitNOFILE=1048576"),
	NUMBER("nr_open", nr_open, 1048575, 1048576,
	       "\"fs.nr_open = 1048576\" into /etc/sysctl.d/60-relay.conf"),
	NUMBER("pipe_pages_soft", pipe_pages_soft, 16384, 262144,
	       "fs.pipe-user-pages-soft = 1048576"),
	NUMBER("pipe_pages_hard", pipe_pages_hard, 262143, 262144, "fs.pipe-user-pages-hard = 0"),
	NUMBER("pipe_size", pipe_max_bytes, 524288, 1048576, "fs.pipe-max-size = 1048576"),
	NUMBER("somaxconn", somaxconn, 128, 4096, "net.core.somaxconn = 65535"),
	NUMBER("syn_backlog", syn_backlog, 512, 1024, "net.ipv4.tcp_max_syn_backlog = 65535"),
	NUMBER("tcp_wmem", tcp_wmem_max, 212992, 4194304,
	       "net.ipv4.tcp_wmem = 4096 65536 16777216"),
	NUMBER("tcp_mem", tcp_mem_pressure, 16383, 16384, "net.ipv4.tcp_mem = 24576 32768 49152"),
};

static void each_number_has_a_floor(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		struct doctor_facts facts = good_facts();
		uint64_t *number = (uint64_t *)(void *)((char *)&facts + numbers[i].offset);
		struct doctor_report report = {0};

		*number = numbers[i].bad;
		assert_finding(&facts, numbers[i].name, numbers[i].change);
		*number = numbers[i].least_good;
		doctor_check_all(&facts, &report);
		assert_int_equal(report.findings, 0);
		*number = FACT_NOT_KNOWN;
		assert_not_known(&facts, numbers[i].name);
	}
}

static void what_fails_is_a_finding(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	facts.vmsplice_error = EPERM;
	assert_finding(&facts, "vmsplice", "SystemCallFilter=");
	facts = good_facts();
	facts.tee_error = ENOSYS;
	assert_finding(&facts, "tee", "seccomp profile");
	facts = good_facts();
	facts.splice_error = EPERM;
	assert_finding(&facts, "splice", "SystemCallFilter=");
	facts = good_facts();
	facts.pipe_size_error = EPERM;
	assert_finding(&facts, "pipe_quota", "fs.pipe-user-pages-soft = 1048576");
	facts = good_facts();
	facts.pipe_bytes = 8192; // two slots: the quota is used up
	assert_finding(&facts, "pipe_quota", "fs.pipe-user-pages-soft = 1048576");
	facts = good_facts();
	facts.pipe_error = EMFILE;
	assert_finding(&facts, "pipe_quota", "fs.pipe-user-pages-hard = 0");
	facts = good_facts();
	facts.tcp_pages_used = facts.tcp_mem_pressure;
	assert_finding(&facts, "tcp_mem", "net.ipv4.tcp_mem = 600000 800000 1200000");
}

static const struct {
	const char *release, *version;
	enum doctor_verdict verdict;
} kernels[] = {
	{"6.1.0-42-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-1 (2026-09-01)", DOCTOR_OK},
	{"6.1.0-13-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.55-1 (2023-09-29)", DOCTOR_FINDING},
	{"6.1.191", "#1 SMP", DOCTOR_FINDING},
	{"6.12.114-cloud", "#1 SMP", DOCTOR_FINDING},
	{"6.12.115-cloud", "#1 SMP", DOCTOR_OK},
	{"6.18.44-fc", "#1 SMP", DOCTOR_OK},
	{"7.0.0", "#1", DOCTOR_OK},
	{"6.6.30", "#1", DOCTOR_NOT_KNOWN},
	{"5.10.200", "#1", DOCTOR_FINDING},
	{"4.19.0-1-amd64", "#1 SMP Debian 4.19.300-1", DOCTOR_FINDING},
	{"next", "#1", DOCTOR_NOT_KNOWN},
	{"6", "#1", DOCTOR_NOT_KNOWN},
};

static void kernels_are_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kernels); i++) {
		struct doctor_facts facts = good_facts();
		struct doctor_report report = {0};

		if (!doctor_facts_parse_kernel(&facts, kernels[i].release, kernels[i].version))
			facts.kernel_major = 0;
		doctor_check_all(&facts, &report);
		assert_int_equal(result_of(&report, "kernel")->verdict, kernels[i].verdict);
	}
}

static void put_file(const char *folder, const char *name, const char *text)
{
	char path[512];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	for (char *at = path + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		(void)mkdir(path, 0700);
	}
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void facts_are_read_from_proc(void **state)
{
	char folder[] = "/tmp/test_doctor.XXXXXX", command[64];
	struct doctor_facts facts;

	(void)state;
	assert_non_null(mkdtemp(folder));
	put_file(folder, "sys/fs/pipe-user-pages-soft", "16384\n");
	put_file(folder, "sys/net/ipv4/tcp_mem", "10\t20\t30\n");
	put_file(folder, "sys/net/ipv4/tcp_wmem", "4096\t65536\t16777216\n");
	put_file(folder, "sys/net/ipv4/tcp_allowed_congestion_control", "reno cubic\n");
	put_file(folder, "sys/net/core/somaxconn", "many\n");
	put_file(folder, "net/sockstat",
		 "sockets: used 5\nTCP: inuse 5 orphan 0 tw 0 alloc 7 mem 33\nUDP: mem 2\n");
	doctor_facts_read(&facts, folder);
	assert_int_equal(facts.pipe_pages_soft, 16384);
	assert_int_equal(facts.tcp_mem_pressure, 20);
	assert_int_equal(facts.tcp_wmem_max, 16777216);
	assert_int_equal(facts.tcp_pages_used, 33);
	assert_string_equal(facts.congestion_allowed, "reno cubic");
	assert_string_equal(facts.congestion, "");
	assert_true(facts.somaxconn == FACT_NOT_KNOWN);
	assert_true(facts.nr_open == FACT_NOT_KNOWN);
	(void)snprintf(command, sizeof command, "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

static void the_calls_are_really_tried(void **state)
{
	struct doctor_facts facts = {.page_bytes = 4096};
	struct rlimit before, none;

	(void)state;
	doctor_facts_try(&facts);
	assert_int_equal(facts.pipe_error, 0);
	assert_int_equal(facts.vmsplice_error, 0);
	assert_int_equal(facts.tee_error, 0);
	assert_int_equal(facts.splice_error, 0);
	assert_true(facts.pipe_bytes >= 4096);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	facts = (struct doctor_facts){.page_bytes = 4096};
	doctor_facts_try(&facts);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(facts.pipe_error, EMFILE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_machine_has_no_findings),
		cmocka_unit_test(each_number_has_a_floor),
		cmocka_unit_test(what_fails_is_a_finding),
		cmocka_unit_test(kernels_are_told_apart),
		cmocka_unit_test(facts_are_read_from_proc),
		cmocka_unit_test(the_calls_are_really_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
