// SPDX-License-Identifier: MIT
/* The admin server's answers have a body that says what is wrong: {"error": "..."}; it is shown as
 * it is, since relay knows best. */
#include "tools/relayctl/relayctl_answer.h"

#include "tools/relayctl/admin_client.h"
#include "tools/relayctl/relayctl_text.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	STATUS_VERSION = 1,
};

static json_t *read_body(const struct admin_answer *answer)
{
	json_t *json = json_loadb(answer->body, answer->body_bytes, 0, NULL);

	return json ? json : json_pack("{s:s%}", "text", answer->body, answer->body_bytes);
}

enum relayctl_exit relayctl_ask(const struct relayctl_options *options, const char *method,
				const char *target, json_t **ret_json, struct errmsg *error)
{
	struct admin_answer answer;
	char safe[400];
	const char *reason;
	int r;

	*ret_json = NULL;
	r = admin_client_ask(options->socket, method, target, options->timeout_ms, &answer, error);
	if (r < 0)
		return RELAYCTL_UNREACHABLE;
	*ret_json = read_body(&answer);
	r = (int)answer.status;
	admin_answer_free(&answer);
	if (!*ret_json) {
		errmsg_set(error, "relay answered %s with neither JSON nor text", target);
		return RELAYCTL_UNREACHABLE;
	}
	if (r == 200 || r == 202) // upgrade is answered before it is done
		return RELAYCTL_DONE;
	reason = answer_text(*ret_json, "error");
	if (*reason)
		errmsg_set(error, "%s", text_escape(safe, sizeof safe, reason));
	else
		errmsg_set(error, "relay answered %d to %s", r, target);
	return RELAYCTL_REFUSED;
}

enum relayctl_exit relayctl_ask_status(const struct relayctl_options *options, json_t **ret_json,
				       struct errmsg *error)
{
	enum relayctl_exit r = relayctl_ask(options, "GET", "/status.json", ret_json, error);

	if (r == RELAYCTL_DONE && answer_count(*ret_json, "version") != STATUS_VERSION) {
		errmsg_set(error,
			   "relay's status has version %" PRIu64 ", expected %d: use the relayctl "
			   "that came with this relay",
			   answer_count(*ret_json, "version"), STATUS_VERSION);
		json_decref(*ret_json);
		*ret_json = NULL;
		r = RELAYCTL_UNREACHABLE;
	}
	return r;
}

enum relayctl_exit relayctl_ask_subscribers(const struct relayctl_options *options, uint64_t limit,
					    json_t **ret_json, struct errmsg *error)
{
	char target[900], feed[768] = "";

	*ret_json = NULL;
	if (options->feed && admin_client_encode(feed, sizeof feed, options->feed) < 0) {
		errmsg_set(error, "--feed: the name is too long");
		return RELAYCTL_USAGE;
	}
	(void)snprintf(target, sizeof target, "/subscribers.json?sort=lag&limit=%" PRIu64 "%s%s%s",
		       limit, options->slow ? "&slow=1" : "", *feed ? "&feed=" : "", feed);
	return relayctl_ask(options, "GET", target, ret_json, error);
}

const char *answer_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

double answer_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

uint64_t answer_count(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	double number = json_number_value(value);

	if (json_is_integer(value) && json_integer_value(value) > 0)
		return (uint64_t)json_integer_value(value);
	return number > 0 && number < 1e18 ? (uint64_t)number : 0;
}

bool answer_flag(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}
