// SPDX-License-Identifier: MIT
/*
 * The value of `ingest`. Its form is a word, and what the word needs: a list of addresses after
 * listen and connect, a path right behind fifo: and file:, nothing after stdin and http.
 */
#include "config/ingest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/address.h"

static const struct form {
	const char *word;
	enum config_ingest_kind kind;
	bool has_addresses;
	bool has_path;
} forms[] = {
	{"listen", CONFIG_INGEST_LISTEN, true, false},
	{"connect", CONFIG_INGEST_CONNECT, true, false},
	{"fifo:", CONFIG_INGEST_FIFO, false, true},
	{"file:", CONFIG_INGEST_FILE, false, true},
	{"stdin", CONFIG_INGEST_STDIN, false, false},
	{"http", CONFIG_INGEST_HTTP, false, false},
};

/* The form that text begins with, and *ret_rest behind it; NULL when it is none of them. */
static const struct form *find_form(const char *text, const char **ret_rest)
{
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const struct form *form = &forms[i];
		size_t bytes = strlen(form->word);

		if (strncmp(text, form->word, bytes) != 0)
			continue;
		if (!form->has_path && text[bytes] && !strchr(" \t", text[bytes]))
			continue;
		*ret_rest = text + bytes + strspn(text + bytes, form->has_path ? "" : " \t");
		return form;
	}
	return NULL;
}

static int add_address(struct config_ingest *ingest, const char *text, size_t bytes)
{
	char **addresses;
	char *copy = strndup(text, bytes);

	if (!copy)
		return -ENOMEM;
	addresses = reallocarray(ingest->addresses, ingest->address_count + 1, sizeof(*addresses));
	if (!addresses) {
		free(copy);
		return -ENOMEM;
	}
	addresses[ingest->address_count++] = copy;
	ingest->addresses = addresses;
	return 0;
}

static int check_address(const struct config_ingest *ingest, const char *text, struct errmsg *e)
{
	struct config_address address;
	int r;

	r = config_address_parse(text, &address, e);
	if (r < 0 || ingest->kind == CONFIG_INGEST_LISTEN || address.kind == CONFIG_ADDRESS_UNIX)
		return r;
	if (address.kind == CONFIG_ADDRESS_SYSTEMD) {
		errmsg_set(e, "'%.80s' can be listened on, not connected to", text);
		return -EINVAL;
	}
	if (address.port == 0 || !address.host[0]) {
		errmsg_set(e, "'%.80s' names no host and port to connect to", text);
		return -EINVAL;
	}
	return 0;
}

/* rest: "ADDRESS[, ADDRESS...]" */
static int parse_addresses(struct config_ingest *ingest, const char *rest, struct errmsg *e)
{
	for (;;) {
		size_t part = strcspn(rest, ",");
		size_t bytes = part;
		int r;

		/* a path may have a comma in it, and unix: is never one of several */
		if (strncmp(rest, "unix:", 5) == 0 && ingest->address_count == 0)
			bytes = part = strlen(rest);
		while (bytes > 0 && strchr(" \t", rest[bytes - 1]))
			bytes--;
		r = add_address(ingest, rest, bytes);
		if (r == 0)
			r = check_address(ingest, ingest->addresses[ingest->address_count - 1], e);
		if (r < 0)
			return r;
		if (!rest[part])
			return 0;
		rest += part + 1;
		rest += strspn(rest, " \t");
		if (ingest->kind == CONFIG_INGEST_LISTEN) {
			errmsg_set(e, "listen takes one address");
			return -EINVAL;
		}
	}
}

static int parse_rest(struct config_ingest *ingest, const struct form *form, const char *rest,
		      struct errmsg *e)
{
	if (form->has_addresses && *rest)
		return parse_addresses(ingest, rest, e);
	if (form->has_path && *rest)
		return add_address(ingest, rest, strlen(rest));
	if (!form->has_addresses && !form->has_path && !*rest)
		return 0;
	errmsg_set(e,
		   form->has_path || form->has_addresses ? "nothing behind '%s'"
							 : "text behind '%s'",
		   form->word);
	return -EINVAL;
}

int config_ingest_parse(const char *text, struct config_ingest *ret, struct errmsg *e)
{
	struct config_ingest ingest = {0};
	const char *rest = NULL;
	const struct form *form = find_form(text, &rest);
	int r = -ENOMEM;

	if (!form)
		return -EINVAL;
	ingest.kind = form->kind;
	ingest.text = strdup(text);
	if (ingest.text)
		r = parse_rest(&ingest, form, rest, e);
	if (r < 0)
		config_ingest_free(&ingest);
	else
		*ret = ingest;
	return r;
}

void config_ingest_free(struct config_ingest *ingest)
{
	for (size_t i = 0; i < ingest->address_count; i++)
		free(ingest->addresses[i]);
	free(ingest->addresses);
	free(ingest->text);
	*ingest = (struct config_ingest){0};
}
