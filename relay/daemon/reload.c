// SPDX-License-Identifier: MIT
/* Reloading.  Changes are told before they are made, since their texts need both configurations. */
#include "daemon/reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/log.h"
#include "continuity/sealed_memory.h"
#include "daemon/notify.h"
#include "daemon/relay.h"
#include "serve/handover.h"

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

	relay->config_fault.text[0] = '\0';
	log_errors(&errors);
	if (!config) {
		log_error("reload failed: the configuration has errors, nothing has changed");
		errmsg_set(&relay->config_fault, "%s",
			   errors.count ? errors.list[0].text : "it cannot be read");
		for (size_t i = 0; i < errors.count; i++)
			reload_report_add(report, errors.list[i].text);
		config_errors_free(&errors);
		return -EINVAL;
	}
	config_errors_free(&errors);
	tell_changes(relay, config, report);
	r = relay_apply(relay, config, false, &err, &where);
	if (r == 0) {
		log_info("reloaded");
		return 0;
	}
	if (r > 0)
		log_error("reload incomplete: feeds=%d are not served, all else has changed", r);
	else
		log_error("reload failed: %s, nothing has changed%s%s%s", err.text,
			  where.text[0] ? " (" : "", where.text, where.text[0] ? ")" : "");
	if (r < 0)
		relay->config_fault = err;
	if (report) {
		reload_report_free(report);
		reload_report_add(report, err.text);
		if (r < 0 && where.text[0])
			reload_report_add(report, where.text);
	}
	return r > 0 ? -EIO : r;
}

/* ---- the start ---- */

/* The configuration of the process before; NULL: it has left none, or none that is good here. */
static struct config *load_kept(const struct relay *relay)
{
	struct config_errors errors = {0};
	struct config *config = NULL;
	uint8_t *source;
	size_t bytes;

	if (!relay->resumed || sealed_memory_map(relay->resumed->config.fd, &source, &bytes) < 0)
		return NULL;
	if (config_load_again((const char *)source, bytes, &config, &errors) < 0)
		log_errors(&errors);
	config_errors_free(&errors);
	(void)munmap(source, bytes);
	return config;
}

/* Nothing has been taken yet of what the process before has left: its configuration fits. */
static int go_back(struct relay *relay, struct errmsg *err, struct errmsg *where)
{
	struct config *config = load_kept(relay);

	if (!config)
		return -EINVAL;
	log_error("configuration refused: %s%s%s%s; going on with the one before", err->text,
		  where->text[0] ? " (" : "", where->text, where->text[0] ? ")" : "");
	relay->config_fault = *err;
	relay->has_gone_back = true;
	relay->kept_config.fallbacks++;
	relay_survive_crash(relay, config);
	return relay_apply(relay, config, true, err, where);
}

int reload_start(struct relay *relay, struct config *config, struct errmsg *err,
		 struct errmsg *where)
{
	int r = -EINVAL;

	where->text[0] = '\0';
	if (config)
		r = relay_apply(relay, config, false, err, where);
	return r < 0 ? go_back(relay, err, where) : r;
}

int reload(struct relay *relay, const struct config_source *source, struct reload_report *report)
{
	int r;

	if (relay->service.is_draining)
		return -EBUSY;
	notify_reloading();
	r = load_and_apply(relay, source, report);
	if (r == 0) {
		relay->has_gone_back = false;
		relay->loaded_ns = clock_wall_ns();
	}
	relay_tell_status(relay);
	relay_tell_ready(relay);
	return r;
}
