// SPDX-License-Identifier: MIT
/*
 * Hand-over from the side of the process that ends.  From workers_park() on nobody is served, so
 * all that can be done before is: the program is checked while everything runs.
 */
#include "daemon/upgrade.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/handover_bag.h"
#include "daemon/notify.h"
#include "serve/arrival.h"

enum {
	ARGUMENTS_MAX = 1024,
	/* For the checker, which reads the configuration, tries it and ends.  relay serves
	 * meanwhile, so a busy machine may take its time.  systemd waits for a restart, and if that
	 * is refused for the drain too (TimeoutStopSec= of the unit). */
	CHECK_MS = 60000,
	RESTART_CHECK_MS = 10000,
	OUTPUT_LINE_BYTES = 4096,
	OUTPUT_LINES_MAX = 100, /* that are told of what the checker says */
	LOG_MS = 100,           /* for the last lines of this program, while nothing is delivered */
};

static const double POLL_S = 0.005;

static const char *kind(const struct upgrade *upgrade)
{
	return upgrade->is_restart ? "hand-over" : "upgrade";
}

/* Says why it came to nothing. */
static void fail(struct upgrade *upgrade, const char *why)
{
	log_error("%s failed: %s, %s", kind(upgrade), why,
		  upgrade->is_restart ? "draining" : "nothing has changed");
	errmsg_set(&upgrade->report.error, "%s", why);
}

/* ---- packing ---- */

/* Its ring holds more than its record has room for, for subscribers who are far behind; NULL:
 * there is none. */
static const char *find_partial(const struct handover *handover)
{
	for (size_t i = 0; i < handover->feed_count; i++) {
		const struct handed_feed *feed = &handover->feeds[i];

		for (size_t j = 0; j < feed->part_count; j++) {
			if (feed->parts[j].is_partial)
				return feed->name;
		}
	}
	return NULL;
}

/* With the workers parked.  A process that is to stop cannot wait until all of each ring can go
 * on. */
static int pack(struct relay *relay, bool is_restart, struct handover_bag *bag, struct errmsg *err)
{
	struct handover handover;
	const char *partial;
	int r;

	inbox_run(&relay->service.control); /* quotas of subscribers that have gone */
	arrivals_join_reading(&relay->service);
	r = handover_take(&relay->service, relay->config, &handover);
	if (r < 0) {
		errmsg_errno(err, -r, "state");
		return r;
	}
	handover.config = relay->kept_config;
	partial = find_partial(&handover);
	if (partial && !is_restart) {
		errmsg_set(err, "feed %s: not all of a ring can go on", partial);
		r = -ENOSPC;
	} else {
		if (partial)
			log_warn("not all of a ring goes on, who stands in the rest is closed "
				 "feed=%s",
				 partial);
		r = handover_pack(&handover, bag, err);
	}
	handover_free(&handover);
	return r;
}

/* Histories are left to the next process.  0, or -errno with a message. */
static int pause_recording(struct relay *relay, struct errmsg *err)
{
	struct list_node *node;
	int r = 0;

	inbox_run(&relay->service.control); /* somebody may be on the way to a history */
	list_for_each (&relay->service.feeds, node) {
		r = served_feed_pause_recording(served_feed_at(node), err);
		if (r < 0)
			break;
	}
	return r;
}

/* In this process, after all. */
static void go_on(struct relay *relay, struct parked **parked)
{
	struct list_node *node;

	list_for_each (&relay->service.feeds, node)
		served_feed_resume_recording(served_feed_at(node));
	workers_release(parked);
	list_for_each (&relay->service.feeds, node)
		served_forward_resume(&served_feed_at(node)->forward);
}

/* 0: the workers are parked, and all is in the bag. */
static int park_and_pack(struct relay *relay, bool is_restart, struct parked **parked,
			 struct handover_bag *bag, struct errmsg *err)
{
	int r;

	service_take_bodies(&relay->service);
	*parked = workers_park(&relay->service.workers);
	if (!*parked) {
		errmsg_errno(err, ENOMEM, "workers");
		return -ENOMEM;
	}
	r = pause_recording(relay, err);
	if (r == 0)
		r = pack(relay, is_restart, bag, err);
	if (r < 0)
		go_on(relay, parked);
	return r;
}

/* True: nothing here may be touched any more.  False: all goes on. */
static bool store(struct relay *relay)
{
	struct handover_bag bag = HANDOVER_BAG_NONE;
	struct parked *parked = NULL;
	struct errmsg err;
	int r;

	if (relay->service.is_draining)
		return false;
	log_info("handing over to the service manager subscribers=%llu",
		 (unsigned long long)relay->service.subscribers);
	crash_record_set_done(&relay->crash); /* one bag in the store is enough */
	notify_stopping();
	r = park_and_pack(relay, true, &parked, &bag, &err);
	if (r < 0) {
		log_error("hand-over failed: %s, draining", err.text);
		return false;
	}
	r = notify_store(HANDOVER_STATE_NAME, bag.state_fd);
	if (r == 0)
		r = notify_store(HANDOVER_IN_NAME, bag.in_fd);
	if (r == 0)
		r = notify_store(HANDOVER_OUT_NAME, bag.out_fd);
	if (r == 0)
		r = notify_barrier();
	handover_bag_close(&bag);
	if (r == 0)
		return true;
	log_error("hand-over failed: descriptor store: %s, draining", strerror(-r));
	notify_unstore();
	go_on(relay, &parked);
	return false;
}

/* ---- running anew ---- */

/* A signal that comes while relay packs must not be taken any more: it would be forgotten with this
 * program.  Blocked signals stay pending over an exec (execve(2)), and the next program takes them
 * when it has set itself up.  No other thread takes any (thread.h). */
static void hold_signals(struct upgrade *upgrade)
{
	sigset_t all;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &upgrade->signals);
	upgrade->is_holding_signals = true;
}

static void release_signals(struct upgrade *upgrade)
{
	if (upgrade->is_holding_signals)
		(void)sigprocmask(SIG_SETMASK, &upgrade->signals, NULL);
	upgrade->is_holding_signals = false;
}

/* Returns only when it failed: 0 never, -errno. */
static int run_anew(struct upgrade *upgrade, const struct handover_bag *bag)
{
	char text[64];
	int err;

	(void)snprintf(text, sizeof(text), "%d:%d:%d", bag->state_fd, bag->in_fd, bag->out_fd);
	if (setenv(HANDOVER_ENVIRONMENT, text, 1) < 0)
		return -errno;
	/* An exec gives relay a table of its own; the old one would be the keeper's for ever. */
	keeper_stop(&upgrade->relay->keeper);
	handover_bag_keep(bag, true);
	log_flush(LOG_MS);
	(void)execv(upgrade->program, upgrade->arguments);
	err = errno;
	handover_bag_keep(bag, false);
	(void)unsetenv(HANDOVER_ENVIRONMENT);
	keeper_resume(&upgrade->relay->keeper);
	return -err;
}

static void run_upgrade(struct upgrade *upgrade)
{
	struct handover_bag bag = HANDOVER_BAG_NONE;
	struct relay *relay = upgrade->relay;
	struct parked *parked = NULL;
	struct errmsg err;
	int r;

	if (relay->service.is_draining) {
		errmsg_set(&upgrade->report.error, "relay is shutting down");
		return;
	}
	log_info("upgrading program=%s subscribers=%llu", upgrade->program,
		 (unsigned long long)relay->service.subscribers);
	r = park_and_pack(relay, false, &parked, &bag, &err);
	if (r < 0) {
		fail(upgrade, err.text);
		return;
	}
	r = run_anew(upgrade, &bag);
	handover_bag_close(&bag);
	go_on(relay, &parked);
	errmsg_errno(&err, r, "%s", upgrade->program);
	fail(upgrade, err.text);
}

/* ---- checking ---- */

/* Each line of what the checker has said: into the log, and into the report. */
static void tell_output(struct upgrade *upgrade, bool is_good)
{
	FILE *output = upgrade->checker_output < 0 ? NULL : fdopen(upgrade->checker_output, "r");
	char line[OUTPUT_LINE_BYTES];

	if (!output) {
		fd_close(&upgrade->checker_output);
		return;
	}
	rewind(output);
	while (upgrade->report.lines.count < OUTPUT_LINES_MAX &&
	       fgets(line, sizeof(line), output)) {
		line[strcspn(line, "\n")] = '\0';
		if (is_good)
			log_warn("%s: %s", kind(upgrade), line);
		else
			log_error("%s failed: %s", kind(upgrade), line);
		reload_report_add(&upgrade->report.lines, line);
	}
	(void)fclose(output); /* with the descriptor */
	upgrade->checker_output = -1;
}

static void tell_refusal(struct upgrade *upgrade, int status)
{
	bool has_exited = WIFEXITED(status);
	const char *how = has_exited         ? "ended with exit code"
			  : upgrade->is_late ? "was too slow, and ended by signal"
					     : "was ended by signal";
	struct errmsg why;

	errmsg_set(&why, "%s --check-handover %u %s %d", upgrade->program, handover_schema(), how,
		   has_exited ? WEXITSTATUS(status) : WTERMSIG(status));
	fail(upgrade, why.text);
}

static void finish_restart(struct upgrade *upgrade, bool is_good)
{
	struct relay *relay = upgrade->relay;

	upgrade->is_stored = is_good && store(relay);
	if (upgrade->is_stored)
		ev_break(relay->service.loop, EVBREAK_ALL);
	else
		relay_drain(relay);
}

static void end_upgrade(struct upgrade *upgrade)
{
	ev_timer_stop(upgrade->relay->service.loop, &upgrade->poll);
	release_signals(upgrade);
	upgrade->checker = 0;
	upgrade->report.is_under_way = false;
}

/* What the checker has said.  A process that is to stop cannot wait for another configuration:
 * where only that is wrong, the next one goes on with the one before. */
static bool is_to_go_on(const struct upgrade *upgrade, int status)
{
	if (!WIFEXITED(status))
		return false;
	if (WEXITSTATUS(status) == EX_CONFIG)
		return upgrade->is_restart && upgrade->relay->kept_config.fd >= 0;
	return WEXITSTATUS(status) == 0;
}

static void on_poll(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct upgrade *upgrade = container_of(watcher, struct upgrade, poll);
	bool is_good;
	int status = 0;
	pid_t ended;

	(void)loop;
	(void)events;
	if (upgrade->is_holding_signals) {
		run_upgrade(upgrade);
		end_upgrade(upgrade);
		return;
	}
	ended = waitpid(upgrade->checker, &status, WNOHANG);
	if (ended == 0 && clock_mono_ns() / NS_PER_MS < upgrade->deadline_ms)
		return;
	upgrade->is_late = ended == 0;
	if (upgrade->is_late) {
		(void)kill(upgrade->checker, SIGKILL);
		(void)waitpid(upgrade->checker, &status, 0);
	}
	upgrade->checker = 0;
	is_good = is_to_go_on(upgrade, status);
	tell_output(upgrade, is_good);
	/* Those that came before are taken first: in the next turn, before this timer. */
	if (is_good && !upgrade->is_restart) {
		hold_signals(upgrade);
		return;
	}
	end_upgrade(upgrade);
	if (!is_good)
		tell_refusal(upgrade, status);
	if (upgrade->is_restart)
		finish_restart(upgrade, is_good);
}

/* Runs the program at our path with our arguments and the question. */
static int spawn_checker(struct upgrade *upgrade)
{
	char option[] = "--check-handover", schema[16];
	char *arguments[ARGUMENTS_MAX + 3];
	posix_spawn_file_actions_t actions;
	size_t count = 0;
	int r;

	while (upgrade->arguments[count] && count < ARGUMENTS_MAX) {
		arguments[count] = upgrade->arguments[count];
		count++;
	}
	(void)snprintf(schema, sizeof(schema), "%u", handover_schema());
	arguments[count++] = option;
	arguments[count++] = schema;
	arguments[count] = NULL;
	r = -posix_spawn_file_actions_init(&actions);
	if (r < 0)
		return r;
	/* Where there is no file for it, it writes to our standard error. */
	upgrade->checker_output = memfd_create("relay-check", MFD_CLOEXEC);
	if (upgrade->checker_output >= 0)
		r = -posix_spawn_file_actions_adddup2(&actions, upgrade->checker_output,
						      STDERR_FILENO);
	if (r == 0)
		r = -posix_spawn(&upgrade->checker, upgrade->program, &actions, NULL, arguments,
				 environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r < 0)
		fd_close(&upgrade->checker_output);
	return r;
}

static int start_check(struct upgrade *upgrade, bool is_restart, struct errmsg *err)
{
	int r;

	if (upgrade->relay->service.is_draining) {
		errmsg_set(err, "relay is shutting down");
		return -EBUSY;
	}
	if (upgrade->relay->service.slow_drain_end_ms && !is_restart) {
		errmsg_set(err, "relay is draining; relayctl drain --cancel takes that back");
		return -EBUSY;
	}
	if (upgrade->report.is_under_way) {
		errmsg_set(err, "an upgrade is under way");
		return -EALREADY;
	}
	reload_report_free(&upgrade->report.lines);
	upgrade->report = (struct upgrade_report){.is_under_way = true};
	upgrade->is_restart = is_restart;
	r = spawn_checker(upgrade);
	if (r < 0) {
		end_upgrade(upgrade);
		errmsg_errno(err, -r, "%s", upgrade->program);
		upgrade->report.error = *err;
		return r;
	}
	upgrade->deadline_ms =
		clock_mono_ns() / NS_PER_MS + (is_restart ? RESTART_CHECK_MS : CHECK_MS);
	ev_timer_set(&upgrade->poll, POLL_S, POLL_S);
	ev_timer_start(upgrade->relay->service.loop, &upgrade->poll);
	return 0;
}

int upgrade_start(struct upgrade *upgrade, struct errmsg *err)
{
	return start_check(upgrade, false, err);
}

int upgrade_restart(struct upgrade *upgrade, struct errmsg *err)
{
	return start_check(upgrade, true, err);
}

void upgrade_init(struct upgrade *upgrade, struct relay *relay, char **arguments)
{
	ssize_t length;

	*upgrade = (struct upgrade){
		.relay = relay,
		.arguments = arguments,
		.checker_output = -1,
	};
	ev_init(&upgrade->poll, on_poll);
	ev_set_priority(&upgrade->poll, EV_MINPRI); /* behind the signals of its turn */
	/* By its path, so that a new file there is what runs next; read now, because the name of a
	 * file that has been replaced ends in " (deleted)". */
	length = readlink("/proc/self/exe", upgrade->program, sizeof(upgrade->program) - 1);
	if (length < 0)
		(void)snprintf(upgrade->program, sizeof(upgrade->program), "%s", arguments[0]);
}

void upgrade_stop(struct upgrade *upgrade)
{
	reload_report_free(&upgrade->report.lines);
	if (!upgrade->report.is_under_way)
		return;
	if (upgrade->checker) {
		(void)kill(upgrade->checker, SIGKILL);
		(void)waitpid(upgrade->checker, NULL, 0);
	}
	end_upgrade(upgrade);
	fd_close(&upgrade->checker_output);
	errmsg_set(&upgrade->report.error, "relay is shutting down");
}
