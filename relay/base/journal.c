// SPDX-License-Identifier: MIT
/*
 * The native protocol needs a length only for values with a line break, and a line of the log has
 * none: what remains is text.
 */
#include "base/journal.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"

/* journald refuses longer names (systemd.journal-fields(7)). */
#define FIELD_NAME_BYTES 64

static const struct {
	const char *text, *message_id;
} events[] = {
#define LOG_EVENT(text, message_id) {text, message_id},
#include "table/log_event.def"
};

/* What goes into the entry; a field that does not fit is left out as a whole. */
struct entry {
	char *out;
	size_t size, used;
};

static bool add(struct entry *entry, const char *name, const char *value, size_t bytes)
{
	size_t name_bytes = strlen(name);
	char *out = entry->out + entry->used;

	if (name_bytes + 1 + bytes + 1 > entry->size - entry->used)
		return false;
	memcpy(out, name, name_bytes);
	out[name_bytes] = '=';
	memcpy(out + name_bytes + 1, value, bytes);
	out[name_bytes + 1 + bytes] = '\n';
	entry->used += name_bytes + 1 + bytes + 1;
	return true;
}

static const char *message_id_of(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		size_t bytes = strlen(events[i].text);

		if (strncmp(text, events[i].text, bytes) == 0 &&
		    (text[bytes] == '\0' || strchr(" :,", text[bytes])))
			return events[i].message_id;
	}
	return NULL;
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

/* The field's name for a word that starts with key=, and how long the key is; 0 when it does not.
 * Keys may end in the name of a feed or listener, which has other characters than a field may. */
static size_t field_name(const char *word, char name[FIELD_NAME_BYTES + 1])
{
	static const char prefix[] = "RELAY_";
	size_t n = sizeof(prefix) - 1;
	size_t i;

	memcpy(name, prefix, n);
	if (!is_lower(word[0]))
		return 0;
	for (i = 0; word[i] != '='; i++) {
		char c = word[i];

		if (c == '\0' || c == ' ' || n == FIELD_NAME_BYTES)
			return 0;
		if (is_lower(c))
			c = (char)(c - 'a' + 'A');
		else if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9'))
			c = '_';
		name[n++] = c;
	}
	name[n] = '\0';
	return i;
}

/* Where the value ends: at the next blank. Only the text of an error has blanks in it: that one
 * goes on until the next key. */
static size_t value_bytes(const char *value, bool is_error)
{
	char ignored[FIELD_NAME_BYTES + 1];
	size_t bytes = strcspn(value, " ");

	while (is_error && value[bytes] && field_name(value + bytes + 1, ignored) == 0)
		bytes += 1 + strcspn(value + bytes + 1, " ");
	return bytes;
}

static void add_words(struct entry *entry, const char *text)
{
	char name[FIELD_NAME_BYTES + 1];
	unsigned count = 0;

	while (*text && count < JOURNAL_WORDS_MAX) {
		size_t key = field_name(text, name);
		size_t bytes;

		if (key == 0) {
			text += strcspn(text, " ");
			text += strspn(text, " ");
			continue;
		}
		text += key + 1;
		bytes = value_bytes(text, strcmp(name, "RELAY_ERROR") == 0);
		/* Punctuation of the sentence around the word. */
		if (!add(entry, name, text,
			 bytes && strchr(",;:", text[bytes - 1]) ? bytes - 1 : bytes))
			return;
		count++;
		text += bytes;
		text += strspn(text, " ");
	}
}

size_t journal_encode(char *out, size_t size, int priority, const char *text)
{
	struct entry entry = {.out = out, .size = size};
	const char *message_id = message_id_of(text);
	char digits[12];

	(void)snprintf(digits, sizeof(digits), "%d", priority);
	if (!add(&entry, "MESSAGE", text, strlen(text)) ||
	    !add(&entry, "PRIORITY", digits, strlen(digits)) ||
	    !add(&entry, "SYSLOG_IDENTIFIER", "relay", 5))
		return 0;
	if (message_id)
		(void)add(&entry, "MESSAGE_ID", message_id, strlen(message_id));
	add_words(&entry, text);
	return entry.used;
}
