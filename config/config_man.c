// SPDX-License-Identifier: MIT
/*
 * relay.ini(5) out of the option table, in mdoc(7). Only what the table does not know stands here
 * as text: the form of the file, and an example.
 */
#include "config/config.h"

#include <string.h>

#include "config/option.h"

static const char head[] =
	".\\\" SPDX-License-Identifier: MIT\n"
	".\\\" Made by `relay --print-man` from the table of options.\n"
	".Dd November 29, 2026\n"
	".Dt RELAY.INI 5\n"
	".Os relay\n"
	".Sh NAME\n"
	".Nm relay.ini\n"
	".Nd what relay broadcasts, from whom and to whom\n"
	".Sh SYNOPSIS\n"
	".Pa /etc/relay/relay.ini\n"
	".Sh DESCRIPTION\n"
	"The configuration of\n"
	".Xr relay 8 .\n"
	"It has at most one section\n"
	".Li [relay] ,\n"
	"one\n"
	".Li [admin]\n"
	"and one\n"
	".Li [nats] .\n"
	"It may have many sections\n"
	".Li [feed NAME]\n"
	"and\n"
	".Li [listener NAME] .\n"
	"A feed is one publisher, and what its subscribers get.\n"
	"A listener is where the subscribers of a feed connect, and the format that they get.\n"
	"Without\n"
	".Li [admin]\n"
	"there is no status page.\n"
	".Xr relayctl 1\n"
	"then works under a service manager only.\n"
	".Pp\n"
	"A line is a\n"
	".Li [section] ,\n"
	".Ar key No = Ar value ,\n"
	"or a comment.\n"
	"A comment starts with # or ; in the first column, or after a value and a blank.\n"
	"Sizes are in bytes, or with k, m or g (1024, 1024 k, 1024 m).\n"
	"Durations always have a unit: ms, s, m, h or d.\n"
	"An unknown section or key, a bad value, and a key that stands twice are errors.\n"
	".Pp\n"
	".Ql relay -t\n"
	"names every error in a file.\n"
	".Ql relay -T\n"
	"prints the values in effect, and where each comes from.\n"
	".Ql relay --explain Ar key\n"
	"prints what is said here about one key.\n"
	".Ql relay --print-example\n"
	"prints a complete file.\n"
	"SIGHUP loads the file again.\n"
	"If it has an error, nothing changes.\n";

static const char tail[] = ".Sh FILES\n"
			   ".Bl -tag -width Ds\n"
			   ".It Pa /etc/relay/relay.ini\n"
			   "The configuration of\n"
			   ".Pa relay.service .\n"
			   ".It Pa /etc/relay/ Ns Ar NAME Ns Pa .ini\n"
			   "The configuration of\n"
			   ".Pa relay@NAME.service .\n"
			   ".El\n"
			   ".Sh EXAMPLES\n"
			   "One publisher sends lines to port 7000.\n"
			   "Subscribers of port 7001 get them as they are.\n"
			   "Subscribers of a unix socket get them with sequence numbers:\n"
			   ".Bd -literal -offset indent\n"
			   "[feed demo]\n"
			   "ingest = listen tcp:127.0.0.1:7000\n"
			   "framing = line\n"
			   "\n"
			   "[listener demo-raw]\n"
			   "feed = demo\n"
			   "listen = tcp:127.0.0.1:7001\n"
			   "\n"
			   "[listener demo-framed]\n"
			   "feed = demo\n"
			   "listen = unix:/run/relay/demo.sock\n"
			   "format = framed\n"
			   ".Ed\n"
			   ".Pp\n"
			   "The same with a socket of\n"
			   ".Pa relay-subscribers.socket ,\n"
			   "so that nobody is refused while relay restarts:\n"
			   ".Bd -literal -offset indent\n"
			   "[listener demo-raw]\n"
			   "feed = demo\n"
			   "listen = systemd:subscribers\n"
			   ".Ed\n"
			   ".Sh SEE ALSO\n"
			   ".Xr relaycat 1 ,\n"
			   ".Xr relaypub 1 ,\n"
			   ".Xr systemd.socket 5 ,\n"
			   ".Xr relay-protocol 7 ,\n"
			   ".Xr relay 8\n";

/* A line of text: each sentence on a line of its own, as mdoc wants it, and nothing in it is taken
 * for a request or an escape. */
static void print_text(FILE *to, const char *text)
{
	bool is_line_start = true;

	for (const char *c = text; *c; c++) {
		if (is_line_start && strchr(".'", *c))
			fputs("\\&", to);
		is_line_start = false;
		if (*c == '\\') {
			fputs("\\e", to);
		} else if (c[0] == ' ' && c > text && c[-1] == '.') {
			fputc('\n', to);
			is_line_start = true;
		} else {
			fputc(*c, to);
		}
	}
	fputc('\n', to);
}

static void print_section(FILE *to, enum config_section_kind kind)
{
	size_t count;
	const struct config_option *options = config_options_of(kind, &count);

	fprintf(to, ".Sh OPTIONS OF [%s%s]\n.Bl -tag -width Ds\n", config_kind_name(kind),
		config_kind_is_single(kind) ? "" : " NAME");
	for (size_t i = 0; i < count; i++) {
		char text[CONFIG_DESCRIPTION_BYTES];

		fprintf(to, ".It Cm %s\n", options[i].key);
		print_text(to, options[i].help);
		fputs(".Pp\n", to);
		print_text(to, config_option_describe(&options[i], text, sizeof(text)));
	}
	fputs(".El\n", to);
}

void config_print_man(FILE *to)
{
	fputs(head, to);
	print_section(to, CONFIG_RELAY);
	print_section(to, CONFIG_ADMIN);
	print_section(to, CONFIG_NATS);
	print_section(to, CONFIG_FEED);
	print_section(to, CONFIG_LISTENER);
	fputs(tail, to);
}
