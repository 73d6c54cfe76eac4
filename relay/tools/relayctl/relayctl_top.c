// SPDX-License-Identifier: MIT
/* A page is made in memory, cut to the terminal and written at once, so that nothing flickers.  All
 * foreign text in it is plain ASCII already (text_escape()), so a byte is a column. */
#include "tools/relayctl/relayctl_top.h"

#include "base/clock.h"
#include "base/num.h"
#include "tools/shared/connect_address.h"
#include "tools/shared/stop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum {
	SUBSCRIBERS_ONCE = 20, // where there is no height to fill
};

struct top {
	const struct relayctl_options *options;
	json_t *subscribers; // of the last look; NULL: there was none, or it failed
	uint64_t looked_ns;  // monotonic
};

/* ECMA-48 and xterm: alternate screen, cursor off; home; erase to the end of line, of screen. */
static const char screen_enter[] = "\033[?1049h\033[?25l";
static const char screen_leave[] = "\033[?25h\033[?1049l";
static const char screen_home[] = "\033[H";
static const char screen_erase[] = "\033[J";

static void on_resize(int signal_number)
{
	(void)signal_number; // its use is that poll(2) returns
}

/* ---- rates ---- */

/* The subscriber of the look before; NULL: it was not listed then. */
static const json_t *find_in(const json_t *answer, const json_t *wanted)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(answer, "subscribers"), i, one)
	{
		if (answer_count(one, "id") == answer_count(wanted, "id") &&
		    strcmp(answer_text(one, "feed"), answer_text(wanted, "feed")) == 0)
			return one;
	}
	return NULL;
}

/* Gives each subscriber its "rate", in bytes a second since the look before.  A count that went
 * back is of another process. */
static void add_rates(const struct top *top, json_t *answer, uint64_t now_ns)
{
	uint64_t elapsed_ms = u64_max((now_ns - top->looked_ns) / NS_PER_MS, 1);
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(answer, "subscribers"), i, one)
	{
		const json_t *before = find_in(top->subscribers, one);
		uint64_t sent = answer_count(one, "sent_bytes");

		if (!before || sent < answer_count(before, "sent_bytes"))
			continue;
		sent -= answer_count(before, "sent_bytes");
		(void)json_object_set_new(one, "rate",
					  json_integer((json_int_t)(sent * 1000 / elapsed_ms)));
	}
}

/* ---- a look ---- */

static void view_page(const struct view *view, const json_t *status, const json_t *subscribers,
		      bool *ret_is_short)
{
	int r;

	view_relay(view, status);
	(void)fputc('\n', view->out);
	r = view_top_feeds(view, status);
	(void)fputc('\n', view->out);
	*ret_is_short = r < 0 || view_top_subscribers(view, subscribers) < 0;
}

/* Asks for the subscribers, and knows their rates if it has asked before. */
static enum relayctl_exit look_at_subscribers(struct top *top, uint64_t limit, struct errmsg *error)
{
	json_t *answer;
	enum relayctl_exit r = relayctl_ask_subscribers(top->options, limit, &answer, error);
	uint64_t now_ns = clock_mono_ns();

	if (r == RELAYCTL_DONE)
		add_rates(top, answer, now_ns);
	json_decref(top->subscribers);
	top->subscribers = answer;
	top->looked_ns = now_ns;
	return r;
}

/* Asks, and writes the page. */
static enum relayctl_exit look(struct top *top, const struct view *view, uint64_t limit,
			       struct errmsg *error)
{
	json_t *status = NULL;
	enum relayctl_exit r = relayctl_ask_status(top->options, &status, error);
	bool is_short = false;

	if (r == RELAYCTL_DONE)
		r = look_at_subscribers(top, limit, error);
	if (r == RELAYCTL_DONE && top->options->json) {
		json_t *both =
			json_pack("{s:O,s:O}", "status", status, "lagging", top->subscribers);

		is_short = !both ||
			   json_dumpf(both, view->out, JSON_ENSURE_ASCII | JSON_INDENT(2)) < 0;
		(void)fputc('\n', view->out);
		json_decref(both);
	} else if (r == RELAYCTL_DONE) {
		view_page(view, status, top->subscribers, &is_short);
	}
	json_decref(status);
	if (is_short) {
		errmsg_set(error, "out of memory");
		return RELAYCTL_UNREACHABLE;
	}
	return r;
}

/* Once: two looks, for a rate needs two. */
static enum relayctl_exit look_once(struct top *top, const struct view *view, struct errmsg *error)
{
	enum relayctl_exit r = look_at_subscribers(top, SUBSCRIBERS_ONCE, error);

	if (r != RELAYCTL_DONE)
		return r;
	if (connect_address_wait(-1, 0, top->options->interval_ms) == -EINTR) {
		errmsg_set(error, "interrupted");
		return RELAYCTL_UNREACHABLE;
	}
	return look(top, view, SUBSCRIBERS_ONCE, error);
}

void relayctl_top_cut(FILE *out, const char *page, size_t columns, size_t rows)
{
	size_t column = 0, row = 1;

	for (const char *at = page; *at; at++) {
		if (*at == '\033') {
			size_t length = strcspn(at, "m");

			(void)fwrite(at, 1, length + (at[length] == 'm'), out);
			at += length - (at[length] == '\0');
		} else if (*at == '\n') {
			if (row++ == rows || at[1] == '\0')
				return;
			(void)fputs("\033[K\n", out);
			column = 0;
		} else if (column++ < columns) {
			(void)fputc(*at, out);
		}
	}
}

static void draw(struct top *top, const struct view *view)
{
	struct winsize size = {0};
	char *page = NULL;
	size_t page_bytes = 0;
	struct view paper = {.has_colours = view->has_colours};
	struct errmsg error;

	// A terminal that does not know its size (0) is taken for the usual one.
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
		size = (struct winsize){.ws_col = 80, .ws_row = 24};
	paper.out = open_memstream(&page, &page_bytes);
	if (!paper.out)
		return;
	// In the last column a terminal may wrap, or erase what stands there.
	paper.columns = size.ws_col - 1u;
	if (look(top, &paper, size.ws_row, &error) != RELAYCTL_DONE)
		(void)fprintf(paper.out, "%s\n", error.text);
	// Whoever ends it need not read that a question was interrupted by that.
	if (fclose(paper.out) == 0 && !stop_is_requested()) {
		(void)fputs(screen_home, view->out);
		relayctl_top_cut(view->out, page, paper.columns, size.ws_row);
		(void)fputs("\033[K", view->out);
		(void)fputs(screen_erase, view->out);
		(void)fflush(view->out);
	}
	free(page);
}

/* Until it is time for another look; false: it is to end. */
static bool wait_for_key(uint64_t interval_ms)
{
	struct pollfd keys = {.fd = STDIN_FILENO, .events = POLLIN};
	uint64_t end_ns = clock_mono_ns() + interval_ms * NS_PER_MS;
	uint64_t now_ns;

	while (!stop_is_requested() && (now_ns = clock_mono_ns()) < end_ns) {
		uint64_t left_ms = (end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
		int ready = poll(&keys, 1, (int)u64_min(left_ms, 1000));
		char key;

		if (ready < 0)
			return errno == EINTR && !stop_is_requested(); // resized
		if (ready == 0)
			continue;
		if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')
			return false;
	}
	return !stop_is_requested();
}

/* In the alternate screen, until it is to end. */
static void live(struct top *top, const struct view *view, const struct termios *before)
{
	// A page that is being written goes on; poll(2) returns in any case (signal(7)).
	struct sigaction resize = {.sa_handler = on_resize, .sa_flags = SA_RESTART};
	struct termios during = *before;

	sigemptyset(&resize.sa_mask);
	(void)sigaction(SIGWINCH, &resize, NULL);
	during.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	// Suspended in the alternate screen, the shell would be there too.
	during.c_cc[VSUSP] = _POSIX_VDISABLE;
	during.c_cc[VMIN] = 1;
	during.c_cc[VTIME] = 0;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &during);
	(void)fputs(screen_enter, view->out);
	do {
		draw(top, view);
	} while (wait_for_key(top->options->interval_ms));
	(void)fputs(screen_leave, view->out);
	(void)fflush(view->out);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, before);
}

enum relayctl_exit relayctl_top(const struct relayctl_options *options, const struct view *view,
				struct errmsg *error)
{
	struct top top = {.options = options};
	enum relayctl_exit r = RELAYCTL_DONE;
	struct termios before;

	if (options->json || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before) < 0)
		r = look_once(&top, view, error);
	else
		live(&top, view, &before);
	json_decref(top.subscribers);
	return r;
}
