// SPDX-License-Identifier: MIT
/*
 * relaycat, whole, in front of a hostile server.
 *
 * The first byte chooses how it was called, the others are what the server sends on one connection
 * after another.  However the bytes are cut by receives, relaycat writes the same and ends with the
 * same status.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/hostile_server.h"
#include "tools/relaycat/relaycat.h"

enum {
	WORDS = 8
};

static const char *const calls[][WORDS] = {
	{"relaycat", "--verify", "[::1]:1"},
	{"relaycat", "--headers", "--verify", "--reconnect", "[::1]:1"},
	{"relaycat", "--framed", "--reconnect", "--framing", "line", "--verify", "[::1]:1"},
	{"relaycat", "--framed", "--framing", "u32be", "--verify", "--count", "3", "[::1]:1"},
	{"relaycat", "--framing", "u16le", "--count", "3", "[::1]:1"},
	{"relaycat", "--framing", "line", "--reconnect", "--bytes", "40", "[::1]:1"},
	{"relaycat", "--positions", "7", "--reconnect", "[::1]:1"},
	{"relaycat", "--positions", "7", "--framed", "[::1]:1"},
	{"relaycat", "--verify", "--reconnect", "http://[::1]:1/feed"},
	{"relaycat", "--headers", "--from", "3-1", "http://[::1]:1/feed"},
};

struct outcome {
	int status;
	struct hostile_server_output output;
};

static struct outcome run(const char *const *call, const uint8_t *bytes, size_t count, size_t most)
{
	struct relaycat_options options;
	char *words[WORDS + 1];
	struct outcome outcome;
	struct errmsg error;
	int argc = 0;

	while (argc < WORDS && call[argc]) {
		words[argc] = strdup(call[argc]);
		argc++;
	}
	words[argc] = NULL;
	optind = 0; // getopt(3): begin anew
	fuzz_expect(relaycat_options_parse(argc, words, &options, &error) == 0, "options");
	hostile_server_begin(bytes, count, most);
	outcome.status = relaycat_run(&options);
	outcome.output = hostile_server_end();
	while (argc > 0)
		free(words[--argc]);
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	const char *const *call;
	struct outcome whole, cut;

	if (count == 0)
		return 0;
	call = calls[bytes[0] % ARRAY_LEN(calls)];
	whole = run(call, bytes + 1, count - 1, 0);
	cut = run(call, bytes + 1, count - 1, 1 + fuzz_hash(bytes, count) % 50);
	fuzz_expect(whole.status == cut.status, "the same status");
	fuzz_expect(whole.output.out_bytes == cut.output.out_bytes &&
			    memcmp(whole.output.out, cut.output.out, cut.output.out_bytes) == 0,
		    "the same output");
	free(whole.output.out);
	free(whole.output.errors);
	free(cut.output.out);
	free(cut.output.errors);
	return 0;
}
