// SPDX-License-Identifier: MIT
/* A page is made in memory, cut to the terminal and written at once, so that nothing flickers.  All
 * foreign text in it is plain ASCII already (text_escape()), so a byte is a column. */
#include "tools/relayctl/relayctl_top.h"

#include "base/clock.h"
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

/* ECMA-48 and xterm: alternate screen, cursor off; home; erase to the end of line, of screen. */
static const char screen_enter[] = "\033[?1049h\033[?25l";
static const char screen_leave[] = "\033[?25h\033[?1049l";
static const char screen_home[] = "\033[H";
static const char screen_erase[] = "\033[J";

static void on_resize(int signal_number)
{
	(void)signal_number; // its use is that poll(2) returns
}

static void view_page(const struct view *view, const json_t *status, const json_t *subscribers,
		      bool *ret_is_short)
{
	int r;

	view_relay(view, status);
	(void)fputc('\n', view->out);
	r = view_feeds(view, status);
	(void)fputc('\n', view->out);
	*ret_is_short = r < 0 || view_subscribers(view, subscribers) < 0;
}

/* Asks, and writes the page. */
static enum relayctl_exit look(const struct relayctl_options *options, const struct view *view,
			       uint64_t limit, struct errmsg *error)
{
	json_t *status = NULL, *subscribers = NULL;
	enum relayctl_exit r = relayctl_ask_status(options, &status, error);
	bool is_short = false;

	if (r == RELAYCTL_DONE)
		r = relayctl_ask_subscribers(options, limit, &subscribers, error);
	if (r == RELAYCTL_DONE && options->json) {
		json_t *both = json_pack("{s:O,s:O}", "status", status, "lagging", subscribers);

		is_short = !both ||
			   json_dumpf(both, view->out, JSON_ENSURE_ASCII | JSON_INDENT(2)) < 0;
		(void)fputc('\n', view->out);
		json_decref(both);
	} else if (r == RELAYCTL_DONE) {
		view_page(view, status, subscribers, &is_short);
	}
	json_decref(status);
	json_decref(subscribers);
	if (is_short) {
		errmsg_set(error, "out of memory");
		return RELAYCTL_UNREACHABLE;
	}
	return r;
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

static void draw(const struct relayctl_options *options, const struct view *view)
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
	if (look(options, &paper, size.ws_row, &error) != RELAYCTL_DONE)
		(void)fprintf(paper.out, "%s\n", error.text);
	if (fclose(paper.out) == 0) {
		(void)fputs(screen_home, view->out);
		// In the last column a terminal may wrap, or erase what stands there.
		relayctl_top_cut(view->out, page, size.ws_col - 1u, size.ws_row);
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

enum relayctl_exit relayctl_top(const struct relayctl_options *options, const struct view *view,
				struct errmsg *error)
{
	struct sigaction resize = {.sa_handler = on_resize};
	struct termios before, during;

	if (options->json || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before) < 0)
		return look(options, view, SUBSCRIBERS_ONCE, error);
	sigemptyset(&resize.sa_mask);
	(void)sigaction(SIGWINCH, &resize, NULL);
	during = before;
	during.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	// Suspended in the alternate screen, the shell would be there too.
	during.c_cc[VSUSP] = _POSIX_VDISABLE;
	during.c_cc[VMIN] = 1;
	during.c_cc[VTIME] = 0;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &during);
	(void)fputs(screen_enter, view->out);
	do {
		draw(options, view);
	} while (wait_for_key(options->interval_ms));
	(void)fputs(screen_leave, view->out);
	(void)fflush(view->out);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return RELAYCTL_DONE;
}
