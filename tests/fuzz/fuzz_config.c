// SPDX-License-Identifier: MIT
/*
 * The reader of ini files: whatever the bytes are, it reads to the end, counts its lines upwards,
 * and tells texts that are text.  inih takes part in it.
 */
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "config/config.h"
#include "config/reader.h"
#include "tests/fuzz/fuzz.h"

#define EXPECT(condition) fuzz_expect(condition, #condition)

struct told {
	unsigned line;
	unsigned sections, keys, errors;
};

static void expect_line(struct told *told, unsigned line)
{
	EXPECT(line >= 1 && line >= told->line);
	told->line = line;
}

static void expect_text(const char *text)
{
	size_t length = strlen(text);

	EXPECT(length <= CONFIG_LINE_BYTES && utf8_is_valid(text, length));
	EXPECT(length == 0 || (text[0] != ' ' && text[length - 1] != ' '));
	EXPECT(!strpbrk(text, "\r\n"));
}

static void on_section(void *owner, unsigned line, const char *title)
{
	struct told *told = owner;

	expect_line(told, line);
	if (title)
		expect_text(title);
	told->sections++;
}

static void on_key(void *owner, unsigned line, const char *key, const char *value)
{
	struct told *told = owner;

	expect_line(told, line);
	expect_text(key);
	expect_text(value);
	EXPECT(key[0] != '\0');
	told->keys++;
}

static void on_error(void *owner, unsigned line, const char *text)
{
	struct told *told = owner;

	expect_line(told, line);
	EXPECT(text[0] != '\0' && utf8_is_valid(text, strlen(text)));
	told->errors++;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	static const struct config_reader reader = {on_section, on_key, on_error};
	struct told told = {0};

	EXPECT(config_reader_run((const char *)bytes, count, &reader, &told) == 0);
	EXPECT(told.sections + told.keys + told.errors <= 2 * count);
	return 0;
}
