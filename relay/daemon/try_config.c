// SPDX-License-Identifier: MIT
/* Trying.  Each error is in the words in which the start would tell it. */
#include "daemon/try_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/num.h"
#include "config/errors.h"
#include "history/history_folder.h"
#include "nats/nats_connection.h"
#include "net/listen_holder.h"
#include "net/listen_socket.h"
#include "net/listen_way_out.h"
#include "pull/pull_token.h"
#include "serve/http_listener.h"
#include "serve/params.h"
#include "systemd/passed_fds.h"
#include "source/ingest_try.h"
#include "source/send_file.h"

/* An address that was tried, to be compared with those that follow. */
struct tried {
	struct endpoint_address address;
	bool is_ipv6_only, is_name;
	const struct config_section *section;
};

struct attempt {
	const struct config *config;
	enum try_for purpose;
	struct config_errors *errors;
	struct tried *tried;
	size_t tried_count, name_count;
};

/* ---- telling ---- */

static void printf_like(4, 5)
	add_error(const struct attempt *attempt, const struct config_section *section,
		  size_t option, const char *fmt, ...)
{
	char place[CONFIG_LINE_BYTES];
	unsigned line = config_print_place(place, sizeof(place), attempt->config, section, option);
	struct errmsg text;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text.text, sizeof(text.text), fmt, args);
	va_end(args);
	config_errors_add(attempt->errors, place, line, "%s", text.text);
}

static void warn(const struct attempt *attempt, const struct config_section *section, size_t option,
		 const char *text)
{
	char place[CONFIG_LINE_BYTES];

	(void)config_print_place(place, sizeof(place), attempt->config, section, option);
	(void)fprintf(stderr, "%s: warning: %s\n", place, text);
}

static void refuse(const struct attempt *attempt, const struct config_listening *at,
		   const struct endpoint *endpoint, int r)
{
	char way_out[512];

	(void)listen_way_out(endpoint, r, way_out, sizeof(way_out));
	add_error(attempt, at->section, at->option, "listen %.200s: %s%s%s", at->address,
		  strerror(-r), *way_out ? "; " : "", way_out);
}

/* ---- who has an address ---- */

/* The file that a relay was started with: behind -c, or the usual one. */
static void find_file(const char *arguments, size_t bytes, char *ret, size_t size)
{
	const char *end = arguments + bytes;

	(void)snprintf(ret, size, "/etc/relay/relay.ini");
	for (const char *at = arguments; at < end; at += strlen(at) + 1) {
		const char *next = at + strlen(at) + 1;

		if (strcmp(at, "-c") == 0 || strcmp(at, "--config") == 0)
			(void)snprintf(ret, size, "%s", next < end ? next : "");
		else if (strncmp(at, "--config=", 9) == 0)
			(void)snprintf(ret, size, "%s", at + 9);
		else if (strncmp(at, "-c", 2) == 0)
			(void)snprintf(ret, size, "%s", at + 2);
	}
}

static size_t read_arguments(pid_t pid, char *buf, size_t size)
{
	char path[64];
	FILE *file;
	size_t bytes;

	(void)snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	bytes = fread(buf, 1, size - 1, file);
	buf[bytes] = '\0';
	(void)fclose(file);
	return bytes;
}

static bool is_relay(const char *program)
{
	const char *slash = strrchr(program, '/');

	return strcmp(slash ? slash + 1 : program, "relay") == 0;
}

/* Is it a relay that serves this file? */
static bool serves_same_file(pid_t pid, const char *path)
{
	char arguments[4096], file[4096], from[64 + sizeof(file)];
	size_t bytes = read_arguments(pid, arguments, sizeof(arguments));
	struct stat here, there;

	if (bytes == 0 || !is_relay(arguments))
		return false;
	find_file(arguments, bytes, file, sizeof(file));
	if (file[0] == '/')
		(void)snprintf(from, sizeof(from), "%s", file);
	else
		(void)snprintf(from, sizeof(from), "/proc/%ld/cwd/%s", (long)pid, file);
	return stat(from, &there) == 0 && stat(path, &here) == 0 && there.st_dev == here.st_dev &&
	       there.st_ino == here.st_ino;
}

static bool is_ours(pid_t pid, const void *data)
{
	const struct attempt *attempt = data;

	if (pid == getpid())
		return false;
	if (attempt->purpose == TRY_HANDOVER && pid == getppid())
		return true;
	return serves_same_file(pid, attempt->config->path);
}

/* An address is in use: that is right where it is our own that has it.  what: as the file has it.
 * type: of the socket, socket(2). */
static void look_at_holder(const struct attempt *attempt, const struct config_section *section,
			   size_t option, const char *what, const struct endpoint_address *address,
			   int type, const char *way_out)
{
	struct errmsg text;
	pid_t pid = 0;

	switch (listen_find_holder(address, type, is_ours, attempt, &pid)) {
	case LISTEN_HOLDER_OURS:
		return;
	case LISTEN_HOLDER_OTHER:
		add_error(attempt, section, option, "%.220s: %s by process %ld; %s", what,
			  strerror(EADDRINUSE), (long)pid, way_out);
		return;
	case LISTEN_HOLDER_UNKNOWN:
		errmsg_set(&text, "%.220s: %s, by whom cannot be seen from here; %s", what,
			   strerror(EADDRINUSE), way_out);
		warn(attempt, section, option, text.text);
	}
}

static void look_at_listener(const struct attempt *attempt, const struct config_listening *at,
			     const struct endpoint *endpoint,
			     const struct endpoint_address *address)
{
	char what[256], way_out[512];

	(void)snprintf(what, sizeof(what), "listen %.200s", at->address);
	look_at_holder(attempt, at->section, at->option, what, address, SOCK_STREAM,
		       listen_way_out(endpoint, -EADDRINUSE, way_out, sizeof(way_out)));
}

/* ---- addresses ---- */

/* True when another section of the file has it. */
static bool is_taken(const struct attempt *attempt, const struct config_listening *at,
		     const struct tried *here)
{
	char title[CONFIG_NAME_BYTES + 32];

	/* What is written in numbers has been compared when the file was read. */
	if (!here->is_name && attempt->name_count == 0)
		return false;
	for (size_t i = 0; i < attempt->tried_count; i++) {
		const struct tried *there = &attempt->tried[i];

		if (there->section == here->section ||
		    !listen_addresses_clash(&here->address, here->is_ipv6_only, &there->address,
					    there->is_ipv6_only))
			continue;
		(void)snprintf(title, sizeof(title), "%s%s%s",
			       there->section->kind == CONFIG_FEED       ? "feed"
			       : there->section->kind == CONFIG_LISTENER ? "listener"
									 : "admin",
			       there->section->name[0] ? " " : "", there->section->name);
		add_error(attempt, at->section, at->option,
			  "%.200s is taken by [%s] already; expected an address of its own",
			  at->address, title);
		return true;
	}
	return false;
}

/* The machine may not have the address: 0 or -errno of it. */
static int try_address(struct attempt *attempt, const struct config_listening *at,
		       const struct endpoint *endpoint, const struct endpoint_address *address)
{
	struct tried here = {*address, endpoint->is_ipv6_only,
			     endpoint->host[0] && !listen_is_literal(endpoint), at->section};
	int r;

	if (is_taken(attempt, at, &here))
		return 0;
	attempt->tried[attempt->tried_count++] = here;
	attempt->name_count += here.is_name;
	r = listen_try_bind(address, endpoint->is_ipv6_only);
	if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT)
		return r;
	if (r == -EADDRINUSE)
		look_at_listener(attempt, at, endpoint, address);
	else if (r < 0)
		refuse(attempt, at, endpoint, r);
	return 0;
}

static void try_tcp(struct attempt *attempt, const struct config_listening *at,
		    const struct endpoint *endpoint)
{
	struct endpoint_address addresses[LISTEN_SOCKETS_MAX];
	struct errmsg why;
	char way_out[512];
	ssize_t count = listen_addresses(endpoint, addresses, LISTEN_SOCKETS_MAX, &why);
	ssize_t missing = 0;

	if (count < 0) {
		add_error(attempt, at->section, at->option, "listen %.200s: %s; %s", at->address,
			  why.text, listen_way_out(endpoint, (int)count, way_out, sizeof(way_out)));
		return;
	}
	for (ssize_t i = 0; i < count; i++)
		missing += try_address(attempt, at, endpoint, &addresses[i]) < 0;
	/* Any address means IPv4 alone where there is no IPv6. */
	if (missing < count || !endpoint->host[0])
		return;
	if (listen_is_literal(endpoint))
		warn(attempt, at->section, at->option,
		     "this machine does not have the address yet; relay listens for when it comes");
	else
		refuse(attempt, at, endpoint, -EADDRNOTAVAIL);
}

/* Can a file be made in the directory of the path? */
static int try_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char directory[sizeof(((struct endpoint *)0)->path) + 1];

	(void)snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		       slash ? path : ".");
	return faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static void try_unix(const struct attempt *attempt, const struct config_listening *at,
		     const struct endpoint *endpoint)
{
	struct endpoint_address address;
	struct errmsg why;
	struct stat st;
	pid_t pid;
	gid_t group;
	int r;

	if (listen_find_group(endpoint->group, &group, &why) < 0)
		add_error(attempt, at->section, at->option, "listen %.200s: %s", at->address,
			  why.text);
	endpoint_unix_address(endpoint, &address);
	if (endpoint->path[0] == '@')
		return;
	r = try_directory(endpoint->path);
	if (r == 0 && lstat(endpoint->path, &st) == 0 && !S_ISSOCK(st.st_mode))
		r = -EADDRINUSE;
	if (r < 0)
		refuse(attempt, at, endpoint, r);
	else if (listen_find_holder(&address, SOCK_STREAM, is_ours, attempt, &pid) ==
		 LISTEN_HOLDER_OTHER)
		look_at_listener(attempt, at, endpoint, &address);
}

static int endpoint_at(const struct config *config, const struct config_listening *at,
		       struct endpoint *ret)
{
	static const struct passed_fds none = {.count = 0};
	const char *name = at->section->name;

	if (at->section->kind == CONFIG_FEED)
		return params_of_feed_address(config, config_find_feed(config, name), &none, ret,
					      NULL);
	if (at->section->kind == CONFIG_LISTENER)
		return params_of_listener_address(config, config_find_listener(config, name), &none,
						  ret, NULL);
	return params_of_admin_address(config, at->address, &none, ret, NULL);
}

/* "none" and "auto" of [admin] are no addresses; what systemd:NAME will be is not known here. */
static void try_listening(struct attempt *attempt, const struct config_listening *at)
{
	struct endpoint endpoint;

	if (!at->address || endpoint_at(attempt->config, at, &endpoint) < 0)
		return;
	if (endpoint.kind == ENDPOINT_TCP)
		try_tcp(attempt, at, &endpoint);
	else if (endpoint.kind == ENDPOINT_UNIX)
		try_unix(attempt, at, &endpoint);
}

/* ---- sources and files ---- */

static void try_name(const struct attempt *attempt, const struct config_feed *feed,
		     const struct endpoint *endpoint)
{
	char text[ENDPOINT_TEXT_BYTES];
	struct endpoint_address address;
	struct errmsg why, warning;

	if (endpoint->kind != ENDPOINT_TCP || listen_addresses(endpoint, &address, 1, &why) >= 0)
		return;
	endpoint_print(text, sizeof(text), endpoint);
	errmsg_set(&warning, "connect %s: %s; relay tries again and again", text, why.text);
	warn(attempt, &feed->section, CONFIG_FEED_ingest, warning.text);
}

static void try_opening(const struct attempt *attempt, const struct config_feed *feed,
			const struct ingest_params *params)
{
	struct errmsg why, warning;
	struct endpoint_address address;
	char way_out[4608];
	int r = ingest_try(params, &why);

	if (r == 0)
		return;
	(void)ingest_way_out(params, r, way_out, sizeof(way_out));
	errmsg_set(&warning, "%s%s%s", why.text, *way_out ? "; " : "", way_out);
	if (r > 0)
		warn(attempt, &feed->section, CONFIG_FEED_ingest, warning.text);
	else if (r == -EADDRINUSE && udp_socket_address(&params->udp, &address) == 0)
		look_at_holder(attempt, &feed->section, CONFIG_FEED_ingest, feed->ingest.text,
			       &address, SOCK_DGRAM, way_out);
	else
		add_error(attempt, &feed->section, CONFIG_FEED_ingest, "%s", warning.text);
}

static void try_source(const struct attempt *attempt, const struct config_feed *feed)
{
	struct ingest_params *params = calloc(1, sizeof(*params));
	struct errmsg why;

	if (!params || params_of_ingest(attempt->config, feed, params, &why) < 0) {
		free(params);
		return;
	}
	try_opening(attempt, feed, params);
	if (pull_token_check(params->token_file, &why) < 0)
		add_error(attempt, &feed->section, CONFIG_FEED_ingest_token_file, "%s", why.text);
	if (params->kind == INGEST_CONNECT && attempt->purpose == TRY_START) {
		for (size_t i = 0; i < params->endpoint_count; i++)
			try_name(attempt, feed, &params->endpoints[i]);
	}
	free(params);
}

static void try_send_file(const struct attempt *attempt, const struct config_feed *feed)
{
	struct errmsg why;

	if (send_file_check(feed->send_file, &why) < 0)
		add_error(attempt, &feed->section, CONFIG_FEED_send_file, "%s", why.text);
}

/* Whether a server answers is not waited for: relay tries again and again. */
static void try_nats(const struct attempt *attempt)
{
	const struct config *config = attempt->config;
	struct ingest_params *params = calloc(1, sizeof(*params));
	const struct config_feed *feed = config->feeds;
	struct errmsg why;

	while (feed < config->feeds + config->feed_count && !config_is_nats(feed))
		feed++;
	if (params && feed < config->feeds + config->feed_count &&
	    params_of_ingest(config, feed, params, &why) == 0 &&
	    nats_connection_check(&params->backbone, &why) < 0)
		add_error(attempt, &config->nats.section, CONFIG_WHOLE_SECTION, "%s", why.text);
	free(params);
}

static void warn_of_room(const struct attempt *attempt, const struct config_feed *feed)
{
	char size[NUM_PRINT_BYTES], has[NUM_PRINT_BYTES];
	struct errmsg text;
	uint64_t room;

	if (!history_folder_room(feed->history, &room) || feed->history_size <= room)
		return;
	errmsg_set(&text, "history_size = %s, and the file system of %.200s has room for %s",
		   num_print_bytes(size, sizeof(size), feed->history_size), feed->history,
		   num_print_bytes(has, sizeof(has), room >> 20 << 20));
	warn(attempt, &feed->section, CONFIG_FEED_history, text.text);
}

/* The lock is not looked at: relay itself may have it. */
static void try_history(const struct attempt *attempt, const struct config_feed *feed)
{
	struct recorder_params params;
	struct errmsg why;

	if (!*feed->history)
		return;
	params_of_recorder(feed, &params);
	if (history_folder_check(&params.history, &why) < 0)
		add_error(attempt, &feed->section, CONFIG_FEED_history, "%s", why.text);
	else
		warn_of_room(attempt, feed);
}

void try_config(const struct config *config, enum try_for purpose, struct config_errors *errors)
{
	size_t count = config_listening_count(config);
	struct attempt attempt = {.config = config, .purpose = purpose, .errors = errors};
	struct errmsg why;

	attempt.tried = calloc(count * LISTEN_SOCKETS_MAX, sizeof(*attempt.tried));
	for (size_t i = 0; attempt.tried && i < count; i++) {
		const struct config_listening at = config_listening_at(config, i);

		try_listening(&attempt, &at);
	}
	for (size_t i = 0; i < config->feed_count; i++) {
		try_source(&attempt, &config->feeds[i]);
		try_send_file(&attempt, &config->feeds[i]);
	}
	try_nats(&attempt);
	for (size_t i = 0; i < config->feed_count; i++)
		try_history(&attempt, &config->feeds[i]);
	for (size_t i = 0; i < config->listener_count; i++) {
		if (http_listener_check(&config->listeners[i], &why) < 0)
			add_error(&attempt, &config->listeners[i].section,
				  CONFIG_LISTENER_token_file, "%s", why.text);
	}
	free(attempt.tried);
}
