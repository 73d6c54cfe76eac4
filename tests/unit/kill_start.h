// SPDX-License-Identifier: MIT
/* Processes of a test that are stopped and killed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// In the process that is to be stopped, once: from here on it goes as it is told.  False: ptrace(2)
// is refused.
bool kill_rig_be_traced(void);

// A process with the descriptors of the test's, as the keeper has relay's.
pid_t kill_rig_start(void (*run)(void *owner), void *owner);

// It has come to kill_rig_be_traced(); until kill_rig_kill() both run on one processor.  False: it
// has ended.
bool kill_rig_await(pid_t pid);

// On to its next system call, or one instruction further.  False: it has ended.
bool kill_rig_step_far(pid_t pid);
bool kill_rig_step(pid_t pid);

// SIGKILL.  False: it had ended before.
bool kill_rig_kill(pid_t pid);

// A number for tests that say which they took.
uint64_t kill_rig_seed(void);
