// SPDX-License-Identifier: MIT
/* SIGINT and SIGTERM as a flag.  It is the one variable of the tools at file scope: a signal
 * handler has no other place to leave word.  */
#include "tools/shared/stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t stop_requested;

static void on_signal(int signal_number)
{
	(void)signal_number;
	stop_requested = 1;
}

void stop_install(void)
{
	// No SA_RESTART: a wait has to return.  SA_RESETHAND: the second signal kills.
	struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigemptyset(&stop.sa_mask);
	sigemptyset(&ignore.sa_mask);
	// Cannot fail: the signals are valid and may be caught (sigaction(2), EINVAL, EFAULT).
	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

bool stop_is_requested(void)
{
	return stop_requested != 0;
}
