// SPDX-License-Identifier: MIT
/* getopt_long(3) over one table, the command from another; an option that the command does not take
 * is refused, since it would be taken for obeyed. */
#include "tools/relayctl/relayctl_options.h"

#include "tools/shared/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

enum {
	TAKES_FEED = 1 << 0,
	TAKES_SLOW = 1 << 1,
	TAKES_LIMIT = 1 << 2,
	TAKES_INTERVAL = 1 << 3,
	TAKES_NAMES = 1 << 4,
	TAKES_RANGE = 1 << 5,
	TAKES_SPREAD = 1 << 6,
	NEEDS_FEED = 1 << 7,
	LOOKS = 1 << 8, // it changes nothing
};

enum {
	OPTION_JSON = 256,
	OPTION_FEED,
	OPTION_SLOW,
	OPTION_LIMIT,
	OPTION_INTERVAL,
	OPTION_NAMES,
	OPTION_SINCE,
	OPTION_UNTIL,
	OPTION_SPREAD,
	OPTION_CANCEL,
	OPTION_TIMEOUT,
};

enum {
	LIMIT_DEFAULT = 50,
	LIMIT_MAX = 100000,
	INTERVAL_DEFAULT_MS = 1000,
	INTERVAL_MIN_MS = 100,
};

struct command_row {
	const char *name, *arguments, *help;
	int arguments_min, arguments_max;
	unsigned takes;
	uint64_t timeout_ms;
};

static const struct command_row commands[] = {
#define COMMAND(id, name, arguments, min, max, takes, timeout, help)                               \
	[COMMAND_##id] = {name, arguments, help, min, max, takes, timeout},
#include "tools/relayctl/relayctl_command.def"
};

static const char short_options[] = ":hs:u:";

static const struct option long_options[] = {
	{"socket", required_argument, NULL, 's'},
	{"unit", required_argument, NULL, 'u'},
	{"json", no_argument, NULL, OPTION_JSON},
	{"feed", required_argument, NULL, OPTION_FEED},
	{"slow", no_argument, NULL, OPTION_SLOW},
	{"limit", required_argument, NULL, OPTION_LIMIT},
	{"interval", required_argument, NULL, OPTION_INTERVAL},
	{"names", no_argument, NULL, OPTION_NAMES},
	{"since", required_argument, NULL, OPTION_SINCE},
	{"until", required_argument, NULL, OPTION_UNTIL},
	{"spread", required_argument, NULL, OPTION_SPREAD},
	{"cancel", no_argument, NULL, OPTION_CANCEL},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static const char usage_options[] =
	"\n"
	"  -s, --socket PATH      the admin socket; or http://HOST:PORT, to look only\n"
	"  -u, --unit UNIT        of relay, or of relay@NAME; without it, of the one that runs\n"
	"      --json             write JSON, for programs\n"
	"      --feed FEED        subscribers, history, kick, title: of this feed\n"
	"      --slow             subscribers: only those that lag\n"
	"      --limit N          subscribers: at most N (50)\n"
	"      --names            feeds: the names only, one a line\n"
	"      --since T, --until T  history export: what came between these; a time such as\n"
	"                         2026-11-28T09:30:00Z, or a duration before now such as -15m\n"
	"      --spread D         drain: let subscribers go one after the other, over this time\n"
	"      --cancel           drain: take such a drain back\n"
	"      --interval D       top: time between two looks (1s)\n"
	"      --timeout D        how long to wait for an answer (10s; reload, upgrade: 1m)\n"
	"  -h, --help\n"
	"\n"
	"Exit status: 0 done, 1 relay refused or doctor found something, 2 bad arguments,\n"
	"3 relay cannot be reached or not understood.\n";

int relayctl_options_print_usage(FILE *out)
{
	(void)fputs("usage: relayctl [options] COMMAND\n"
		    "Looks at a running relay and steers it, over its admin socket.\n\n",
		    out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		(void)fprintf(out, "  %s %-*s  %s\n", commands[i].name,
			      (int)(21 - strlen(commands[i].name)), commands[i].arguments,
			      commands[i].help);
	(void)fputs(usage_options, out);
	return fflush(out) != 0 ? -errno : 0;
}

/* The TAKES_ bit of an option that only some commands take, 0 for the others, or -EINVAL. */
static int set_option(struct relayctl_options *options, int option, const char *value,
		      struct errmsg *error)
{
	int r;

	switch (option) {
	case 'h':
		options->help = true;
		return 0;
	case 's':
		options->socket = value;
		return 0;
	case 'u':
		options->unit = value;
		return 0;
	case OPTION_JSON:
		options->json = true;
		return 0;
	case OPTION_FEED:
		options->feed = value;
		return TAKES_FEED;
	case OPTION_SLOW:
		options->slow = true;
		return TAKES_SLOW;
	case OPTION_NAMES:
		options->names = true;
		return TAKES_NAMES;
	case OPTION_LIMIT:
		r = arguments_parse_count("--limit", value, 1, &options->limit, error);
		if (r == 0 && options->limit > LIMIT_MAX)
			options->limit = LIMIT_MAX;
		return r < 0 ? r : TAKES_LIMIT;
	case OPTION_INTERVAL:
		r = arguments_parse_duration("--interval", value, &options->interval_ms, error);
		options->interval_ms = u64_max(options->interval_ms, INTERVAL_MIN_MS);
		return r < 0 ? r : TAKES_INTERVAL;
	case OPTION_SINCE:
		r = arguments_parse_time("--since", value, &options->since_ns, error);
		return r < 0 ? r : TAKES_RANGE;
	case OPTION_UNTIL:
		r = arguments_parse_time("--until", value, &options->until_ns, error);
		return r < 0 ? r : TAKES_RANGE;
	case OPTION_SPREAD:
		r = arguments_parse_duration("--spread", value, &options->spread_ms, error);
		if (r == 0 && options->spread_ms == 0) {
			errmsg_set(error, "--spread: expected a time above 0");
			r = -EINVAL;
		}
		return r < 0 ? r : TAKES_SPREAD;
	case OPTION_CANCEL:
		options->cancel = true;
		return TAKES_SPREAD;
	case OPTION_TIMEOUT:
		return arguments_parse_duration("--timeout", value, &options->timeout_ms, error);
	default:
		return -EINVAL;
	}
}

static int find_command(const char *name, enum relayctl_command *ret_command, struct errmsg *error)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(name, commands[i].name) == 0) {
			*ret_command = (enum relayctl_command)i;
			return 0;
		}
	}
	errmsg_set(error, "no command \"%s\" (see --help)", name);
	return -EINVAL;
}

/* An option among those given that the command has no use for. */
static int refuse_option(const struct command_row *row, unsigned given, struct errmsg *error)
{
	// In the order of the TAKES_ bits.
	static const char *const names[] = {"--feed",
					    "--slow",
					    "--limit",
					    "--interval",
					    "--names",
					    "--since and --until",
					    "--spread and --cancel"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!(given & ~row->takes & 1u << i))
			continue;
		errmsg_set(error, "%s takes no %s (see --help)", row->name, names[i]);
		return -EINVAL;
	}
	return 0;
}

/* verify [FOLDER]; export FILE [FOLDER]; or nothing.  What an export is of has to be said. */
static int set_history(struct relayctl_options *options, int count, char **words,
		       struct errmsg *error)
{
	bool is_export = count && strcmp(words[0], "export") == 0;
	int before = is_export ? 2 : 1; /* words in front of the folder */
	bool has_range = options->since_ns || options->until_ns;

	if (!count && !has_range)
		return 0;
	if (!count || (!is_export && strcmp(words[0], "verify") != 0)) {
		errmsg_set(error, "history: expected verify [FOLDER] or export FILE [FOLDER] "
				  "(see --help)");
		return -EINVAL;
	}
	options->file = is_export ? words[1] : NULL;
	options->folder = count > before ? words[before] : NULL;
	if (count < before || count > before + 1 || (!is_export && has_range))
		errmsg_set(error, "history %s: expected %s (see --help)", words[0],
			   is_export ? "FILE [FOLDER]" : "[FOLDER], and no time");
	else if (options->folder && options->feed)
		errmsg_set(error, "history %s: --feed and %s both say of what", words[0],
			   options->folder);
	else if (is_export && !options->folder && !options->feed)
		errmsg_set(error, "history export: expected --feed FEED, or a FOLDER behind %s",
			   options->file);
	else
		return 0;
	return -EINVAL;
}

static int check_argument(const struct relayctl_options *options, struct errmsg *error)
{
	uint64_t id;

	if (options->spread_ms && options->cancel) {
		errmsg_set(error, "drain: expected --spread or --cancel, not both");
		return -EINVAL;
	}
	if (options->command == COMMAND_KICK)
		return arguments_parse_count("kick", options->argument, 0, &id, error);
	if (options->command == COMMAND_SHOW && strcmp(options->argument, "config") != 0 &&
	    strcmp(options->argument, "limits") != 0) {
		errmsg_set(error, "show: \"%s\" is neither config nor limits", options->argument);
		return -EINVAL;
	}
	return 0;
}

static int set_command(struct relayctl_options *options, unsigned given, int count, char **words,
		       struct errmsg *error)
{
	const struct command_row *row;
	int r;

	if (count == 0) {
		errmsg_set(error, "expected a COMMAND (see --help)");
		return -EINVAL;
	}
	r = find_command(words[0], &options->command, error);
	if (r < 0)
		return r;
	row = &commands[options->command];
	if (count - 1 < row->arguments_min || count - 1 > row->arguments_max) {
		errmsg_set(error, "%s: expected %s (see --help)", row->name,
			   *row->arguments ? row->arguments : "nothing behind it");
		return -EINVAL;
	}
	if ((row->takes & NEEDS_FEED) && !options->feed) {
		errmsg_set(error, "%s: expected --feed FEED", row->name);
		return -EINVAL;
	}
	options->looks = (row->takes & LOOKS) != 0;
	options->argument = count > 1 ? words[1] : NULL;
	if (options->timeout_ms == 0)
		options->timeout_ms = row->timeout_ms;
	r = refuse_option(row, given, error);
	if (r == 0 && options->command == COMMAND_HISTORY)
		r = set_history(options, count - 1, words + 1, error);
	return r < 0 ? r : check_argument(options, error);
}

int relayctl_options_parse(int argc, char **argv, struct relayctl_options *ret_options,
			   struct errmsg *error)
{
	struct relayctl_options *options = ret_options;
	unsigned given = 0;
	int option;

	*options = (struct relayctl_options){
		.limit = LIMIT_DEFAULT,
		.interval_ms = INTERVAL_DEFAULT_MS,
	};
	while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		int r = option == '?' || option == ':' ? arguments_refuse(option, argv, error)
						       : set_option(options, option, optarg, error);

		if (r < 0)
			return r;
		given |= (unsigned)r;
	}
	if (options->help)
		return 0;
	if (options->socket && options->unit) {
		errmsg_set(error, "--socket and --unit both say which relay (see --help)");
		return -EINVAL;
	}
	return set_command(options, given, argc - optind, argv + optind, error);
}
