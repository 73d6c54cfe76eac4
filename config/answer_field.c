// SPDX-License-Identifier: MIT
/* Media types and fields of HTTP answers, as RFC 9110 has them. */
#include "config/answer_field.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t"

/* tchar, RFC 9110, 5.6.2. */
#define TOKEN_CHARS "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Fields that relay sends, or that say how the body is sent.  One that ends in '-': all such. */
static const char *const own_fields[] = {
	"Access-Control-",
	"Allow",
	"Cache-Control",
	"Connection",
	"Content-Encoding",
	"Content-Length",
	"Content-Range",
	"Content-Type",
	"Date",
	"Keep-Alive",
	"Relay-",
	"Sec-WebSocket-",
	"TE",
	"Trailer",
	"Transfer-Encoding",
	"Upgrade",
	"Vary",
	"X-Accel-Buffering",
	"X-Content-Type-Options",
};

/* Printable ASCII, blanks among it. */
static bool is_value_char(char c)
{
	return c == '\t' || (c >= 0x20 && c < 0x7f);
}

/* Bytes of a quoted string without escapes, with its quotes; 0: it is none. */
static size_t quoted_span(const char *text)
{
	size_t n = 1;

	if (*text != '"')
		return 0;
	while (is_value_char(text[n]) && text[n] != '"' && text[n] != '\\')
		n++;
	return text[n] == '"' ? n + 1 : 0;
}

/* Bytes of NAME=VALUE; 0: it is none. */
static size_t parameter_span(const char *text)
{
	size_t name = strspn(text, TOKEN_CHARS), value;

	if (name == 0 || text[name] != '=')
		return 0;
	value = strspn(text + name + 1, TOKEN_CHARS);
	if (value == 0)
		value = quoted_span(text + name + 1);
	return value ? name + 1 + value : 0;
}

bool media_type_is_valid(const char *text)
{
	size_t n = strspn(text, TOKEN_CHARS);

	if (strlen(text) > MEDIA_TYPE_BYTES || n == 0 || text[n] != '/')
		return false;
	text += n + 1;
	n = strspn(text, TOKEN_CHARS);
	if (n == 0)
		return false;
	for (text += n; *text; text += n) {
		text += strspn(text, BLANKS);
		if (*text != ';')
			return false;
		text += 1 + strspn(text + 1, BLANKS);
		n = parameter_span(text);
		if (n == 0)
			return false;
	}
	return true;
}

static bool is_own(const char *name, size_t bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(own_fields); i++) {
		size_t length = strlen(own_fields[i]);
		bool is_prefix = own_fields[i][length - 1] == '-';

		if ((is_prefix ? bytes >= length : bytes == length) &&
		    strncasecmp(name, own_fields[i], length) == 0)
			return true;
	}
	return false;
}

static int check_field(const struct answer_field *field, struct errmsg *err)
{
	int shown = field->name_bytes < 64 ? (int)field->name_bytes : 64;

	for (size_t i = 0; i < field->value_bytes; i++) {
		if (!is_value_char(field->value[i])) {
			errmsg_set(err, "the value of '%.*s' has a byte 0x%02x", shown, field->name,
				   (unsigned char)field->value[i]);
			return -EINVAL;
		}
	}
	if (field->value_bytes == 0)
		errmsg_set(err, "'%.*s' has no value", shown, field->name);
	else if (!is_own(field->name, field->name_bytes))
		return 0;
	else if (field->name_bytes == strlen("Content-Type") &&
		 strncasecmp(field->name, "Content-Type", field->name_bytes) == 0)
		errmsg_set(err, "'%.*s' is what content_type is for", shown, field->name);
	else
		errmsg_set(err, "'%.*s' is a field that relay sends by itself", shown, field->name);
	return -EINVAL;
}

int answer_field_parse_next(const char **rest, struct answer_field *ret, struct errmsg *err)
{
	const char *text = *rest + strspn(*rest, BLANKS);
	size_t name = strcspn(text, ":|" BLANKS), value;
	const char *behind;

	if (!*text)
		return 0;
	/* A name may have a '|' by the RFC; here it ends the field. */
	if (name == 0 || text[name] != ':' || strspn(text, TOKEN_CHARS) < name) {
		errmsg_set(err, "'%.64s' does not begin with a name and a colon", text);
		return -EINVAL;
	}
	*ret = (struct answer_field){.name = text, .name_bytes = name};
	ret->value = text + name + 1 + strspn(text + name + 1, BLANKS);
	value = strcspn(ret->value, "|");
	behind = ret->value + value;
	while (value && strchr(BLANKS, ret->value[value - 1]))
		value--;
	ret->value_bytes = value;
	if (*behind && !behind[1 + strspn(behind + 1, BLANKS)]) {
		errmsg_set(err, "nothing follows the last '|'");
		return -EINVAL;
	}
	*rest = *behind ? behind + 1 : behind;
	return check_field(ret, err) < 0 ? -EINVAL : 1;
}
