// SPDX-License-Identifier: MIT
/*
 * The fields of a request head.
 *
 * A line is name ":" OWS value OWS (RFC 9112, 5).  What older servers forgave is refused: a blank
 * before the colon, a value that is continued on the next line, control characters.
 */
#include "http/http_fields.h"

const char *http_fields_add(struct http_fields *fields, size_t at, size_t length)
{
	const char *line = fields->head + at;
	struct http_text value;
	size_t colon = 0;

	if (line[0] == ' ' || line[0] == '\t')
		return "a header line begins with a blank (no folded lines)";
	while (colon < length && http_is_token_char(line[colon]))
		colon++;
	if (colon == length)
		return "a header line without a colon";
	if (colon > 0 && (line[colon] == ' ' || line[colon] == '\t'))
		return "a blank between a header name and its colon";
	if (colon == 0 || line[colon] != ':')
		return "a header name that is no token";
	value = http_text_trim((struct http_text){line + colon + 1, length - colon - 1});
	for (size_t i = 0; i < value.length; i++) {
		if (!http_is_value_char(value.at[i]))
			return "a control character in a header value";
	}
	fields->list[fields->count++] = (struct http_field){
		.name_at = (uint16_t)at,
		.name_length = (uint16_t)colon,
		.value_at = (uint16_t)(value.at - fields->head),
		.value_length = (uint16_t)value.length,
	};
	return NULL;
}

/* The first one of this name at or after *next, which then stands behind it. */
static bool find_next(const struct http_fields *fields, const char *name, size_t *next,
		      struct http_text *ret)
{
	while (*next < fields->count) {
		const struct http_field *field = &fields->list[(*next)++];
		struct http_text own = {fields->head + field->name_at, field->name_length};

		if (!http_text_equals_any_case(own, name))
			continue;
		*ret = (struct http_text){fields->head + field->value_at, field->value_length};
		return true;
	}
	return false;
}

bool http_fields_find(const struct http_fields *fields, const char *name, struct http_text *ret)
{
	size_t next = 0;

	return find_next(fields, name, &next, ret);
}

size_t http_fields_count(const struct http_fields *fields, const char *name)
{
	struct http_text value;
	size_t count = 0;

	for (size_t next = 0; find_next(fields, name, &next, &value);)
		count++;
	return count;
}

struct http_text http_list_take(struct http_text *rest, char separator)
{
	struct http_text taken = {rest->at, 0};
	bool is_quoted = false;
	size_t i;

	for (i = 0; i < rest->length; i++) {
		char c = rest->at[i];

		if (c == '"')
			is_quoted = !is_quoted;
		else if (is_quoted && c == '\\' && i + 1 < rest->length)
			i++;
		else if (!is_quoted && c == separator)
			break;
	}
	taken.length = i;
	i += i < rest->length;
	rest->at += i;
	rest->length -= i;
	return http_text_trim(taken);
}

bool http_list_next(struct http_list *list, struct http_text *ret)
{
	for (;;) {
		while (list->rest.length > 0) {
			*ret = http_list_take(&list->rest, ',');
			if (ret->length > 0)
				return true;
		}
		if (!find_next(list->fields, list->name, &list->next, &list->rest))
			return false;
	}
}

bool http_fields_list_has(const struct http_fields *fields, const char *name, const char *token)
{
	struct http_list list = {.fields = fields, .name = name};
	struct http_text element;

	while (http_list_next(&list, &element)) {
		if (http_text_equals_any_case(element, token))
			return true;
	}
	return false;
}

/* qvalue of RFC 9110, 12.4.2: 0, 0.5, 0.125, 1, 1.000.  In thousandths; -1 when it is none. */
static int read_weight(struct http_text text)
{
	static const int places[] = {100, 10, 1};
	int weight;

	if (text.length < 1 || text.length > 5 || (text.at[0] != '0' && text.at[0] != '1'))
		return -1;
	if (text.length > 1 && text.at[1] != '.')
		return -1;
	weight = (text.at[0] - '0') * 1000;
	for (size_t i = 2; i < text.length; i++) {
		if (!http_is_digit(text.at[i]))
			return -1;
		weight += (text.at[i] - '0') * places[i - 2];
	}
	return weight <= 1000 ? weight : -1;
}

/* How closely a media range fits: 3 the type itself, 2 all of its kind, 1 anything, 0 not. */
static int fit_range(struct http_text range, const char *type, const char *subtype)
{
	const char *slash = memchr(range.at, '/', range.length);
	struct http_text own, own_sub;

	if (!slash)
		return 0;
	own = (struct http_text){range.at, (size_t)(slash - range.at)};
	own_sub = (struct http_text){slash + 1, range.length - own.length - 1};
	if (http_text_equals(own, "*"))
		return http_text_equals(own_sub, "*") ? 1 : 0;
	if (!http_text_equals_any_case(own, type))
		return 0;
	if (http_text_equals(own_sub, "*"))
		return 2;
	return http_text_equals_any_case(own_sub, subtype) ? 3 : 0;
}

/* The weight among the parameters of a range, 1000 without one, -1 when it is none. */
static int find_weight(struct http_text parameters)
{
	while (parameters.length > 0) {
		struct http_text one = http_list_take(&parameters, ';');

		if (one.length < 2 || (one.at[0] != 'q' && one.at[0] != 'Q') || one.at[1] != '=')
			continue;
		return read_weight((struct http_text){one.at + 2, one.length - 2});
	}
	return 1000;
}

unsigned http_fields_accept(const struct http_fields *fields, const char *type, const char *subtype)
{
	struct http_list list = {.fields = fields, .name = "Accept"};
	struct http_text element;
	int closest = 0, best = 0;

	if (http_fields_count(fields, "Accept") == 0)
		return 1000;
	while (http_list_next(&list, &element)) {
		int fit = fit_range(http_list_take(&element, ';'), type, subtype);
		int weight = find_weight(element);

		if (fit == 0 || weight < 0 || fit < closest)
			continue;
		if (fit > closest || weight > best)
			best = weight;
		closest = fit;
	}
	return (unsigned)best;
}

/* The weight of this coding, that of "*" in its place, or -1: nothing is said of it. */
static int coding_weight(const struct http_fields *fields, const char *coding)
{
	struct http_list list = {.fields = fields, .name = "Accept-Encoding"};
	struct http_text element;
	int own = -1, any = -1;

	while (http_list_next(&list, &element)) {
		struct http_text name = http_list_take(&element, ';');

		if (http_text_equals_any_case(name, coding))
			own = find_weight(element);
		else if (http_text_equals(name, "*"))
			any = find_weight(element);
	}
	return own >= 0 ? own : any;
}

bool http_fields_accept_coding(const struct http_fields *fields, const char *coding)
{
	int weight = coding_weight(fields, coding);

	return weight > 0 && weight >= coding_weight(fields, "identity");
}
