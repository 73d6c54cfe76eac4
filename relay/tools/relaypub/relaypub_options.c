// SPDX-License-Identifier: MIT
/* getopt_long(3) over one table.  Defaults depend on what is published, so they are filled in, and
 * contradictions found, once all options are known. */
#include "tools/relaypub/relaypub_options.h"

#include "tools/shared/arguments.h"

#include <errno.h>
#include <getopt.h>

enum {
	OPTION_DEMO = 256,
	OPTION_SIZE,
	OPTION_RATE,
	OPTION_FRAMING,
	OPTION_POSITIONS,
	OPTION_LISTEN,
	OPTION_CONNECT_RETRY,
	OPTION_RECONNECT,
};

enum {
	DEMO_RATE = 20,
	POSITIONS_SIZE = 64 << 10,
	FILE_SIZE = 1 << 20,          // where messages are not ours to cut
	FILE_MESSAGE_SIZE = 64 << 10, // where each read becomes a message
	MAX_SIZE = 128 << 20,         // over relay's largest max_message, to try it
};

static const char short_options[] = ":hn:q";

static const struct option long_options[] = {
	{"demo", no_argument, NULL, OPTION_DEMO},
	{"size", required_argument, NULL, OPTION_SIZE},
	{"rate", required_argument, NULL, OPTION_RATE},
	{"count", required_argument, NULL, 'n'},
	{"framing", required_argument, NULL, OPTION_FRAMING},
	{"positions", required_argument, NULL, OPTION_POSITIONS},
	{"listen", no_argument, NULL, OPTION_LISTEN},
	{"connect-retry", required_argument, NULL, OPTION_CONNECT_RETRY},
	{"reconnect", no_argument, NULL, OPTION_RECONNECT},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static const char usage[] =
	"usage: relaypub [options] ADDRESS [FILE...]\n"
	"Publishes files (\"-\" is standard input, the default) or generated messages to a relay\n"
	"feed.  ADDRESS is tcp:HOST:PORT, HOST:PORT, tcp:[V6]:PORT or unix:PATH.\n"
	"\n"
	"      --demo             made-up prices, one line each, 20 a second\n"
	"      --size BYTES       generated messages of this size; with FILE: pieces of this size\n"
	"      --positions SEED   a stream that relaycat --positions SEED checks byte for byte, "
	"in\n"
	"                         messages of --size (64k)\n"
	"      --rate N           messages a second; 0: as fast as they are taken\n"
	"  -n, --count N          end after N messages\n"
	"      --framing KIND     what is put around a message: none, line (LF behind it), u16be, "
	"u16le,\n"
	"                         u32be, u32le (its length before it) or relay (a packet header); "
	"not\n"
	"                         counted in --size.  From a file each read is a message, lines "
	"are\n"
	"                         left as they are.  Default: line for --demo, else none\n"
	"      --listen           let relay connect: listen on ADDRESS, serve the first to come\n"
	"      --connect-retry D  keep trying to connect for D (500ms, 10s, 5m)\n"
	"      --reconnect        connect again whenever the connection is lost, for ever or for D "
	"each\n"
	"                         time; reads no input meanwhile, and begins with a whole message\n"
	"  -q, --quiet            no progress or summary\n"
	"  -h, --help\n"
	"\n"
	"Exit status: 0 all was sent, 1 failed, 2 bad arguments.\n";

/* What was said, before it is known what follows from it. */
struct said {
	bool demo;
	bool positions;
	bool size;
	bool rate;
	bool framing;
};

const char *relaypub_options_usage(void)
{
	return usage;
}

static int set_framing(struct relaypub_options *options, const char *value, struct errmsg *error)
{
	if (delimiter_parse(value, &options->framing) == 0)
		return 0;
	errmsg_set(error,
		   "--framing: \"%s\" is none of none, line, u16be, u16le, u32be, u32le, relay",
		   value);
	return -EINVAL;
}

static int set_option(struct relaypub_options *options, struct said *said, int option,
		      const char *value, struct errmsg *error)
{
	struct message_source_params *source = &options->source;

	switch (option) {
	case 'h':
		options->help = true;
		return 0;
	case 'q':
		options->quiet = true;
		return 0;
	case OPTION_LISTEN:
		options->listens = true;
		return 0;
	case OPTION_RECONNECT:
		options->reconnects = true;
		return 0;
	case OPTION_DEMO:
		said->demo = true;
		return 0;
	case OPTION_SIZE:
		said->size = true;
		return arguments_parse_bytes("--size", value, 1, MAX_SIZE, &source->size, error);
	case OPTION_RATE:
		said->rate = true;
		return arguments_parse_count("--rate", value, 0, &options->rate, error);
	case 'n':
		return arguments_parse_count("--count", value, 1, &options->count, error);
	case OPTION_FRAMING:
		said->framing = true;
		return set_framing(options, value, error);
	case OPTION_POSITIONS:
		said->positions = true;
		return arguments_parse_count("--positions", value, 0, &source->seed, error);
	case OPTION_CONNECT_RETRY:
		return arguments_parse_duration("--connect-retry", value, &options->connect_ms,
						error);
	default:
		return -EINVAL;
	}
}

/* What is published, and the defaults that follow from it. */
static void settle_source(struct relaypub_options *options, const struct said *said)
{
	struct message_source_params *source = &options->source;

	if (said->demo) {
		source->kind = MESSAGE_SOURCE_DEMO;
		source->size = MESSAGE_SOURCE_DEMO_BYTES;
		if (!said->framing)
			options->framing = DELIMITER_LINE;
		if (!said->rate)
			options->rate = DEMO_RATE;
	} else if (said->positions) {
		source->kind = MESSAGE_SOURCE_POSITIONS;
		if (!said->size)
			source->size =
				size_min(POSITIONS_SIZE, delimiter_max_body(options->framing));
	} else if (said->size && source->file_count == 0) {
		source->kind = MESSAGE_SOURCE_FILL;
	} else {
		source->kind = MESSAGE_SOURCE_FILES;
		options->reads_lines = options->framing == DELIMITER_LINE;
		if (options->reads_lines)
			options->framing = DELIMITER_NONE;
		if (!said->size)
			source->size = options->framing == DELIMITER_NONE
					       ? FILE_SIZE
					       : size_min(FILE_MESSAGE_SIZE,
							  delimiter_max_body(options->framing));
	}
}

static int check_together(const struct relaypub_options *options, const struct said *said,
			  struct errmsg *error)
{
	const struct message_source_params *source = &options->source;
	const char *wrong = NULL;

	if (said->demo && (said->size || said->positions))
		wrong = "--demo goes with neither --size nor --positions";
	else if (source->file_count > 0 && (said->demo || said->positions))
		wrong = "a FILE goes with neither --demo nor --positions";
	else if (said->positions && options->framing == DELIMITER_LINE)
		wrong = "--positions cannot be lines: its bytes may be line ends";
	else if (source->size > delimiter_max_body(options->framing))
		wrong = "--size is more than the length field of --framing can say";
	else if (options->rate > UINT32_MAX)
		wrong = "--rate is at most 4294967295";
	if (!wrong)
		return 0;
	errmsg_set(error, "%s", wrong);
	return -EINVAL;
}

int relaypub_options_parse(int argc, char **argv, struct relaypub_options *ret_options,
			   struct errmsg *error)
{
	struct relaypub_options options = {0};
	struct said said = {0};
	int option;
	int r;

	while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		if (option == '?' || option == ':')
			return arguments_refuse(option, argv, error);
		r = set_option(&options, &said, option, optarg, error);
		if (r < 0)
			return r;
	}
	if (!options.help && optind == argc) {
		errmsg_set(error, "expected an ADDRESS (see --help)");
		return -EINVAL;
	}
	if (!options.help) {
		r = connect_address_parse(argv[optind], &options.address, error);
		if (r < 0)
			return r;
		options.source.files = argv + optind + 1;
		options.source.file_count = argc - optind - 1;
		settle_source(&options, &said);
		r = check_together(&options, &said, error);
		if (r < 0)
			return r;
	}
	*ret_options = options;
	return 0;
}
