// SPDX-License-Identifier: MIT
/* Processes that are stopped and killed. */
#include "tests/unit/kill_start.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"

bool kill_rig_be_traced(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 && kill(getpid(), SIGSTOP) == 0;
}

pid_t kill_rig_start(void (*run)(void *owner), void *owner)
{
	static const int caught[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS};
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	// The test's own would go on with the tests, here.
	for (size_t i = 0; i < ARRAY_LEN(caught); i++)
		(void)signal(caught[i], SIG_DFL);
	run(owner);
	_exit(3);
}

static bool await_stop(pid_t pid, int signal)
{
	int status = 0;

	return waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == signal;
}

// As they are where nobody is traced.
static cpu_set_t all_processors;

/* Tracer and traced take turns.  Side by side each instruction would wake an idle processor
 * twice. */
static void share_processor(pid_t pid)
{
	cpu_set_t one;

	assert_int_equal(sched_getaffinity(0, sizeof(all_processors), &all_processors), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	(void)sched_setaffinity(pid, sizeof(one), &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
}

static void leave_processor(void)
{
	if (CPU_COUNT(&all_processors))
		(void)sched_setaffinity(0, sizeof(all_processors), &all_processors);
	CPU_ZERO(&all_processors);
}

bool kill_rig_await(pid_t pid)
{
	bool has_come = await_stop(pid, SIGSTOP);

	if (has_come)
		share_processor(pid);
	return has_come;
}

bool kill_rig_step_far(pid_t pid)
{
	return ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0 && await_stop(pid, SIGTRAP);
}

bool kill_rig_step(pid_t pid)
{
	return ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 && await_stop(pid, SIGTRAP);
}

bool kill_rig_kill(pid_t pid)
{
	int status = 0;

	leave_processor();
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (waitpid(pid, &status, 0) < 0 || WIFSTOPPED(status))
		assert_true(errno == EINTR || WIFSTOPPED(status));
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

uint64_t kill_rig_seed(void)
{
	uint64_t seed;

	assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
	return seed % 1000000000;
}
