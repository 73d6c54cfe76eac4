// SPDX-License-Identifier: MIT
/*
 * relayctl, whole, in front of a hostile server.
 *
 * The first byte chooses the command, the others are the server's answers.  Nothing of them reaches
 * a terminal that is not plain text: all that is written are lines of printable ASCII.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/hostile_server.h"

// libFuzzer has a main() of its own.
int relayctl_main(int argc, char **argv);
#define main relayctl_main
#include "tools/relayctl/relayctl.c"
#undef main

enum {
	WORDS = 8
};

static const char *const calls[][WORDS] = {
	{"relayctl", "-s", "/s", "status"},
	{"relayctl", "-s", "/s", "feeds"},
	{"relayctl", "-s", "/s", "feeds", "--names"},
	{"relayctl", "-s", "/s", "subscribers"},
	{"relayctl", "-s", "/s", "history"},
	{"relayctl", "-s", "/s", "show", "limits"},
	{"relayctl", "-s", "/s", "top"},
	{"relayctl", "-s", "/s", "reload"},
	{"relayctl", "-s", "/s", "upgrade", "--timeout", "1ms"},
	{"relayctl", "-s", "/s", "kick", "7", "--feed", "f"},
	{"relayctl", "-s", "/s", "status", "--json"},
	{"relayctl", "-s", "/s", "reload", "--json"},
	{"relayctl", "-s", "http://[::1]:1", "top", "--json"},
};

// In JSON, DEL may stand as it is (RFC 8259, 7); a terminal ignores it (ECMA-48, annex F.8).
static void check_text(const char *text, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fuzz_expect((text[i] >= ' ' && text[i] <= '\177') || text[i] == '\n', "plain text");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	struct hostile_server_output output;
	char *words[WORDS + 1];
	const char *const *call;
	int argc = 0;
	int status;

	if (count == 0)
		return 0;
	call = calls[bytes[0] % ARRAY_LEN(calls)];
	while (argc < WORDS && call[argc]) {
		words[argc] = strdup(call[argc]);
		argc++;
	}
	words[argc] = NULL;
	optind = 0; // getopt(3): begin anew
	hostile_server_begin(bytes + 1, count - 1, fuzz_hash(bytes, count) % 100);
	status = relayctl_main(argc, words);
	output = hostile_server_end();
	fuzz_expect(status == RELAYCTL_DONE || status == RELAYCTL_REFUSED ||
			    status == RELAYCTL_UNREACHABLE,
		    "a status of relayctl");
	check_text(output.out, output.out_bytes);
	check_text(output.errors, output.error_bytes);
	free(output.out);
	free(output.errors);
	while (argc > 0)
		free(words[--argc]);
	return 0;
}
