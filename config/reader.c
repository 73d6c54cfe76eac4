// SPDX-License-Identifier: MIT
/*
 * The lines of an ini file.
 *
 * inih asks for its lines through our callback, and gets only those that are "key = value" for
 * certain: as packaged it splits long lines, cuts section names, files keys behind a broken section
 * under the one before, and takes an indented line for more of the last value, all in silence.
 */
#include "config/reader.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/errmsg.h"
#include "base/utf8.h"
#include "config/config.h"

#define FILE_BYTES (64 << 20)
#define READ_BYTES 16384 /* at first */

/* A line, its end, and the zero byte. */
#define INI_LINE_BYTES (CONFIG_LINE_BYTES + 2)

struct run {
	const char *text, *end;
	const struct config_reader *reader;
	void *owner;
	unsigned line;
	bool is_with_inih; /* inih has a line that the key callback has not been called for */
};

/* Read a line without its end into buf; what does not fit is passed over, but counted in
 * *ret_bytes. False at the end of the text. */
static bool read_line(struct run *run, char buf[CONFIG_LINE_BYTES + 1], size_t *ret_bytes)
{
	size_t left = (size_t)(run->end - run->text), n, kept;
	const char *end = memchr(run->text, '\n', left);

	if (left == 0)
		return false;
	n = end ? (size_t)(end - run->text) : left;
	kept = n < CONFIG_LINE_BYTES ? n : CONFIG_LINE_BYTES;
	memcpy(buf, run->text, kept);
	run->text += end ? n + 1 : n;
	if (n > 0 && n <= CONFIG_LINE_BYTES && buf[n - 1] == '\r')
		n--;
	buf[n < CONFIG_LINE_BYTES ? n : CONFIG_LINE_BYTES] = '\0';
	*ret_bytes = n;
	return true;
}

/* 0, or -EINVAL with what is wrong with the bytes of the line. */
static int check_bytes(const char *text, size_t bytes, struct errmsg *e)
{
	size_t n;

	if (bytes > CONFIG_LINE_BYTES) {
		errmsg_set(e, "overlong line of %zu bytes; expected at most %d", bytes,
			   CONFIG_LINE_BYTES);
		return -EINVAL;
	}
	for (size_t i = 0; i < bytes; i += n) {
		const unsigned char *p = (const unsigned char *)text + i;

		n = utf8_character_bytes(p, bytes - i);
		if (n == 0) {
			errmsg_set(e, "byte 0x%02x in column %zu is not UTF-8", *p, i + 1);
			return -EINVAL;
		}
		if ((*p < 0x20 && *p != '\t') || *p == 0x7f) {
			errmsg_set(e, "control byte 0x%02x in column %zu; expected text", *p,
				   i + 1);
			return -EINVAL;
		}
	}
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_comment(char c)
{
	return c == '#' || c == ';';
}

static const char *skip_blanks(const char *text)
{
	return text + strspn(text, " \t");
}

/* line: starts with '['. Cuts it at the bracket. */
static const char *parse_section(char *line, const char **ret_title)
{
	char *end = strchr(line, ']');
	const char *rest;

	if (!end)
		return "unterminated section; expected ']' at its end";
	rest = skip_blanks(end + 1);
	if (*rest && !(is_comment(*rest) && rest > end + 1))
		return "text after the section; expected nothing but a comment";
	do {
		*end-- = '\0';
	} while (is_blank(*end));
	*ret_title = skip_blanks(line + 1);
	return NULL;
}

static void take_section(struct run *run, char *line)
{
	const char *title = NULL;
	const char *wrong = parse_section(line, &title);

	if (wrong)
		run->reader->error(run->owner, run->line, wrong);
	run->reader->section(run->owner, run->line, title);
}

#define KEY_EXPECTED "expected 'key = value', '[section]' or a comment"

/* True when the line is a key, for inih. */
static bool take_line(struct run *run, char *line, size_t bytes)
{
	struct errmsg e;

	if (check_bytes(line, bytes, &e) < 0) {
		run->reader->error(run->owner, run->line, e.text);
		if (line[0] == '[')
			run->reader->section(run->owner, run->line, NULL);
		return false;
	}
	if (!*skip_blanks(line) || is_comment(*skip_blanks(line)))
		return false;
	if (is_blank(line[0])) {
		run->reader->error(
			run->owner, run->line,
			"an indented line; expected it to start in the first column, since "
			"a value cannot go on in a second line");
		return false;
	}
	if (line[0] == '[') {
		take_section(run, line);
		return false;
	}
	/* inih would take "key: value" as well, and so "listen tcp:..." without its '=' */
	if (line[strcspn(line, "=:")] != '=') {
		run->reader->error(run->owner, run->line, KEY_EXPECTED);
		return false;
	}
	return true;
}

/* inih had a line and found no key in it. */
static void end_line(struct run *run)
{
	if (run->is_with_inih)
		run->reader->error(run->owner, run->line, KEY_EXPECTED);
	run->is_with_inih = false;
}

/* For ini_parse_stream(), as fgets(3). All that is not a key is an empty line to inih. */
static char *next_line(char *str, int size, void *stream)
{
	struct run *run = stream;
	char line[CONFIG_LINE_BYTES + 1];
	char *text = line;
	size_t bytes;

	end_line(run);
	if (!read_line(run, line, &bytes))
		return NULL;
	run->line++;
	if (run->line == 1 && bytes >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		bytes -= 3;
	}
	run->is_with_inih = take_line(run, text, bytes);
	if (run->is_with_inih && bytes + 2 > (size_t)size) {
		run->is_with_inih = false;
		run->reader->error(run->owner, run->line, "a longer line than this inih takes");
	}
	snprintf(str, (size_t)size, "%s\n", run->is_with_inih ? text : "");
	return str;
}

static int take_key(void *user, const char *section, const char *key, const char *value)
{
	struct run *run = user;

	(void)section;
	if (*key) {
		run->is_with_inih = false;
		run->reader->key(run->owner, run->line, key, value);
	}
	end_line(run);
	return 1;
}

/* The settings are variables in Debian's inih. */
static int parse(struct run *run)
{
	char comments[] = "#;";
	char *saved_prefixes = ini_inline_comment_prefixes;
	int r;

	ini_allow_multiline = false;
	ini_allow_inline_comments = true;
	ini_inline_comment_prefixes = comments;
	ini_use_stack = false;
	ini_max_line = INI_LINE_BYTES;
	ini_initial_alloc = INI_LINE_BYTES;
	r = ini_parse_stream(next_line, run, take_key, run);
	ini_inline_comment_prefixes = saved_prefixes;
	return r;
}

int config_reader_run(const char *text, size_t bytes, const struct config_reader *reader,
		      void *owner)
{
	struct run run = {.text = text, .end = text + bytes, .reader = reader, .owner = owner};

	/* a positive result is the number of a line that has been told by end_line() */
	return parse(&run) < 0 ? -ENOMEM : 0;
}

/* --- the file --- */

/* 0 or -errno; *text is to be freed in both cases. */
static int read_all(FILE *file, char **text, size_t *bytes)
{
	size_t room = 0;

	do {
		char *grown;

		room = room ? 2 * room : READ_BYTES;
		grown = realloc(*text, room);
		if (!grown)
			return -ENOMEM;
		*text = grown;
		*bytes += fread(*text + *bytes, 1, room - *bytes, file);
		if (ferror(file))
			return errno ? -errno : -EIO;
		if (*bytes > FILE_BYTES)
			return -EFBIG;
	} while (*bytes == room);
	return 0;
}

int config_read_file(const char *path, char **ret_text, size_t *ret_bytes)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t bytes = 0;
	int r;

	if (!file)
		return -errno;
	r = read_all(file, &text, &bytes);
	fclose(file);
	if (r < 0) {
		free(text);
		return r;
	}
	*ret_text = text;
	*ret_bytes = bytes;
	return 0;
}
