// SPDX-License-Identifier: MIT
/* Reloading.  Changes are told before they are made, since their texts need both configurations. */
#include "daemon/reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "admin/status.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/notify.h"
#include "daemon/relay.h"

/* Without memory a line is missing; it is in the log all the same. */
static void add_line(struct reload_report *report, const char *text)
{
	char **lines;

	if (!report)
		return;
	lines = reallocarray(report->lines, report->count + 1, sizeof(*lines));
	if (!lines)
		return;
	report->lines = lines;
	lines[report->count] = strdup(text);
	if (lines[report->count])
		report->count++;
}

void reload_report_free(struct reload_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		free(report->lines[i]);
	free(report->lines);
	*report = (struct reload_report){0};
}

struct config *reload_load(const struct config_source *source, struct config_errors *errors)
{
	struct config *config = NULL;
	int r = config_load(source->path, source->overrides, source->override_count, &config,
			    errors);

	config_errors_print(stderr, errors);
	if (r < 0 && errors->count == 0)
		log_error("%s: %s", source->path, strerror(-r));
	return config;
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
		add_line(report, text);
	}
	free(changes);
}

static int load_and_apply(struct relay *relay, struct reload_report *report)
{
	struct config_errors errors = {0};
	struct config *config = reload_load(&relay->source, &errors);
	struct errmsg err;
	int r;

	if (!config) {
		log_error("reload failed: the configuration has errors, nothing has changed");
		for (size_t i = 0; i < errors.count; i++)
			add_line(report, errors.list[i].text);
		config_errors_free(&errors);
		return -EINVAL;
	}
	config_errors_free(&errors);
	tell_changes(relay, config, report);
	r = relay_apply(relay, config, &err);
	if (r == 0) {
		log_info("reloaded");
		return 0;
	}
	if (r > 0)
		log_error("reload incomplete: feeds=%d are not served, all else has changed", r);
	else
		log_error("reload failed: %s, nothing has changed", err.text);
	if (report) {
		reload_report_free(report);
		add_line(report, err.text);
	}
	return r > 0 ? -EIO : r;
}

int reload(struct relay *relay, struct reload_report *report)
{
	int r;

	if (relay->is_draining)
		return -EBUSY;
	notify_reloading();
	r = load_and_apply(relay, report);
	relay->reload_failed = r < 0;
	if (r == 0)
		relay->loaded_ns = clock_wall_ns();
	status_notify(relay);
	notify_ready();
	return r;
}
