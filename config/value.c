// SPDX-License-Identifier: MIT
/*
 * Values of options. type.def says in which notation each type is written. An enum member of a
 * struct is read and written as an unsigned int, which it is to the compilers: none of its values
 * is below 0.
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

/* How a type is read, printed and explained. */
struct notation {
	enum {
		WORD,
		NUMBER,
		MODE,
		BURST,
		FRAMING,
		SERIAL_MODE,
		POSITION,
		TEXT,
		INGEST,
	} kind;
	const char *const *words; /* WORD, FRAMING */
	const struct unit *unit;  /* NUMBER */
	/* TEXT: 0 or -errno, perhaps with what is wrong. */
	int (*check)(const struct config_option *option, const char *text, struct errmsg *e);
	const char *expected; /* NULL: it depends on the option, or is a list of words */
};

static const struct notation *notation_of(const struct config_option *option);

/* --- words --- */

#define ONE_WORD(prefix, id, word) word,
#define WORDS(id, c_type, list)                                                                    \
	static const char *const list_##id[] = {list(ONE_WORD) NULL};                              \
	static const struct notation notation_words_##id = {WORD, .words = list_##id};
#include "config/type.def"

/* this enum is base/log's, so its order is not ours to choose */
_Static_assert(LOG_LEVEL_ERROR == 0 && LOG_LEVEL_WARN == 1 && LOG_LEVEL_INFO == 2 &&
		       LOG_LEVEL_DEBUG == 3,
	       "CONFIG_LOG_LEVELS has another order");

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

static const struct notation notation_format = {WORD, .words = format_words};

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

static void print_words(char *buf, size_t size, const char *const *words, const char *note)
{
	int n = snprintf(buf, size, "one of");

	for (size_t i = 0; words[i] && n >= 0 && (size_t)n < size; i++)
		n += snprintf(buf + n, size - (size_t)n, "%s %s%s", i ? "," : "", words[i],
			      words[i + 1] ? "" : note);
}

/* --- numbers --- */

struct unit {
	int (*parse)(const char *text, uint64_t *ret);
	const char *(*print)(char *buf, size_t size, uint64_t value);
	const char *what, *note; /* before and behind the range */
};

static const char *print_count(char *buf, size_t size, uint64_t value)
{
	snprintf(buf, size, "%" PRIu64, value);
	return buf;
}

static const struct unit unit_bytes = {num_parse_bytes, num_print_bytes, "a size",
				       ", in bytes or with k, m or g"};
static const struct unit unit_time = {num_parse_duration_ms, num_print_duration_ms, "a duration",
				      ", with ms, s, m, h or d"};
static const struct unit unit_none = {num_parse_count, print_count, "a number", ""};

static const struct notation notation_bytes = {NUMBER, .unit = &unit_bytes};
static const struct notation notation_duration = {NUMBER, .unit = &unit_time};
static const struct notation notation_count = {NUMBER, .unit = &unit_none};

/* Is `value` what the range says? Limits are in the option's own notation, which is right by test;
 * one that were not would be no limit. */
static bool is_in_range(const struct config_option *option, uint64_t value)
{
	const struct unit *unit = notation_of(option)->unit;
	uint64_t min = 0, max = UINT64_MAX;

	if (value == 0 && option->default_text && strcmp(option->default_text, "0") == 0)
		return true;
	if (unit->parse(option->min, &min) < 0 || unit->parse(option->max, &max) < 0)
		return true;
	return value >= min && value <= max;
}

/* Is 0 written so? */
static bool can_be_none(const struct config_option *option)
{
	return option->type == CONFIG_TYPE_COALESCE;
}

/* Is there a word for more often than any duration? */
static bool can_be_packet(const struct config_option *option)
{
	return option->type == CONFIG_TYPE_HISTORY_SYNC;
}

/* A number that relay can choose. */
static bool can_be_auto(const struct config_option *option)
{
	return can_be_none(option) ||
	       (option->default_text && strcmp(option->default_text, "auto") == 0);
}

static int parse_number(const struct config_option *option, const char *text, uint64_t *ret)
{
	uint64_t value;
	int r;

	if (can_be_auto(option) && strcmp(text, "auto") == 0) {
		*ret = CONFIG_AUTO;
		return 0;
	}
	if (can_be_none(option) && strcmp(text, "none") == 0) {
		*ret = 0;
		return 0;
	}
	if (can_be_packet(option) && strcmp(text, "packet") == 0) {
		*ret = CONFIG_SYNC_PACKET;
		return 0;
	}
	r = notation_of(option)->unit->parse(text, &value);
	if (r < 0)
		return r;
	if (!is_in_range(option, value))
		return -ERANGE;
	*ret = value;
	return 0;
}

static void print_number(char *buf, size_t size, const struct config_option *option, uint64_t value)
{
	if (value == CONFIG_AUTO && can_be_auto(option))
		snprintf(buf, size, "auto");
	else if (value == 0 && can_be_none(option))
		snprintf(buf, size, "none");
	else if (value == CONFIG_SYNC_PACKET && can_be_packet(option))
		snprintf(buf, size, "packet");
	else
		notation_of(option)->unit->print(buf, size, value);
}

/* A zero that the range leaves out is named apart. */
static void print_range(const struct config_option *option, char *buf, size_t size)
{
	const struct unit *unit = notation_of(option)->unit;
	bool has_zero = strcmp(option->default_text, "0") == 0 && strcmp(option->min, "0") != 0;
	const char *other = can_be_none(option)     ? "auto, none, or "
			    : can_be_auto(option)   ? "auto, or "
			    : can_be_packet(option) ? "packet, or "
			    : has_zero              ? "0, or "
						    : "";

	snprintf(buf, size, "%s%s from %s to %s%s", other, unit->what, option->min, option->max,
		 unit->note);
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

static const struct notation notation_mode = {
	MODE,
	.expected = "permissions in octal from 0000 to 0777, such as 0660",
};

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

static const struct notation notation_burst = {
	BURST,
	.expected = "0, a size up to 1g (256k, 1024k), a duration up to 1d (5s, 90s) or keyframe",
};

/* --- framing --- */

static const char *const framing_words[] = {
#define FRAMING(id, word, ...) word,
#include "table/framing.def"
	NULL};

static const struct notation notation_framing = {FRAMING, .words = framing_words};

/* --- texts: they stay as they are, and are only looked at --- */

static int check_one_word(const char *text, uint64_t max)
{
	return strlen(text) > max || strpbrk(text, " \t") ? -ERANGE : 0;
}

static int check_bounded(const struct config_option *option, const char *text, struct errmsg *e)
{
	uint64_t max;

	(void)e;
	return num_parse_count(option->max, &max) < 0 ? -EINVAL : check_one_word(text, max);
}

static const struct notation notation_bounded = {TEXT, .check = check_bounded};

static int check_list(const struct config_option *option, const char *text, struct errmsg *e)
{
	uint64_t max;

	(void)e;
	return num_parse_count(option->max, &max) < 0 || strlen(text) > max ? -ERANGE : 0;
}

static const struct notation notation_list = {TEXT, .check = check_list};

static int check_feed_name(const struct config_option *option, const char *text, struct errmsg *e)
{
	(void)option;
	(void)e;
	return *text ? check_one_word(text, CONFIG_NAME_BYTES) : -EINVAL;
}

static const struct notation notation_feed_name = {
	TEXT,
	.check = check_feed_name,
	.expected = "the NAME of a [feed NAME], or all with format = http",
};

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

static int check_address(const struct config_option *option, const char *text, struct errmsg *e)
{
	struct config_address ignored;

	return is_word_of(option->min, text) ? 0 : config_address_parse(text, &ignored, e);
}

static const struct notation notation_address = {TEXT, .check = check_address};

static int check_networks(const struct config_option *option, const char *text, struct errmsg *e)
{
	struct cidr ignored;
	int r;

	(void)option;
	do
		r = cidr_parse_next(&text, &ignored, e);
	while (r > 0);
	return r;
}

static const struct notation notation_networks = {TEXT, .check = check_networks,
						  .expected = CIDR_LIST_EXPECTED};

/* Only what can stand before HOST in an Origin field (RFC 6454, 7). */
static int check_origins(const struct config_option *option, const char *text, struct errmsg *e)
{
	struct origin ignored;
	int r;

	(void)option;
	if (origins_is_none(text) || origins_is_any(text))
		return 0;
	if (!*text)
		return -EINVAL;
	do
		r = origin_parse_next(&text, &ignored, e);
	while (r > 0);
	return r;
}

static const struct notation notation_origins = {TEXT, .check = check_origins,
						 .expected = ORIGINS_EXPECTED};

static int check_media_type(const struct config_option *option, const char *text, struct errmsg *e)
{
	(void)option;
	(void)e;
	return strcmp(text, MEDIA_TYPE_AUTO) == 0 || media_type_is_valid(text) ? 0 : -EINVAL;
}

static const struct notation notation_media_type = {TEXT, .check = check_media_type,
						    .expected = MEDIA_TYPE_EXPECTED};

static int check_fields(const struct config_option *option, const char *text, struct errmsg *e)
{
	struct answer_field ignored;
	int r;

	(void)option;
	if (strlen(text) > HTTP_FIELDS_BYTES)
		return -ERANGE;
	do
		r = answer_field_parse_next(&text, &ignored, e);
	while (r > 0);
	return r;
}

static const struct notation notation_http_fields = {TEXT, .check = check_fields,
						     .expected = HTTP_FIELDS_EXPECTED};

static int parse_text(const struct config_option *option, const char *text, char **value,
		      struct errmsg *e)
{
	int r = notation_of(option)->check(option, text, e);
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

/* --- ingest --- */

static const struct notation notation_serial_mode = {SERIAL_MODE,
						     .expected = CONFIG_SERIAL_MODE_EXPECTED};
static const struct notation notation_position = {POSITION, .expected = CONFIG_POSITION_EXPECTED};
static const struct notation notation_ingest = {INGEST, .expected = CONFIG_INGEST_EXPECTED};

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

static const struct notation *notation_of(const struct config_option *option)
{
	static const struct notation *const notations[] = {
#define TYPE(id, c_type, notation) [CONFIG_TYPE_##id] = &notation_##notation,
#include "config/type.def"
	};

	return notations[option->type];
}

static int parse_any(const struct config_option *option, const char *text, void *value,
		     struct errmsg *e)
{
	switch (notation_of(option)->kind) {
	case WORD:
		return parse_word(notation_of(option)->words, text, value);
	case NUMBER:
		return parse_number(option, text, value);
	case MODE:
		return parse_mode(text, value);
	case BURST:
		return parse_burst(text, value);
	case FRAMING:
		return config_framing_parse(text, value);
	case SERIAL_MODE:
		return config_serial_mode_parse(text, value);
	case POSITION:
		return config_position_parse(text, value);
	case TEXT:
		return parse_text(option, text, value, e);
	case INGEST:
		return parse_ingest(text, value, e);
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

int config_value_parse(const struct config_option *option, const char *text, void *value,
		       struct errmsg *e)
{
	char expected[256], shown[CONFIG_VALUE_BYTES];
	struct errmsg why = {""};
	int r;

	r = parse_any(option, text, value, &why);
	if (r == 0 || r == -ENOMEM)
		return r;
	config_address_mask_users(why.text);
	config_value_expected(option, expected, sizeof(expected));
	if (option->type == CONFIG_TYPE_SECRET_FILE) {
		errmsg_set(e, "bad value for '%s'; expected %s", option->key, expected);
		return -EINVAL;
	}
	snprintf(shown, sizeof(shown), "%s", text);
	config_address_mask_users(shown);
	errmsg_set(e, "bad value '%.80s' for '%s'%s%s; expected %s", shown, option->key,
		   why.text[0] ? ": " : reason_of(option, text, r), why.text, expected);
	return -EINVAL;
}

const char *config_value_print(const struct config_option *option, const void *value,
			       char buf[CONFIG_VALUE_BYTES])
{
	const struct notation *notation = notation_of(option);
	size_t size = CONFIG_VALUE_BYTES;

	switch (notation->kind) {
	case WORD:
		snprintf(buf, size, "%s", notation->words[*(const unsigned *)value]);
		break;
	case NUMBER:
		print_number(buf, size, option, *(const uint64_t *)value);
		break;
	case MODE:
		snprintf(buf, size, "%04" PRIo64, *(const uint64_t *)value);
		break;
	case BURST:
		print_burst(buf, size, value);
		break;
	case FRAMING:
		config_framing_print(buf, size, value);
		break;
	case SERIAL_MODE:
		config_serial_mode_print(buf, size, value);
		break;
	case POSITION:
		config_position_print(buf, size, value);
		break;
	case TEXT:
		snprintf(buf, size, "%s", *(const char *const *)value);
		break;
	case INGEST:
		snprintf(buf, size, "%s", ((const struct config_ingest *)value)->text);
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

	if (notation_of(option)->kind == INGEST) {
		config_ingest_free(value);
	} else if (notation_of(option)->kind == TEXT) {
		free(*text);
		*text = NULL;
	}
}

const char *config_value_expected(const struct config_option *option, char *buf, size_t size)
{
	const struct notation *notation = notation_of(option);

	if (notation->expected)
		snprintf(buf, size, "%s", notation->expected);
	else if (notation->words)
		print_words(buf, size, notation->words,
			    notation->kind == FRAMING ? " (N from 1 to 64m), or relay:KIND" : "");
	else if (notation->kind == NUMBER)
		print_range(option, buf, size);
	else if (option->type == CONFIG_TYPE_ADDRESS)
		snprintf(buf, size, "%s%s%s", option->min ? option->min : "",
			 option->min ? ", or " : "", CONFIG_ADDRESS_EXPECTED);
	else if (option->type == CONFIG_TYPE_LIST)
		snprintf(buf, size, "a list between commas, of at most %s bytes", option->max);
	else
		snprintf(buf, size, "at most %s bytes without blanks", option->max);
	return buf;
}
