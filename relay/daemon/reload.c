// SPDX-License-Identifier: MIT
/* Reloading.  Changes are told before they are made, since their texts need both configurations. */
#include "daemon/reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/notify.h"
#include "daemon/relay.h"

struct config *reload_load(const struct config_source *source, struct config_errors *errors)
{
	struct config *config = NULL;
	int r = config_load(source->path, source->overrides, source->override_count, &config,
			    errors);

	if (r < 0 && errors->count == 0)
		log_error("%s: %s", source->path, strerror(-r));
	return config;
}

static void log_errors(const struct config_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		log_error("%s", errors->list[i].text);
	if (errors->total > errors->count)
		log_error("and %zu more errors", errors->total - errors->count);
}

static void tell_changes(const struct relay *relay, const struct config *config,
			 struct reload_report *report)
{
	struct config_change *changes = NULL;
	size_t count = 0;
	char text[512];

	if (config_reload_check(relay->config, config, &changes, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		config_change_print(text, sizeof(text), &changes[i]);
		log_info("reload: %s", text);
		reload_report_add(report, text);
	}
	free(changes);
}

static int load_and_apply(struct relay *relay, const struct config_source *source,
			  struct reload_report *report)
{
	struct config_errors errors = {0};
	struct config *config = reload_load(source, &errors);
	struct errmsg err, where;
	int r;

	log_errors(&errors);
	if (!config) {
		log_error("reload failed: the configuration has errors, nothing has changed");
		for (size_t i = 0; i < errors.count; i++)
			reload_report_add(report, errors.list[i].text);
		config_errors_free(&errors);
		return -EINVAL;
	}
	config_errors_free(&errors);
	tell_changes(relay, config, report);
	r = relay_apply(relay, config, &err, &where);
	if (r == 0) {
		log_info("reloaded");
		return 0;
	}
	if (r > 0)
		log_error("reload incomplete: feeds=%d are not served, all else has changed", r);
	else
		log_error("reload failed: %s, nothing has changed%s%s%s", err.text,
			  where.text[0] ? " (" : "", where.text, where.text[0] ? ")" : "");
	if (report) {
		reload_report_free(report);
		reload_report_add(report, err.text);
		if (r < 0 && where.text[0])
			reload_report_add(report, where.text);
	}
	return r > 0 ? -EIO : r;
}

int reload(struct relay *relay, const struct config_source *source, struct reload_report *report)
{
	int r;

	if (relay->service.is_draining)
		return -EBUSY;
	notify_reloading();
	r = load_and_apply(relay, source, report);
	relay->has_reload_failed = r < 0;
	if (r == 0)
		relay->loaded_ns = clock_wall_ns();
	relay_tell_status(relay);
	relay_tell_ready(relay);
	return r;
}
