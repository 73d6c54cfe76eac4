// SPDX-License-Identifier: MIT
/* A thread inherits the mask of who starts it, so that is changed around the call. */
#include "base/thread.h"

#include <signal.h>

int thread_start(void *(*run)(void *), void *arg, pthread_t *ret_thread)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before); /* fails on bad arguments only */
	r = pthread_create(ret_thread, NULL, run, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}
