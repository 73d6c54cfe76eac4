// SPDX-License-Identifier: MIT
/*
 * Values of options, by type. Words come from the lists in config.h; an enum member of a struct is
 * read and written as the unsigned int that it is to the compilers (all its values are >= 0).
 */
#include "config/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "base/num.h"
#include "config/address.h"
#include "config/answer_field.h"
#include "config/ingest.h"
#include "config/origin.h"

/* --- words --- */

#define WORD(prefix, id, word) word,

static const char *const log_level_words[] = {CONFIG_LOG_LEVELS(WORD) NULL};
static const char *const engine_words[] = {CONFIG_ENGINES(WORD) NULL};
static const char *const headers_words[] = {CONFIG_HEADERS(WORD) NULL};
static const char *const on_source_loss_words[] = {CONFIG_ON_SOURCE_LOSSES(WORD) NULL};
static const char *const takeover_words[] = {CONFIG_TAKEOVERS(WORD) NULL};
static const char *const pages_words[] = {CONFIG_PAGES(WORD) NULL};
static const char *const last_line_words[] = {CONFIG_LAST_LINES(WORD) NULL};
static const char *const direct_words[] = {CONFIG_DIRECTS(WORD) NULL};
static const char *const survive_crash_words[] = {CONFIG_SURVIVE_CRASHES(WORD) NULL};
static const char *const on_slow_words[] = {CONFIG_ON_SLOWS(WORD) NULL};

static const char *const framing_words[] = {
#define FRAMING(id, word, ...) word,
#include "table/framing.def"
	NULL};

#define WORD_OF_OPTION(name) name,
#define WORD_OF_NO_OPTION(name)
static const char *const format_words[] = {
#define FORMAT(id, name, encoder, option, ...) WORD_OF_##option(name)
#include "table/format.def"
	NULL};
#define AMONG_OPTION(id) _Static_assert(FORMAT_##id < ARRAY_LEN(format_words) - 1, "options first");
#define AMONG_NO_OPTION(id)
#define FORMAT(id, name, encoder, option, ...) AMONG_##option(id)
#include "table/format.def"

static const char *const messages_words[] = {CONFIG_MESSAGES(WORD) NULL};
static const char *const yes_no_words[] = {CONFIG_YES_NOS(WORD) NULL};

/* this enum is base/log's, so its order is not ours to choose */
_Static_assert(LOG_LEVEL_ERROR == 0 && LOG_LEVEL_WARN == 1 && LOG_LEVEL_INFO == 2 &&
		       LOG_LEVEL_DEBUG == 3,
	       "CONFIG_LOG_LEVELS has another order");

/* In a switch: the types that are one of some words. */
#define CASES_OF_WORDS                                                                             \
	case CONFIG_TYPE_LOG_LEVEL:                                                                \
	case CONFIG_TYPE_ENGINE:                                                                   \
	case CONFIG_TYPE_HEADERS:                                                                  \
	case CONFIG_TYPE_ON_SOURCE_LOSS:                                                           \
	case CONFIG_TYPE_TAKEOVER:                                                                 \
	case CONFIG_TYPE_PAGES:                                                                    \
	case CONFIG_TYPE_LAST_LINE:                                                                \
	case CONFIG_TYPE_DIRECT:                                                                   \
	case CONFIG_TYPE_SURVIVE_CRASH:                                                            \
	case CONFIG_TYPE_ON_SLOW:                                                                  \
	case CONFIG_TYPE_FORMAT:                                                                   \
	case CONFIG_TYPE_MESSAGES:                                                                 \
	case CONFIG_TYPE_YES_NO

/* NULL for the types that are not one of some words. */
static const char *const *words_of(enum config_type type)
{
	static const char *const *const words[CONFIG_TYPE_HTTP_FIELDS + 1] = {
		[CONFIG_TYPE_FRAMING] = framing_words,
		[CONFIG_TYPE_LOG_LEVEL] = log_level_words,
		[CONFIG_TYPE_ENGINE] = engine_words,
		[CONFIG_TYPE_HEADERS] = headers_words,
		[CONFIG_TYPE_ON_SOURCE_LOSS] = on_source_loss_words,
		[CONFIG_TYPE_TAKEOVER] = takeover_words,
		[CONFIG_TYPE_PAGES] = pages_words,
		[CONFIG_TYPE_LAST_LINE] = last_line_words,
		[CONFIG_TYPE_DIRECT] = direct_words,
		[CONFIG_TYPE_SURVIVE_CRASH] = survive_crash_words,
		[CONFIG_TYPE_ON_SLOW] = on_slow_words,
		[CONFIG_TYPE_FORMAT] = format_words,
		[CONFIG_TYPE_MESSAGES] = messages_words,
		[CONFIG_TYPE_YES_NO] = yes_no_words,
	};

	return words[type];
}

static int parse_word(const char *const *words, const char *text, unsigned *ret)
{
	for (unsigned i = 0; words[i]; i++) {
		if (strcmp(words[i], text) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* --- numbers --- */

static int parse_number(enum config_type type, const char *text, uint64_t *ret)
{
	if (type == CONFIG_TYPE_BYTES || type == CONFIG_TYPE_COALESCE)
		return num_parse_bytes(text, ret);
	if (type == CONFIG_TYPE_DURATION)
		return num_parse_duration_ms(text, ret);
	return num_parse_count(text, ret);
}

/* Is `value` what the range says? Limits are in the option's own notation, which is right by test;
 * one that were not would be no limit. */
static bool is_in_range(const struct config_option *option, enum config_type type, uint64_t value)
{
	uint64_t min = 0, max = UINT64_MAX;

	if (value == 0 && option->default_text && strcmp(option->default_text, "0") == 0)
		return true;
	if (parse_number(type, option->min, &min) < 0 || parse_number(type, option->max, &max) < 0)
		return true;
	return value >= min && value <= max;
}

/* A number that relay can choose. */
static bool can_be_auto(const struct config_option *option)
{
	return option->type == CONFIG_TYPE_COALESCE ||
	       (option->default_text && strcmp(option->default_text, "auto") == 0);
}

static int parse_ranged(const struct config_option *option, const char *text, uint64_t *ret)
{
	uint64_t value;
	int r;

	if (can_be_auto(option) && strcmp(text, "auto") == 0) {
		*ret = CONFIG_AUTO;
		return 0;
	}
	if (option->type == CONFIG_TYPE_COALESCE && strcmp(text, "none") == 0) {
		*ret = 0;
		return 0;
	}
	r = parse_number(option->type, text, &value);
	if (r < 0)
		return r;
	if (!is_in_range(option, option->type, value))
		return -ERANGE;
	*ret = value;
	return 0;
}

static void print_number(char *buf, size_t size, const struct config_option *option, uint64_t value)
{
	if (value == CONFIG_AUTO && can_be_auto(option))
		snprintf(buf, size, "auto");
	else if (option->type == CONFIG_TYPE_COALESCE && value == 0)
		snprintf(buf, size, "none");
	else if (option->type == CONFIG_TYPE_BYTES || option->type == CONFIG_TYPE_COALESCE)
		num_print_bytes(buf, size, value);
	else if (option->type == CONFIG_TYPE_DURATION)
		num_print_duration_ms(buf, size, value);
	else
		snprintf(buf, size, "%" PRIu64, value);
}

/* Without the bits beyond 0777, which mean nothing to a socket. */
static int parse_mode(const char *text, uint64_t *ret)
{
	size_t digits = strspn(text, "01234567");

	if (digits < 3 || digits > 4 || text[digits] || (digits == 4 && text[0] != '0'))
		return -EINVAL;
	*ret = 0;
	for (; *text; text++)
		*ret = *ret * 8 + (uint64_t)(*text - '0');
	return 0;
}

/* --- burst: a size, a duration or a key frame --- */

#define BURST_KEY_FRAME "keyframe"
#define BURST_BYTES_MAX (UINT64_C(1) << 30)
#define BURST_MS_MAX    (UINT64_C(24) * 60 * 60 * 1000)

static int parse_burst(const char *text, struct config_burst *ret)
{
	struct config_burst burst = {0};

	burst.from_key_frame = strcmp(text, BURST_KEY_FRAME) == 0;
	if (!burst.from_key_frame && num_parse_bytes_or_duration(text, &burst.bytes, &burst.ms) < 0)
		return -EINVAL;
	if (burst.bytes > BURST_BYTES_MAX || burst.ms > BURST_MS_MAX)
		return -ERANGE;
	*ret = burst;
	return 0;
}

static void print_burst(char *buf, size_t size, const struct config_burst *burst)
{
	size_t bytes;

	if (burst->from_key_frame) {
		snprintf(buf, size, "%s", BURST_KEY_FRAME);
		return;
	}
	if (burst->ms)
		num_print_duration_ms(buf, size, burst->ms);
	else
		num_print_bytes(buf, size, burst->bytes);
	bytes = strlen(buf);
	if (buf[bytes - 1] != 'm')
		return;
	if (burst->ms)
		snprintf(buf, size, "%" PRIu64 "s", burst->ms / 1000);
	else
		snprintf(buf, size, "%" PRIu64 "k", burst->bytes >> 10);
}

/* --- framing --- */

#define FIXED_BYTES_MAX (UINT64_C(64) << 20)

static int parse_framing(const char *text, struct config_framing_choice *ret)
{
	struct config_framing_choice framing = {0};
	unsigned word = 0;
	uint64_t bytes;

	if (strncmp(text, "fixed:", 6) == 0) {
		if (num_parse_bytes(text + 6, &bytes) < 0)
			return -EINVAL;
		if (bytes == 0 || bytes > FIXED_BYTES_MAX)
			return -ERANGE;
		framing.kind = FRAMING_FIXED;
		framing.fixed_bytes = (uint32_t)bytes;
	} else {
		if (parse_word(framing_words, text, &word) < 0)
			return -EINVAL;
		framing.kind = (enum framing_kind)word;
		framing.fixed_bytes = framing.kind == FRAMING_TS ? TS_PACKET_BYTES : 0;
	}
	*ret = framing;
	return 0;
}

/* --- texts --- */

static int check_networks(const char *text, struct errmsg *e)
{
	struct cidr ignored;
	int r;

	do
		r = cidr_parse_next(&text, &ignored, e);
	while (r > 0);
	return r;
}

/* Only what can stand before HOST in an Origin field (RFC 6454, 7). */
static int check_origins(const char *text, struct errmsg *e)
{
	struct origin origin;
	int r;

	if (origins_is_none(text) || origins_is_any(text))
		return 0;
	if (!*text)
		return -EINVAL;
	do
		r = origin_parse_next(&text, &origin, e);
	while (r > 0);
	return r;
}

static int check_fields(const char *text, struct errmsg *e)
{
	struct answer_field ignored;
	int r;

	if (strlen(text) > HTTP_FIELDS_BYTES)
		return -ERANGE;
	do
		r = answer_field_parse_next(&text, &ignored, e);
	while (r > 0);
	return r;
}

static int check_media_type(const char *text)
{
	return strcmp(text, MEDIA_TYPE_AUTO) == 0 || media_type_is_valid(text) ? 0 : -EINVAL;
}

/* words: "auto, none"; NULL is none. */
static bool is_word_of(const char *words, const char *text)
{
	size_t length = strlen(text);

	while (words && *words) {
		size_t bytes = strcspn(words, ",");

		if (bytes == length && memcmp(words, text, bytes) == 0)
			return true;
		words += bytes + strspn(words + bytes, ", ");
	}
	return false;
}

/* Does max say how long it may be? */
static bool is_bounded(const struct config_option *option)
{
	return option->type == CONFIG_TYPE_TEXT || option->type == CONFIG_TYPE_SECRET_FILE;
}

static int check_text(const struct config_option *option, const char *text, struct errmsg *e)
{
	struct config_address address;
	uint64_t max = CONFIG_NAME_BYTES;

	if (option->type == CONFIG_TYPE_ADDRESS)
		return is_word_of(option->min, text) ? 0 : config_address_parse(text, &address, e);
	if (option->type == CONFIG_TYPE_NETWORKS)
		return check_networks(text, e);
	if (option->type == CONFIG_TYPE_ORIGINS)
		return check_origins(text, e);
	if (option->type == CONFIG_TYPE_MEDIA_TYPE)
		return check_media_type(text);
	if (option->type == CONFIG_TYPE_HTTP_FIELDS)
		return check_fields(text, e);
	if (is_bounded(option) && num_parse_count(option->max, &max) < 0)
		return -EINVAL;
	if (strlen(text) > max || strpbrk(text, " \t"))
		return -ERANGE;
	return *text || option->type != CONFIG_TYPE_FEED ? 0 : -EINVAL;
}

/* Addresses, networks, origins, feeds and the like are texts to the structs, and are only looked at. */
static int parse_text(const struct config_option *option, const char *text, char **value,
		      struct errmsg *e)
{
	int r = check_text(option, text, e);
	char *copy;

	if (r < 0)
		return r;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	free(*value);
	*value = copy;
	return 0;
}

static int parse_ingest(const char *text, struct config_ingest *value, struct errmsg *e)
{
	struct config_ingest ingest;
	int r;

	r = config_ingest_parse(text, &ingest, e);
	if (r < 0)
		return r;
	config_ingest_free(value);
	*value = ingest;
	return 0;
}

/* --- all types --- */

static int parse_any(const struct config_option *option, const char *text, void *value,
		     struct errmsg *e)
{
	switch (option->type) {
	case CONFIG_TYPE_TEXT:
	case CONFIG_TYPE_SECRET_FILE:
	case CONFIG_TYPE_FEED:
	case CONFIG_TYPE_ADDRESS:
	case CONFIG_TYPE_NETWORKS:
	case CONFIG_TYPE_ORIGINS:
	case CONFIG_TYPE_MEDIA_TYPE:
	case CONFIG_TYPE_HTTP_FIELDS:
		return parse_text(option, text, value, e);
	case CONFIG_TYPE_INGEST:
		return parse_ingest(text, value, e);
	case CONFIG_TYPE_BYTES:
	case CONFIG_TYPE_DURATION:
	case CONFIG_TYPE_COUNT:
	case CONFIG_TYPE_COALESCE:
		return parse_ranged(option, text, value);
	case CONFIG_TYPE_MODE:
		return parse_mode(text, value);
	case CONFIG_TYPE_BURST:
		return parse_burst(text, value);
	case CONFIG_TYPE_FRAMING:
		return parse_framing(text, value);
	CASES_OF_WORDS:
		return parse_word(words_of(option->type), text, value);
	}
	return -EINVAL;
}

/* ": it has no unit" and the like, where more can be said than what was expected; else "". */
static const char *reason_of(const struct config_option *option, const char *text, int r)
{
	uint64_t ignored;

	if (!*text)
		return ": it is empty";
	if (option->type == CONFIG_TYPE_BURST && r == -EINVAL &&
	    num_parse_bytes(text, &ignored) == 0)
		return ": m may be mebibytes or minutes";
	if (option->type == CONFIG_TYPE_DURATION && num_parse_count(text, &ignored) == 0 && ignored)
		return ": it has no unit";
	return r == -ERANGE ? ": out of range" : "";
}

/* The part of a word before its last @, if it is an address: tcp:USER:PASSWORD@... or ://USER...@.
 * relay takes none, but who writes one should not find it in the log. */
static void mask_user(char *word, size_t length)
{
	char *at = memrchr(word, '@', length);
	char *scheme = memmem(word, length, "://", 3);
	char *user = scheme ? scheme + 3 : strncmp(word, "tcp:", 4) == 0 ? word + 4 : NULL;

	if (!at || !user || user >= at)
		return;
	*user++ = '*';
	memmove(user, at, strlen(at) + 1);
}

static void mask_users(char *text)
{
	static const char ends[] = " \t'\",";

	for (; *text; text += strspn(text, ends)) {
		mask_user(text, strcspn(text, ends));
		text += strcspn(text, ends);
	}
}

int config_value_parse(const struct config_option *option, const char *text, void *value,
		       struct errmsg *e)
{
	char expected[256], shown[CONFIG_VALUE_BYTES];
	struct errmsg why = {""};
	int r;

	r = parse_any(option, text, value, &why);
	if (r == 0 || r == -ENOMEM)
		return r;
	mask_users(why.text);
	config_value_expected(option, expected, sizeof(expected));
	if (option->type == CONFIG_TYPE_SECRET_FILE) {
		errmsg_set(e, "bad value for '%s'; expected %s", option->key, expected);
		return -EINVAL;
	}
	snprintf(shown, sizeof(shown), "%s", text);
	mask_users(shown);
	errmsg_set(e, "bad value '%.80s' for '%s'%s%s; expected %s", shown, option->key,
		   why.text[0] ? ": " : reason_of(option, text, r), why.text, expected);
	return -EINVAL;
}

const char *config_value_print(const struct config_option *option, const void *value,
			       char buf[CONFIG_VALUE_BYTES])
{
	const struct config_framing_choice *framing;
	size_t size = CONFIG_VALUE_BYTES;

	switch (option->type) {
	case CONFIG_TYPE_TEXT:
	case CONFIG_TYPE_SECRET_FILE:
	case CONFIG_TYPE_FEED:
	case CONFIG_TYPE_ADDRESS:
	case CONFIG_TYPE_NETWORKS:
	case CONFIG_TYPE_ORIGINS:
	case CONFIG_TYPE_MEDIA_TYPE:
	case CONFIG_TYPE_HTTP_FIELDS:
		snprintf(buf, size, "%s", *(const char *const *)value);
		break;
	case CONFIG_TYPE_INGEST:
		snprintf(buf, size, "%s", ((const struct config_ingest *)value)->text);
		break;
	case CONFIG_TYPE_BYTES:
	case CONFIG_TYPE_DURATION:
	case CONFIG_TYPE_COUNT:
	case CONFIG_TYPE_COALESCE:
		print_number(buf, size, option, *(const uint64_t *)value);
		break;
	case CONFIG_TYPE_MODE:
		snprintf(buf, size, "%04" PRIo64, *(const uint64_t *)value);
		break;
	case CONFIG_TYPE_BURST:
		print_burst(buf, size, value);
		break;
	case CONFIG_TYPE_FRAMING:
		framing = value;
		if (framing->kind == FRAMING_FIXED)
			snprintf(buf, size, "fixed:%u", framing->fixed_bytes);
		else
			snprintf(buf, size, "%s", framing_words[framing->kind]);
		break;
	CASES_OF_WORDS:
		snprintf(buf, size, "%s", words_of(option->type)[*(const unsigned *)value]);
		break;
	}
	return buf;
}

bool config_value_equals(const struct config_option *option, const void *a, const void *b)
{
	char a_text[CONFIG_VALUE_BYTES], b_text[CONFIG_VALUE_BYTES];

	return strcmp(config_value_print(option, a, a_text),
		      config_value_print(option, b, b_text)) == 0;
}

void config_value_free(const struct config_option *option, void *value)
{
	char **text = value;

	if (option->type == CONFIG_TYPE_INGEST) {
		config_ingest_free(value);
	} else if (is_bounded(option) || option->type == CONFIG_TYPE_FEED ||
		   option->type == CONFIG_TYPE_ADDRESS || option->type == CONFIG_TYPE_NETWORKS ||
		   option->type == CONFIG_TYPE_ORIGINS || option->type == CONFIG_TYPE_MEDIA_TYPE ||
		   option->type == CONFIG_TYPE_HTTP_FIELDS) {
		free(*text);
		*text = NULL;
	}
}

static void print_words(char *buf, size_t size, const char *const *words, const char *note)
{
	int n = snprintf(buf, size, "one of");

	for (size_t i = 0; words[i] && n >= 0 && (size_t)n < size; i++)
		n += snprintf(buf + n, size - (size_t)n, "%s %s%s", i ? "," : "", words[i],
			      words[i + 1] ? "" : note);
}

/* what: "a size"; a zero that the range leaves out is named apart. */
static void print_range(const struct config_option *option, const char *what, const char *note,
			char *buf, size_t size)
{
	bool has_zero = strcmp(option->default_text, "0") == 0 && strcmp(option->min, "0") != 0;
	const char *other = option->type == CONFIG_TYPE_COALESCE ? "auto, none, or "
			    : can_be_auto(option)                ? "auto, or "
			    : has_zero                           ? "0, or "
								 : "";

	snprintf(buf, size, "%s%s from %s to %s%s", other, what, option->min, option->max, note);
}

const char *config_value_expected(const struct config_option *option, char *buf, size_t size)
{
	const char *const *words = words_of(option->type);

	if (words)
		print_words(buf, size, words,
			    option->type == CONFIG_TYPE_FRAMING ? " (N from 1 to 64m)" : "");
	else if (is_bounded(option))
		snprintf(buf, size, "at most %s bytes without blanks", option->max);
	else if (option->type == CONFIG_TYPE_FEED)
		snprintf(buf, size, "the NAME of a [feed NAME], or all with format = http");
	else if (option->type == CONFIG_TYPE_ADDRESS)
		snprintf(buf, size, "%s%s%s", option->min ? option->min : "",
			 option->min ? ", or " : "", CONFIG_ADDRESS_EXPECTED);
	else if (option->type == CONFIG_TYPE_INGEST)
		snprintf(buf, size, "%s", CONFIG_INGEST_EXPECTED);
	else if (option->type == CONFIG_TYPE_NETWORKS)
		snprintf(buf, size, "%s", CIDR_LIST_EXPECTED);
	else if (option->type == CONFIG_TYPE_ORIGINS)
		snprintf(buf, size, "%s", ORIGINS_EXPECTED);
	else if (option->type == CONFIG_TYPE_MEDIA_TYPE)
		snprintf(buf, size, "%s", MEDIA_TYPE_EXPECTED);
	else if (option->type == CONFIG_TYPE_HTTP_FIELDS)
		snprintf(buf, size, "%s", HTTP_FIELDS_EXPECTED);
	else if (option->type == CONFIG_TYPE_BYTES || option->type == CONFIG_TYPE_COALESCE)
		print_range(option, "a size", ", in bytes or with k, m or g", buf, size);
	else if (option->type == CONFIG_TYPE_DURATION)
		print_range(option, "a duration", ", with ms, s, m, h or d", buf, size);
	else if (option->type == CONFIG_TYPE_MODE)
		snprintf(buf, size, "permissions in octal from 0000 to 0777, such as 0660");
	else if (option->type == CONFIG_TYPE_COUNT)
		print_range(option, "a number", "", buf, size);
	else
		snprintf(buf, size,
			 "0, a size up to 1g (256k, 1024k), a duration up to 1d (5s, 90s) or "
			 "keyframe");
	return buf;
}
