// SPDX-License-Identifier: MIT
/*
 * What the tests of the configuration share: a directory with a file in it, and what loading that
 * file gave.
 */
#include "tests/unit/config_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/pipe_rig.h"

int config_rig_begin(void **state)
{
	struct config_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->fds = pipe_rig_count_fds();
	memcpy(rig->dir, "/tmp/relay-config-XXXXXX", sizeof("/tmp/relay-config-XXXXXX"));
	assert_non_null(mkdtemp(rig->dir));
	assert_int_equal(chdir(rig->dir), 0);
	*state = rig;
	return 0;
}

void config_rig_forget(struct config_rig *rig)
{
	config_free(&rig->config);
	assert_null(rig->config);
	config_errors_free(&rig->errors);
}

int config_rig_end(void **state)
{
	struct config_rig *rig = *state;

	config_rig_forget(rig);
	unlink("a.ini");
	unlink("b.ini");
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(rig->dir), 0);
	assert_int_equal(pipe_rig_count_fds(), rig->fds);
	free(rig);
	return 0;
}

void config_rig_write_file(const char *path, const char *bytes, size_t count)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, count, file), count);
	assert_int_equal(fclose(file), 0);
}

int config_rig_load_with(struct config_rig *rig, const char *text, const char *override)
{
	struct config_override overrides[] = {{override}};

	config_rig_forget(rig);
	config_rig_write_file("a.ini", text, strlen(text));
	return config_load("a.ini", overrides, override ? 1 : 0, &rig->config, &rig->errors);
}

void config_rig_load(struct config_rig *rig, const char *text)
{
	if (config_rig_load_with(rig, text, NULL) < 0)
		config_errors_print(stderr, &rig->errors);
	assert_non_null(rig->config);
	assert_int_equal(rig->errors.total, 0);
}

void config_rig_check_error(const struct config_rig *rig, size_t i, const char *place,
			    const char *words)
{
	const char *text;

	assert_true(i < rig->errors.count);
	text = rig->errors.list[i].text;
	if (strncmp(text, place, strlen(place)) != 0 || !strstr(text, words))
		fail_msg("error %zu is\n  %s\nexpected\n  %s ... %s", i, text, place, words);
	assert_int_equal(strncmp(text + strlen(place), ": error: ", 9), 0);
	assert_null(strchr(text, '\n'));
}

void config_rig_check_only_error(struct config_rig *rig, const char *text, const char *place,
				 const char *words)
{
	int r = config_rig_load_with(rig, text, NULL);

	if (rig->errors.count != 1)
		config_errors_print(stderr, &rig->errors);
	assert_int_equal(r, -EINVAL);
	assert_null(rig->config);
	assert_int_equal(rig->errors.count, 1);
	config_rig_check_error(rig, 0, place, words);
}
