// SPDX-License-Identifier: MIT
/* getopt_long(3) over one table; what options mean together is settled at the end. */
#include "tools/relaycat/relaycat_options.h"

#include "base/clock.h"
#include "base/num.h"
#include "tools/shared/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	OPTION_VERIFY = 256,
	OPTION_STATS,
	OPTION_BYTES,
	OPTION_TIMEOUT,
	OPTION_CONNECT_RETRY,
	OPTION_RECONNECT,
	OPTION_HEADERS,
	OPTION_POSITIONS,
	OPTION_FRAMING,
	OPTION_FROM,
	OPTION_SINCE,
	OPTION_UNTIL,
	OPTION_TOKEN_FILE,
};

static const char short_options[] = ":fhn:q";

static const struct option long_options[] = {
	{"framed", no_argument, NULL, 'f'},
	{"verify", no_argument, NULL, OPTION_VERIFY},
	{"stats", no_argument, NULL, OPTION_STATS},
	{"headers", no_argument, NULL, OPTION_HEADERS},
	{"positions", required_argument, NULL, OPTION_POSITIONS},
	{"framing", required_argument, NULL, OPTION_FRAMING},
	{"count", required_argument, NULL, 'n'},
	{"bytes", required_argument, NULL, OPTION_BYTES},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"connect-retry", required_argument, NULL, OPTION_CONNECT_RETRY},
	{"reconnect", no_argument, NULL, OPTION_RECONNECT},
	{"from", required_argument, NULL, OPTION_FROM},
	{"since", required_argument, NULL, OPTION_SINCE},
	{"until", required_argument, NULL, OPTION_UNTIL},
	{"token-file", required_argument, NULL, OPTION_TOKEN_FILE},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static const char usage[] =
	"usage: relaycat [options] ADDRESS\n"
	"Subscribes to a relay feed and writes its bytes to standard output.\n"
	"ADDRESS is tcp:HOST:PORT, HOST:PORT, tcp:[V6]:PORT, unix:PATH or "
	"http://HOST[:PORT]/FEED;\n"
	"or a FILE, such as one of a history, which is read as it lies.\n"
	"\n"
	"  -f, --framed           the port is framed: write the payload, report gaps on standard "
	"error\n"
	"      --verify           framed, and check that no message is missing, twice or cut; an "
	"error\n"
	"                         makes the exit status 1 (announced gaps are counted, not "
	"errors)\n"
	"      --headers          framed, and write a line for each packet instead of the payload\n"
	"      --stats            rates each second, with latency where the port is framed\n"
	"      --framing KIND     how the stream delimits messages: line, u16be, u16le, u32be, "
	"u32le;\n"
	"                         messages are then counted, and with --verify compared\n"
	"      --positions SEED   check the stream of relaypub --positions SEED\n"
	"  -n, --count N          end after N messages (framed: after the packet that holds the "
	"Nth;\n"
	"                         raw: lines, unless --framing says otherwise)\n"
	"      --bytes N          end after N bytes (64k, 8m, 1g)\n"
	"      --timeout D        fail when no byte comes for D (500ms, 10s, 5m)\n"
	"      --connect-retry D  keep trying to connect for D\n"
	"      --reconnect        connect again whenever the connection is lost, or silent for "
	"--timeout,\n"
	"                         for ever or for --connect-retry each time; framed: says what was "
	"missed\n"
	"      --from N           begin with message N, or with N of session S as S-N; 0: the "
	"oldest "
	"there is\n"
	"      --since T          begin with what came at that time or later: "
	"2026-11-28T09:30:00Z, -15m\n"
	"      --until T          end with what came by then\n"
	"                         from, since and until are for http:// only, which is always "
	"framed;\n"
	"                         with --reconnect it goes on with the message that it missed "
	"first\n"
	"      --token-file FILE  for http:// only: a file with the token, or credential:NAME\n"
	"  -q, --quiet            no progress, gap reports or summary\n"
	"  -h, --help\n"
	"\n"
	"--verify, --positions and --stats write no payload to a terminal.  At the end a line "
	"with\n"
	"the totals goes to standard error.  Exit status: 0 good, 1 failed, 2 bad arguments.\n";

const char *relaycat_options_usage(void)
{
	return usage;
}

static int set_flag(struct relaycat_options *options, int option)
{
	switch (option) {
	case 'h':
		options->help = true;
		return 0;
	case 'f':
		options->framed = true;
		return 0;
	case 'q':
		options->quiet = true;
		return 0;
	case OPTION_RECONNECT:
		options->reconnects = true;
		return 0;
	case OPTION_STATS:
		options->stats = true;
		return 0;
	case OPTION_VERIFY:
		options->verify = true;
		options->framed = true;
		return 0;
	case OPTION_HEADERS:
		options->headers = true;
		options->framed = true;
		return 0;
	default:
		return -EINVAL;
	}
}

/* N or S-N, both decimal. */
static int parse_from(const char *value, struct http_feed_range *range, struct errmsg *error)
{
	const char *dash = strchr(value, '-');
	char session[HTTP_FEED_START_BYTES];
	uint64_t number;

	if (strlen(value) < sizeof session) {
		(void)snprintf(session, sizeof session, "%.*s", dash ? (int)(dash - value) : 1,
			       dash ? value : "1");
		(void)snprintf(range->from, sizeof range->from, "%s", value);
		if (num_parse_count(session, &number) == 0 && number > 0 && number <= UINT32_MAX &&
		    num_parse_count(dash ? dash + 1 : value, &number) == 0)
			return 0;
	}
	errmsg_set(error, "--from: \"%s\" is neither the number of a message nor SESSION-NUMBER",
		   value);
	return -EINVAL;
}

/* A time, or a duration before now with a minus; it becomes a time, so that it means the same
 * after a break. */
static int parse_time(const char *option, const char *value, char text[HTTP_FEED_START_BYTES],
		      uint64_t *ret_ns, struct errmsg *error)
{
	int r = arguments_parse_time(option, value, ret_ns, error);

	if (r == 0)
		(void)clock_print_utc(text, HTTP_FEED_START_BYTES, *ret_ns);
	return r;
}

static int set_value(struct relaycat_options *options, int option, const char *value,
		     struct errmsg *error)
{
	uint64_t since_ns;

	switch (option) {
	case 'n':
		return arguments_parse_count("--count", value, 1, &options->count, error);
	case OPTION_BYTES:
		return arguments_parse_bytes("--bytes", value, 1, UINT64_MAX, &options->bytes,
					     error);
	case OPTION_TIMEOUT:
		return arguments_parse_duration("--timeout", value, &options->timeout_ms, error);
	case OPTION_CONNECT_RETRY:
		return arguments_parse_duration("--connect-retry", value, &options->connect_ms,
						error);
	case OPTION_POSITIONS:
		options->positions = true;
		return arguments_parse_count("--positions", value, 0, &options->seed, error);
	case OPTION_FROM:
		return parse_from(value, &options->range, error);
	case OPTION_SINCE:
		return parse_time("--since", value, options->range.since, &since_ns, error);
	case OPTION_UNTIL:
		return parse_time("--until", value, options->range.until, &options->until_ns,
				  error);
	case OPTION_TOKEN_FILE:
		return feed_token_read(value, options->token, error);
	case OPTION_FRAMING:
		if (delimiter_parse(value, &options->framing) == 0 &&
		    options->framing != DELIMITER_RELAY)
			return 0;
		errmsg_set(error,
			   "--framing: \"%s\" is none of none, line, u16be, u16le, u32be, u32le",
			   value);
		return -EINVAL;
	default:
		return -EINVAL;
	}
}

/* An address always has a colon.  NULL: it is no file. */
static const char *find_file(const char *text)
{
	static const char prefix[] = "file:";

	if (strncmp(text, prefix, sizeof prefix - 1) == 0)
		return text + sizeof prefix - 1;
	return !strchr(text, ':') && access(text, F_OK) == 0 ? text : NULL;
}

/* What the address is, and what goes with it. */
static int parse_address(const char *text, struct relaycat_options *options, struct errmsg *error)
{
	const struct http_feed_range *range = &options->range;
	int r;

	options->is_http = http_feed_is_url(text);
	if (!options->is_http && (*range->from || *range->since || *range->until)) {
		errmsg_set(error, "--from, --since and --until need an address "
				  "http://HOST[:PORT]/FEED");
		return -EINVAL;
	}
	if (!options->is_http && *options->token) {
		errmsg_set(error, "--token-file needs an address http://HOST[:PORT]/FEED");
		return -EINVAL;
	}
	if (*range->from && *range->since) {
		errmsg_set(error, "--from and --since exclude one another");
		return -EINVAL;
	}
	options->address.file = find_file(text);
	options->address.text = text;
	if (options->address.file && options->reconnects) {
		errmsg_set(error, "--reconnect: a file does not come back");
		return -EINVAL;
	}
	if (options->address.file)
		return 0;
	if (!options->is_http)
		return connect_address_parse(text, &options->address, error);
	options->framed = true;
	r = http_feed_parse_url(text, &options->url, error);
	if (r == 0)
		r = connect_address_parse(options->url.address, &options->address, error);
	options->address.text = text;
	return r;
}

int relaycat_options_parse(int argc, char **argv, struct relaycat_options *ret_options,
			   struct errmsg *error)
{
	struct relaycat_options options = {0};
	int option;

	while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		int r = option == '?' || option == ':' ? arguments_refuse(option, argv, error)
						       : set_flag(&options, option);

		if (r < 0 && option != '?' && option != ':')
			r = set_value(&options, option, optarg, error);
		if (r < 0)
			return r;
	}
	if (options.count && !options.framed && options.framing == DELIMITER_NONE)
		options.framing = DELIMITER_LINE;
	*ret_options = options;
	if (options.help)
		return 0;
	if (optind + 1 != argc) {
		errmsg_set(error, optind == argc ? "expected an ADDRESS (see --help)"
						 : "expected one ADDRESS only (see --help)");
		return -EINVAL;
	}
	return parse_address(argv[optind], ret_options, error);
}
