// SPDX-License-Identifier: MIT
/* relayctl: one command, one or a few requests to relay's admin socket, one page or line as answer.
 *
 * Everything that is foreign goes to a terminal escaped; JSON goes out as ASCII.  Each error is one
 * line on standard error, with --json {"error": ...} on standard output as well. */
#include "base/fd.h"
#include "base/num.h"
#include "tools/relayctl/admin_client.h"
#include "tools/relayctl/relayctl_answer.h"
#include "tools/relayctl/relayctl_doctor.h"
#include "tools/relayctl/relayctl_history.h"
#include "tools/relayctl/relayctl_socket.h"
#include "tools/relayctl/relayctl_text.h"
#include "tools/relayctl/relayctl_top.h"
#include "tools/relayctl/relayctl_upgrade.h"
#include "tools/relayctl/relayctl_view.h"
#include "tools/shared/stop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	JSON_STYLE = JSON_ENSURE_ASCII | JSON_INDENT(2),
	LINE_BYTES = 4096,
	FEED_BYTES = 768, // a name, encoded
};

struct relayctl {
	const struct relayctl_options *options;
	struct view view;
	struct errmsg error;
	bool has_printed_json; // one document is enough
};

static enum relayctl_exit finish_page(struct relayctl *ctl, int r)
{
	if (r == 0)
		return RELAYCTL_DONE;
	errmsg_set(&ctl->error, "out of memory");
	return RELAYCTL_UNREACHABLE;
}

static enum relayctl_exit print_json(struct relayctl *ctl, const json_t *json)
{
	int r = json_dumpf(json, ctl->view.out, JSON_STYLE | JSON_ENCODE_ANY);

	(void)fputc('\n', ctl->view.out);
	ctl->has_printed_json = true;
	return finish_page(ctl, r);
}

/* ---- looking ---- */

static enum relayctl_exit show_status(struct relayctl *ctl)
{
	json_t *status;
	enum relayctl_exit r = relayctl_ask_status(ctl->options, &status, &ctl->error);

	if (r == RELAYCTL_DONE)
		r = ctl->options->json ? print_json(ctl, status)
				       : finish_page(ctl, view_status(&ctl->view, status));
	json_decref(status);
	return r;
}

static void print_names(const struct relayctl *ctl, const json_t *feeds)
{
	char safe[LINE_BYTES];
	const json_t *feed;
	size_t i;

	json_array_foreach(feeds, i, feed)(void) fprintf(
		ctl->view.out, "%s\n", text_escape(safe, sizeof safe, answer_text(feed, "name")));
}

static enum relayctl_exit show_feeds(struct relayctl *ctl)
{
	json_t *status, *feeds;
	enum relayctl_exit r = relayctl_ask_status(ctl->options, &status, &ctl->error);

	if (r == RELAYCTL_DONE && ctl->options->json) {
		feeds = json_pack("{s:O?}", "feeds", json_object_get(status, "feeds"));
		r = print_json(ctl, feeds);
		json_decref(feeds);
	} else if (r == RELAYCTL_DONE && ctl->options->names) {
		print_names(ctl, json_object_get(status, "feeds"));
	} else if (r == RELAYCTL_DONE) {
		r = finish_page(ctl, view_feeds(&ctl->view, status));
	}
	json_decref(status);
	return r;
}

/* Of the feed that was named, or of all: their names and histories. */
static json_t *histories_of(const struct relayctl *ctl, const json_t *status)
{
	json_t *list = json_array();
	const json_t *feed;
	size_t i;

	json_array_foreach(json_object_get(status, "feeds"), i, feed)
	{
		const char *name = answer_text(feed, "name");

		if (ctl->options->feed && strcmp(ctl->options->feed, name) != 0)
			continue;
		(void)json_array_append_new(list, json_pack("{s:s,s:O?}", "feed", name, "history",
							    json_object_get(feed, "history")));
	}
	return list;
}

static enum relayctl_exit show_history(struct relayctl *ctl)
{
	json_t *status, *histories;
	enum relayctl_exit r;

	if (ctl->options->argument)
		return relayctl_history(ctl->options, &ctl->view, &ctl->error);
	r = relayctl_ask_status(ctl->options, &status, &ctl->error);
	if (r == RELAYCTL_DONE) {
		histories = histories_of(ctl, status);
		r = ctl->options->json ? print_json(ctl, histories)
				       : finish_page(ctl, view_histories(&ctl->view, histories));
		json_decref(histories);
	}
	json_decref(status);
	return r;
}

static enum relayctl_exit show_subscribers(struct relayctl *ctl)
{
	json_t *answer;
	enum relayctl_exit r =
		relayctl_ask_subscribers(ctl->options, ctl->options->limit, &answer, &ctl->error);

	if (r == RELAYCTL_DONE)
		r = ctl->options->json ? print_json(ctl, answer)
				       : finish_page(ctl, view_subscribers(&ctl->view, answer));
	json_decref(answer);
	return r;
}

/* Many lines; escaped for a terminal only, so that a file gets what relay sent. */
static void print_lines(const struct relayctl *ctl, const char *text)
{
	char line[LINE_BYTES], safe[LINE_BYTES];

	if (!isatty(STDOUT_FILENO)) {
		(void)fputs(text, ctl->view.out);
		return;
	}
	while (*text) {
		size_t length = strcspn(text, "\n");

		(void)snprintf(line, sizeof line, "%.*s", (int)size_min(length, sizeof line - 1),
			       text);
		(void)fprintf(ctl->view.out, "%s\n", text_escape(safe, sizeof safe, line));
		text += length + (text[length] == '\n');
	}
}

static enum relayctl_exit show(struct relayctl *ctl)
{
	bool is_config = strcmp(ctl->options->argument, "config") == 0;
	json_t *answer;
	enum relayctl_exit r = relayctl_ask(
		ctl->options, "GET", is_config ? "/config" : "/limits.json", &answer, &ctl->error);

	if (r == RELAYCTL_DONE && ctl->options->json)
		r = print_json(ctl, answer);
	else if (r == RELAYCTL_DONE && is_config)
		print_lines(ctl, answer_text(answer, "text"));
	else if (r == RELAYCTL_DONE)
		r = finish_page(ctl, view_object(&ctl->view, answer));
	json_decref(answer);
	return r;
}

/* ---- steering ---- */

/* Prints the list's lines; each behind `before`. */
static void print_list(FILE *out, const char *before, const json_t *list)
{
	char safe[LINE_BYTES];
	const json_t *line;
	size_t i;

	json_array_foreach(list, i, line)
	{
		const char *text = json_string_value(line);

		(void)fprintf(out, "%s%s\n", before,
			      text_escape(safe, sizeof safe, text ? text : ""));
	}
}

/* Tells how a command ended; `done` is what is said when relay did it.  The answer is freed. */
static enum relayctl_exit tell(struct relayctl *ctl, enum relayctl_exit r, json_t *answer,
			       const char *done)
{
	bool is_json = ctl->options->json;
	const json_t *errors = json_object_get(answer, "errors");

	if (r == RELAYCTL_DONE && is_json) {
		r = print_json(ctl, answer);
	} else if (r == RELAYCTL_DONE) {
		(void)fprintf(ctl->view.out, "%s\n", done);
		print_list(ctl->view.out, "  ", json_object_get(answer, "changes"));
	} else if (json_array_size(errors) > 0) {
		// Where in the configuration, one line each: enough said.
		print_list(stderr, "relayctl: ", errors);
	}
	if (r == RELAYCTL_REFUSED && is_json)
		(void)print_json(ctl, answer);
	json_decref(answer);
	return r;
}

static enum relayctl_exit act(struct relayctl *ctl, const char *target, const char *done)
{
	json_t *answer;
	enum relayctl_exit r = relayctl_ask(ctl->options, "POST", target, &answer, &ctl->error);

	return tell(ctl, r, answer, done);
}

static enum relayctl_exit upgrade(struct relayctl *ctl)
{
	char done[LINE_BYTES], version[64], count[TEXT_BYTES];
	json_t *answer;
	enum relayctl_exit r = relayctl_upgrade(ctl->options, &answer, &ctl->error);

	if (answer_count(answer, "process") == 0)
		return tell(ctl, r, answer, "a program that says no more has taken over");
	(void)snprintf(done, sizeof done, "relay %s has taken over, subscribers: %s",
		       text_escape(version, sizeof version, answer_text(answer, "version")),
		       text_count(count, sizeof count, answer_count(answer, "subscribers")));
	return tell(ctl, r, answer, done);
}

static bool encode_feed(struct relayctl *ctl, char feed[FEED_BYTES])
{
	if (admin_client_encode(feed, FEED_BYTES, ctl->options->feed) == 0)
		return true;
	errmsg_set(&ctl->error, "--feed: the name is too long");
	return false;
}

static enum relayctl_exit kick(struct relayctl *ctl)
{
	const struct relayctl_options *options = ctl->options;
	char feed[FEED_BYTES], target[900], done[LINE_BYTES], safe[1024];

	if (!encode_feed(ctl, feed))
		return RELAYCTL_USAGE;
	(void)snprintf(target, sizeof target, "/kick?feed=%s&id=%s", feed, options->argument);
	(void)snprintf(done, sizeof done, "closed subscriber %s of feed %s", options->argument,
		       text_escape(safe, sizeof safe, options->feed));
	return act(ctl, target, done);
}

static enum relayctl_exit set_title(struct relayctl *ctl)
{
	char feed[FEED_BYTES], title[LINE_BYTES], target[LINE_BYTES + 900], done[1200], safe[1024];

	if (!encode_feed(ctl, feed))
		return RELAYCTL_USAGE;
	if (admin_client_encode(title, sizeof title, ctl->options->argument) < 0) {
		errmsg_set(&ctl->error, "title: TEXT is too long");
		return RELAYCTL_USAGE;
	}
	(void)snprintf(target, sizeof target, "/title?feed=%s&title=%s", feed, title);
	(void)snprintf(done, sizeof done, "set the title of feed %s",
		       text_escape(safe, sizeof safe, ctl->options->feed));
	return act(ctl, target, done);
}

static enum relayctl_exit drain(struct relayctl *ctl)
{
	uint64_t spread_ms = ctl->options->spread_ms;
	char target[64], done[64], over[NUM_PRINT_BYTES];

	if (ctl->options->cancel)
		return act(ctl, "/drain-cancel", "the drain is taken back");
	if (!spread_ms)
		return act(ctl, "/drain", "draining");
	(void)snprintf(target, sizeof target, "/drain-slowly?spread=%" PRIu64 "ms", spread_ms);
	(void)snprintf(done, sizeof done, "draining over %s",
		       num_print_duration_ms(over, sizeof over, spread_ms));
	return act(ctl, target, done);
}

static enum relayctl_exit set_log_level(struct relayctl *ctl)
{
	char level[64], target[128], done[128], safe[64];

	if (admin_client_encode(level, sizeof level, ctl->options->argument) < 0) {
		errmsg_set(&ctl->error, "log-level: expected error, warn, info or debug");
		return RELAYCTL_USAGE;
	}
	(void)snprintf(target, sizeof target, "/log-level?level=%s", level);
	(void)snprintf(done, sizeof done, "log level is %s",
		       text_escape(safe, sizeof safe, ctl->options->argument));
	return act(ctl, target, done);
}

/* ---- all ---- */

/* Not knowing which relay is a line of doctor's, not its failure. */
static enum relayctl_exit look_at_machine(struct relayctl *ctl)
{
	struct errmsg why_no_socket = ctl->error;

	ctl->error.text[0] = '\0';
	return relayctl_doctor(ctl->options, why_no_socket.text, &ctl->view);
}

static enum relayctl_exit run(struct relayctl *ctl)
{
	switch (ctl->options->command) {
	case COMMAND_STATUS:
		return show_status(ctl);
	case COMMAND_TOP:
		return relayctl_top(ctl->options, &ctl->view, &ctl->error);
	case COMMAND_FEEDS:
		return show_feeds(ctl);
	case COMMAND_SUBSCRIBERS:
		return show_subscribers(ctl);
	case COMMAND_HISTORY:
		return show_history(ctl);
	case COMMAND_SHOW:
		return show(ctl);
	case COMMAND_KICK:
		return kick(ctl);
	case COMMAND_TITLE:
		return set_title(ctl);
	case COMMAND_DRAIN:
		return drain(ctl);
	case COMMAND_RELOAD:
		return act(ctl, "/reload", "reloaded");
	case COMMAND_LOG_LEVEL:
		return set_log_level(ctl);
	case COMMAND_UPGRADE:
		return upgrade(ctl);
	case COMMAND_DOCTOR:
		return look_at_machine(ctl);
	}
	return RELAYCTL_USAGE;
}

/* The socket; where there is none, the page is as good for looking. */
static const char *choose(const struct relayctl_options *options,
			  const struct relayctl_socket *socket)
{
	if (!socket->is_missing || !options->looks)
		return socket->path;
	(void)fprintf(stderr, "relayctl: no admin socket at %s, looking by %s\n", socket->path,
		      RELAYCTL_PAGE);
	return RELAYCTL_PAGE;
}

static enum relayctl_exit finish(const struct relayctl *ctl, enum relayctl_exit r)
{
	json_t *json;

	if (fflush(ctl->view.out) != 0 || ferror(ctl->view.out)) {
		(void)fputs("relayctl: standard output cannot be written\n", stderr);
		return RELAYCTL_REFUSED;
	}
	if (r == RELAYCTL_DONE || ctl->error.text[0] == '\0')
		return r;
	(void)fprintf(stderr, "relayctl: %s\n", ctl->error.text);
	if (ctl->options->json && !ctl->has_printed_json) {
		json = json_pack("{s:s}", "error", ctl->error.text);
		(void)json_dumpf(json, stdout, JSON_STYLE);
		(void)fputc('\n', stdout);
		json_decref(json);
	}
	return r;
}

int main(int argc, char **argv)
{
	const char *no_color = getenv("NO_COLOR"); // https://no-color.org: set and not empty
	struct relayctl_options options;
	struct relayctl_socket socket;
	struct relayctl ctl = {
		.options = &options,
		.view = {.out = stdout,
			 .has_colours = isatty(STDOUT_FILENO) && !(no_color && *no_color)},
	};
	int r;

	fd_hold_standard();
	if (relayctl_options_parse(argc, argv, &options, &ctl.error) < 0)
		return finish(&ctl, RELAYCTL_USAGE);
	if (options.help)
		return relayctl_options_print_usage(stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (!options.socket && !options.folder) {
		r = relayctl_socket_find(RELAYCTL_RUN_DIRECTORY, options.unit, &socket, &ctl.error);
		if (r == 0)
			options.socket = choose(&options, &socket);
		else if (r != -ENOTUNIQ || options.command != COMMAND_DOCTOR)
			return finish(&ctl, RELAYCTL_USAGE);
	}
	stop_install();
	return finish(&ctl, run(&ctl));
}
