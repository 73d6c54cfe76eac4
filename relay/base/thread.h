// SPDX-License-Identifier: MIT
/*
 * Starting threads.  Signals are the main loop's: a thread is born with all of them blocked, so
 * that none is delivered to it, not even between its start and its first line.  What a thread does
 * and how it ends is left to those who start it.
 */
#pragma once

#include <pthread.h>

#include "base/compiler.h"

/* 0 and *ret_thread, to be joined or detached by the caller; or -errno (pthread_create(3)). */
int thread_start(void *(*run)(void *), void *arg, pthread_t *ret_thread) must_check;
