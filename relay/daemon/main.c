// SPDX-License-Identifier: MIT
/*
 * The process: arguments, signals, exit codes.  Everything it serves is daemon/relay.c's.
 *
 * Exit codes: 0 ended as asked, 78 (EX_CONFIG) the configuration is wrong, 1 anything else.
 */
#include <ev.h>
#include <getopt.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/status.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "config/config.h"
#include "daemon/crash_record.h"
#include "daemon/notify.h"
#include "daemon/relay.h"
#include "daemon/reload.h"
#include "daemon/try_config.h"
#include "daemon/upgrade.h"
#include "daemon/version.h"
#include "serve/handover.h"

enum {
	OVERRIDES_MAX = 64
};

enum action {
	ACTION_RUN,
	ACTION_CHECK,
	ACTION_CHECK_HANDOVER,
	ACTION_DUMP,
	ACTION_EXAMPLE,
	ACTION_MAN,
	ACTION_EXPLAIN,
	ACTION_VERSION,
	ACTION_HELP,
	ACTION_WRONG,
};

struct arguments {
	enum action action;
	const char *path;
	const char *key; /* of --explain, --check-handover */
	struct config_override overrides[OVERRIDES_MAX];
	size_t override_count;
};

struct daemon {
	struct config_source source;
	struct relay relay;
	struct upgrade upgrade;
	ev_signal drain_on_term, drain_on_int, reload_on_hup, status_on_usr1, upgrade_on_usr2;
	ev_timer watchdog;
};

static const char usage[] =
	"usage: relay [-c FILE] [-t | -T] [-o SECTION.KEY=VALUE]...\n"
	"\n"
	"  -c, --config FILE    the configuration (default /etc/relay/relay.ini)\n"
	"  -o, --option S.K=V   set an option, over the file: -o relay.drain=1s -o 'feed "
	"x.ring=1m'\n"
	"  -t, --check-config   check the configuration, try what it needs, name every error, and "
	"end\n"
	"  -T, --print-config   print the values in effect and where each comes from, and end\n"
	"      --print-example  print a complete configuration with comments\n"
	"      --print-man      print the manual page relay.ini(5), in mdoc\n"
	"      --explain KEY    what an option means: type, default, range\n"
	"      --check-handover SCHEMA  can this program, with this configuration, go on from a\n"
	"                       state of this schema?\n"
	"      --version\n"
	"  -h, --help\n"
	"\n"
	"SIGHUP reloads, SIGUSR1 logs the status, SIGUSR2 runs the program anew and keeps every\n"
	"connection, SIGTERM drains, a second SIGTERM ends at once.\n";

static void add_override(struct arguments *arguments, const char *text)
{
	if (arguments->override_count == OVERRIDES_MAX) {
		(void)fprintf(stderr, "relay: more than %d options\n", OVERRIDES_MAX);
		arguments->action = ACTION_WRONG;
		return;
	}
	arguments->overrides[arguments->override_count++].text = text;
}

static void parse_arguments(int argc, char **argv, struct arguments *ret)
{
	/* Options that have no letter: this and the action that they ask for. */
	enum {
		NO_LETTER = 256
	};
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"option", required_argument, NULL, 'o'},
		{"check-config", no_argument, NULL, 't'},
		{"print-config", no_argument, NULL, 'T'},
		{"print-example", no_argument, NULL, NO_LETTER + ACTION_EXAMPLE},
		{"print-man", no_argument, NULL, NO_LETTER + ACTION_MAN},
		{"explain", required_argument, NULL, NO_LETTER + ACTION_EXPLAIN},
		{"check-handover", required_argument, NULL, NO_LETTER + ACTION_CHECK_HANDOVER},
		{"version", no_argument, NULL, NO_LETTER + ACTION_VERSION},
		{"help", no_argument, NULL, NO_LETTER + ACTION_HELP},
		{0},
	};
	int option;

	*ret = (struct arguments){.action = ACTION_RUN, .path = "/etc/relay/relay.ini"};
	while ((option = getopt_long(argc, argv, "c:o:tTh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			ret->path = optarg;
			break;
		case 'o':
			add_override(ret, optarg);
			break;
		case 't':
			ret->action = ACTION_CHECK;
			break;
		case 'T':
			ret->action = ACTION_DUMP;
			break;
		case 'h':
			ret->action = ACTION_HELP;
			break;
		case '?':
			ret->action = ACTION_WRONG;
			return;
		default:
			ret->action = (enum action)(option - NO_LETTER);
			ret->key = optarg; /* --explain and --check-handover have one */
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "relay: '%s' is not an option; see relay --help\n",
			      argv[optind]);
		ret->action = ACTION_WRONG;
	}
}

static struct config_source source_of(const struct arguments *arguments)
{
	return (struct config_source){arguments->path, arguments->overrides,
				      arguments->override_count};
}

/* Loads the configuration; tells all that is wrong with it, and *err the first of it.  NULL on
 * failure. */
static struct config *load(const struct arguments *arguments, struct errmsg *err)
{
	const struct config_source source = source_of(arguments);
	struct config_errors errors = {0};
	struct config *config = reload_load(&source, &errors);

	config_errors_print(stderr, &errors);
	if (!config)
		errmsg_set(err, "%s", errors.count ? errors.list[0].text : "it cannot be read");
	config_errors_free(&errors);
	return config;
}

/* Tries what the configuration needs of the machine; tells all that cannot be had. */
static bool can_be_had(const struct config *config, enum action action)
{
	struct config_errors errors = {0};
	bool is_good;

	try_config(config, action == ACTION_CHECK_HANDOVER ? TRY_HANDOVER : TRY_START, &errors);
	is_good = errors.total == 0;
	config_errors_print(stderr, &errors);
	config_errors_free(&errors);
	return is_good;
}

static int explain(const char *key)
{
	const char *nearest = NULL;

	if (config_print_explain(stdout, key, &nearest) == 0)
		return EXIT_SUCCESS;
	(void)fprintf(stderr, "relay: no option '%s'%s%s%s\n", key,
		      nearest ? "; did you mean '" : "", nearest ? nearest : "",
		      nearest ? "'?" : "");
	return EXIT_FAILURE;
}

/* Says why not. */
static bool can_resume(const char *schema)
{
	uint64_t number = 0;

	if (num_parse_count(schema, &number) == 0 && number == handover_schema())
		return true;
	(void)fprintf(
		stderr,
		"relay: state of schema %s cannot be resumed, expected %u (behind a crash: %u)\n",
		schema, handover_schema(), crash_schema());
	return false;
}

/* ---- what the admin server has done ---- */

static void describe(const void *owner, struct admin_process *ret)
{
	const struct daemon *daemon = owner;

	relay_describe(&daemon->relay, ret);
}

static int do_reload(void *owner, struct reload_report *report)
{
	struct daemon *daemon = owner;

	return reload(&daemon->relay, &daemon->source, report);
}

static void do_drain(void *owner)
{
	struct daemon *daemon = owner;

	relay_drain(&daemon->relay);
}

static int do_drain_slowly(void *owner, uint64_t spread_ms)
{
	struct daemon *daemon = owner;

	return relay_drain_slowly(&daemon->relay, spread_ms);
}

static int do_upgrade(void *owner, struct errmsg *err)
{
	struct daemon *daemon = owner;

	return upgrade_start(&daemon->upgrade, err);
}

static const struct upgrade_report *report_upgrade(const void *owner)
{
	const struct daemon *daemon = owner;

	return &daemon->upgrade.report;
}

static void do_set_log_level(void *owner, enum log_level level)
{
	struct daemon *daemon = owner;

	relay_set_log_level(&daemon->relay, level);
}

static const struct admin_actions admin_actions = {
	.describe = describe,
	.reload = do_reload,
	.drain = do_drain,
	.drain_slowly = do_drain_slowly,
	.upgrade = do_upgrade,
	.upgrade_report = report_upgrade,
	.set_log_level = do_set_log_level,
};

/* ---- signals ---- */

static void on_term(struct ev_loop *loop, ev_signal *watcher, int events)
{
	struct daemon *daemon = watcher->data;

	bool is_second = daemon->upgrade.checker && daemon->upgrade.is_restart;
	struct errmsg err;

	(void)loop;
	(void)events;
	upgrade_stop(&daemon->upgrade);
	if (is_second || daemon->relay.service.is_draining || !notify_is_restart()) {
		relay_drain(&daemon->relay);
	} else if (upgrade_restart(&daemon->upgrade, &err) < 0) {
		log_error("hand-over failed: %s, draining", err.text);
		relay_drain(&daemon->relay);
	}
}

static void on_usr2(struct ev_loop *loop, ev_signal *watcher, int events)
{
	struct daemon *daemon = watcher->data;
	struct errmsg err;

	(void)loop;
	(void)events;
	if (upgrade_start(&daemon->upgrade, &err) < 0)
		log_error("upgrade failed: %s, nothing has changed", err.text);
}

static void on_hup(struct ev_loop *loop, ev_signal *watcher, int events)
{
	struct daemon *daemon = watcher->data;

	(void)loop;
	(void)events;
	if (daemon->relay.service.is_draining)
		log_error("reload failed: relay is shutting down, nothing has changed");
	else
		(void)reload(&daemon->relay, &daemon->source, NULL);
}

static void on_usr1(struct ev_loop *loop, ev_signal *watcher, int events)
{
	struct daemon *daemon = watcher->data;
	struct admin_process process;

	(void)loop;
	(void)events;
	relay_describe(&daemon->relay, &process);
	status_log(&daemon->relay.service, &process);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct daemon *daemon = watcher->data;

	(void)loop;
	(void)events;
	/* A worker that hangs is a relay that hangs. */
	if (relay_has_moved(&daemon->relay))
		notify_watchdog();
}

static void watch_signal(struct daemon *daemon, ev_signal *watcher, int number,
			 void (*callback)(struct ev_loop *, ev_signal *, int))
{
	ev_signal_init(watcher, callback, number);
	watcher->data = daemon;
	ev_signal_start(daemon->relay.service.loop, watcher);
}

/* Signals that end a program by default, but are meant to ask for something: one that comes before
 * relay can listen waits.  SIGTERM and SIGINT end a start that hangs. */
static void hold_requests(void)
{
	sigset_t requests;

	(void)sigemptyset(&requests);
	(void)sigaddset(&requests, SIGHUP);
	(void)sigaddset(&requests, SIGUSR1);
	(void)sigaddset(&requests, SIGUSR2);
	(void)sigprocmask(SIG_BLOCK, &requests, NULL);
}

static void watch_signals(struct daemon *daemon)
{
	sigset_t none;
	double watchdog_s = (double)notify_watchdog_interval_ms() / 1000;

	watch_signal(daemon, &daemon->drain_on_term, SIGTERM, on_term);
	watch_signal(daemon, &daemon->drain_on_int, SIGINT, on_term);
	watch_signal(daemon, &daemon->reload_on_hup, SIGHUP, on_hup);
	watch_signal(daemon, &daemon->status_on_usr1, SIGUSR1, on_usr1);
	watch_signal(daemon, &daemon->upgrade_on_usr2, SIGUSR2, on_usr2);
	/* All that have come since the start, or since the upgrade began, are taken now. */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	ev_timer_init(&daemon->watchdog, on_watchdog, watchdog_s, watchdog_s);
	daemon->watchdog.data = daemon;
	if (watchdog_s > 0)
		ev_timer_start(daemon->relay.service.loop, &daemon->watchdog);
}

/* ---- memory of the event loops ---- */

/* libev ends the process when it gets no memory.  Its arrays grow seldom, with the highest
 * descriptor, so a reserve outlasts a want of memory that passes.  What is taken of it stays
 * taken.  Untouched it costs address space only. */
enum {
	LOOP_RESERVE_BYTES = 4 << 20
};

struct reserved {
	_Alignas(max_align_t) size_t bytes; /* that follow */
};

static uint8_t *loop_reserve; /* NULL: none */
static atomic_size_t loop_reserve_used;

static bool is_reserved(const void *memory)
{
	uintptr_t start = (uintptr_t)loop_reserve, at = (uintptr_t)memory;

	return loop_reserve && at > start && at < start + LOOP_RESERVE_BYTES;
}

static void *take_reserved(size_t bytes)
{
	const size_t last = sizeof(struct reserved) - 1;
	size_t all = sizeof(struct reserved) + ((bytes + last) & ~last);
	size_t at = atomic_fetch_add(&loop_reserve_used, all);
	struct reserved *taken;

	if (!loop_reserve || at > LOOP_RESERVE_BYTES || all > LOOP_RESERVE_BYTES - at)
		return NULL;
	taken = (struct reserved *)(loop_reserve + at);
	taken->bytes = bytes;
	return taken + 1;
}

static size_t bytes_of(void *memory)
{
	return is_reserved(memory) ? ((struct reserved *)memory - 1)->bytes
				   : malloc_usable_size(memory);
}

static void free_loop_memory(void *memory)
{
	if (!is_reserved(memory))
		free(memory);
}

/* As realloc(3), and 0 bytes are free(3): see ev_set_allocator() in ev(3). */
static void *loop_memory(void *memory, long bytes)
{
	size_t want = (size_t)bytes;
	void *more;

	if (!want) {
		free_loop_memory(memory);
		return NULL;
	}
	more = is_reserved(memory) ? malloc(want) : realloc(memory, want);
	if (more && !is_reserved(memory))
		return more;
	if (!more)
		more = take_reserved(want);
	if (more && memory) {
		memcpy(more, memory, size_min(want, bytes_of(memory)));
		free_loop_memory(memory);
	}
	return more;
}

static void reserve_loop_memory(void)
{
	void *map = mmap(NULL, LOOP_RESERVE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map != MAP_FAILED)
		loop_reserve = map;
	ev_set_allocator(loop_memory);
}

/* Without a configuration relay runs only if the process before has left it one. */
static int run(const struct arguments *arguments, char **argv)
{
	struct daemon daemon = {.source = source_of(arguments)};
	struct ev_loop *loop;
	struct errmsg err, where;
	struct config *config = load(arguments, &err);
	bool is_good = config != NULL;
	uint64_t fd_max = 0;
	int r;

	reserve_loop_memory();
	loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	if (!loop) {
		log_error("no event loop: epoll is missing");
		config_free(&config);
		return EXIT_FAILURE;
	}
	/* A peer that is gone is an error of one call, not the end of the process; splice has no
	 * MSG_NOSIGNAL. */
	(void)signal(SIGPIPE, SIG_IGN);
	hold_requests();
	if (log_start() < 0)
		log_warn("no thread for the log; a log that is not read can stop delivery");
	if (fd_limit(&fd_max) < 0)
		log_warn("the limit of open files cannot be had or raised, taking %llu",
			 (unsigned long long)fd_max);
	relay_init(&daemon.relay, loop, fd_max, &admin_actions, &daemon);
	if (config)
		relay_survive_crash(&daemon.relay, config);
	relay_take_over(&daemon.relay);
	upgrade_init(&daemon.upgrade, &daemon.relay, argv);
	r = reload_start(&daemon.relay, config, &err, &where);
	if (r < 0 && is_good) {
		if (where.text[0])
			log_info("%s", where.text);
		log_error("%s", err.text);
	} else if (r >= 0) {
		config = daemon.relay.config;
		watch_signals(&daemon);
		relay_is_ready(&daemon.relay);
		log_info("ready feeds=%zu listeners=%zu workers=%u max_subscribers=%llu",
			 config->feed_count, config->listener_count,
			 daemon.relay.service.workers.count,
			 (unsigned long long)daemon.relay.service.max_subscribers);
		relay_tell_status(&daemon.relay);
		relay_tell_ready(&daemon.relay);
		ev_run(loop, 0);
	}
	/* Nothing may be closed in an orderly way: others hold it now. */
	if (daemon.upgrade.is_stored) {
		keeper_stop(&daemon.relay.keeper);
		log_settle();
		_exit(EXIT_SUCCESS);
	}
	upgrade_stop(&daemon.upgrade);
	relay_fini(&daemon.relay);
	ev_loop_destroy(loop);
	if (r == 0)
		log_info("ended");
	if (r < 0)
		return is_good ? EXIT_FAILURE : EX_CONFIG;
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct arguments arguments;
	struct config *config;

	fd_hold_standard();
	(void)atexit(log_settle);
	/* Threads of libnats may be in it when the process ends (OPENSSL_init_crypto(3)). */
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
	parse_arguments(argc, argv, &arguments);
	switch (arguments.action) {
	case ACTION_EXAMPLE:
		config_print_example(stdout);
		return EXIT_SUCCESS;
	case ACTION_MAN:
		config_print_man(stdout);
		return EXIT_SUCCESS;
	case ACTION_EXPLAIN:
		return explain(arguments.key);
	case ACTION_VERSION:
		(void)puts("relay " RELAY_VERSION);
		return EXIT_SUCCESS;
	case ACTION_HELP:
		(void)fputs(usage, stdout);
		return EXIT_SUCCESS;
	case ACTION_WRONG:
		return EX_USAGE;
	case ACTION_RUN:
	case ACTION_CHECK:
	case ACTION_DUMP:
		break;
	case ACTION_CHECK_HANDOVER:
		if (can_resume(arguments.key))
			break;
		return EXIT_FAILURE;
	}
	if (arguments.action == ACTION_RUN)
		return run(&arguments, argv);
	config = load(&arguments, NULL);
	if (!config)
		return EX_CONFIG;
	if (arguments.action != ACTION_DUMP && !can_be_had(config, arguments.action)) {
		config_free(&config);
		return EX_CONFIG;
	}
	if (arguments.action == ACTION_DUMP)
		config_print_effective(stdout, config);
	else if (arguments.action == ACTION_CHECK)
		(void)printf("%s: ok, %zu feeds, %zu listeners\n", arguments.path,
			     config->feed_count, config->listener_count);
	config_free(&config);
	return EXIT_SUCCESS;
}
