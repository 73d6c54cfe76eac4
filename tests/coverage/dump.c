// SPDX-License-Identifier: MIT
/*
 * In a build for coverage (MODE=coverage): writes what has been counted where a process would
 * take it along.
 *
 * gcc's library does that at exit(3), before each exec and before each fork.  That leaves _exit(2),
 * and SIGKILL, before which nothing can be done.  But a test that kills relay asks for its status
 * first, to know that it is at rest: so counts are written there.
 */
#include <unistd.h>

#include "admin/status.h"

void __gcov_dump(void);
void __gcov_reset(void);

void __real_status_log(struct service *service, const struct admin_process *process);
void __wrap_status_log(struct service *service, const struct admin_process *process);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

/* What is written is added to the file, so counting begins at 0 again. */
static void write_counts(void)
{
	__gcov_dump();
	__gcov_reset();
}

void __wrap_status_log(struct service *service, const struct admin_process *process)
{
	__real_status_log(service, process);
	write_counts();
}

void __wrap__exit(int status)
{
	write_counts();
	__real__exit(status);
}
