// SPDX-License-Identifier: MIT
/* One deadline holds for all requests together. */
#include "tools/relayctl/relayctl_upgrade.h"

#include "base/clock.h"
#include "base/num.h"
#include "tools/relayctl/relayctl_text.h"
#include "tools/shared/connect_address.h"

#include <errno.h>

enum {
	LOOK_MS = 50, // between two looks
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

/* What an answer says: true when it has ended, with *ret the way.  `error` is set when it has not
 * taken over. */
static bool has_ended(const json_t *answer, uint64_t process, enum relayctl_exit *ret,
		      struct errmsg *error)
{
	uint64_t now = answer_count(answer, "process");
	const char *reason = answer_text(answer, "error");
	char safe[400];

	*ret = RELAYCTL_DONE;
	if (now == 0)
		errmsg_set(error, "relay's answer has no number of its process");
	else if (now != process)
		return true;
	else if (answer_flag(answer, "under_way"))
		errmsg_set(error, "it is still under way");
	if (now == 0 || answer_flag(answer, "under_way"))
		return false;
	errmsg_set(error, "nothing has changed: %s",
		   *reason ? text_escape(safe, sizeof safe, reason) : "relay does not say why");
	*ret = RELAYCTL_REFUSED;
	return true;
}

/* One look. */
static bool look(const struct relayctl_options *options, uint64_t process, enum relayctl_exit *ret,
		 json_t **ret_json, struct errmsg *error)
{
	*ret = relayctl_ask(options, "GET", "/upgrade.json", ret_json, error);
	if (*ret == RELAYCTL_REFUSED) {
		// Who does not know this question is not the relay that told its number.
		*ret = RELAYCTL_DONE;
		return true;
	}
	if (*ret == RELAYCTL_DONE && has_ended(*ret_json, process, ret, error))
		return true;
	json_decref(*ret_json);
	*ret_json = NULL;
	return false;
}

/* What a look says that the end of the time has cut short does not count. */
static enum relayctl_exit wait_for_end(const struct relayctl_options *options, uint64_t process,
				       uint64_t end_ms, json_t **ret_json, struct errmsg *error)
{
	struct errmsg last = {.text = "it is still under way"}, said = {.text = ""};
	struct relayctl_options rest = *options;
	enum relayctl_exit r;

	for (uint64_t at_ms = now_ms(); at_ms < end_ms; at_ms = now_ms()) {
		rest.timeout_ms = end_ms - at_ms;
		if (look(&rest, process, &r, ret_json, &said)) {
			*error = said;
			return r;
		}
		if (now_ms() < end_ms)
			last = said;
		if (connect_address_wait(-1, 0, LOOK_MS) == -EINTR) {
			errmsg_set(error, "not waited for: the upgrade goes on");
			return RELAYCTL_UNREACHABLE;
		}
	}
	errmsg_set(error, "the upgrade has not ended in time (--timeout): %s", last.text);
	return RELAYCTL_UNREACHABLE;
}

enum relayctl_exit relayctl_upgrade(const struct relayctl_options *options, json_t **ret_json,
				    struct errmsg *error)
{
	uint64_t end_ms = now_ms() + options->timeout_ms;
	enum relayctl_exit r = relayctl_ask(options, "POST", "/upgrade", ret_json, error);
	uint64_t process = answer_count(*ret_json, "process");

	if (r != RELAYCTL_DONE)
		return r;
	json_decref(*ret_json);
	*ret_json = NULL;
	if (process == 0) {
		errmsg_set(error, "begun; a relay of this version does not say how it ends, its "
				  "log does");
		return RELAYCTL_UNREACHABLE;
	}
	return wait_for_end(options, process, end_ms, ret_json, error);
}
