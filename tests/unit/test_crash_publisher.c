// SPDX-License-Identifier: MIT
/* The publisher of a process that died: it goes on between two messages, and where nothing else
 * is known, not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/crash_feeds.h"
#include "daemon/crash_record.h"
#include "feed/feed.h"
#include "feed/feed_kept.h"
#include "tests/unit/feed_rig.h"

#define ADDRESS "listen here"

struct scene {
	struct crash_record record;
	struct feed_records records;
	struct feed_rig rig;
};

static void open_scene(struct scene *scene)
{
	const struct crash_room room = {
		.fd_limit = 64,
		.workers = 1,
		.part_bytes = sizeof(struct part_record),
		.part_count = 1,
		.subscriber_bytes = sizeof(struct subscriber_record),
	};
	struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);

	assert_int_equal(crash_record_open(&scene->record, &room), 0);
	scene->records = crash_record_feeds(&scene->record);
	feed_rig_open_recorded(&scene->rig, &params, true, &scene->records);
}

static void close_scene(struct scene *scene)
{
	feed_rig_close(&scene->rig);
	crash_record_close(&scene->record);
}

// The feed is known to have listened at `address`.
static struct handed_socket *listening_at(const char *address)
{
	struct handed_socket *socket = calloc(1, sizeof(*socket));

	assert_non_null(socket);
	*socket = (struct handed_socket){.kind = HANDED_FEED, .name = "test", .fd = -1};
	(void)snprintf(socket->address, sizeof(socket->address), "%s", address);
	return socket;
}

// address: NULL: it is not known.
static void check(const struct scene *scene, const char *address, bool is_kept)
{
	struct handover handover = {.config.fd = -1};
	int32_t number = scene->rig.source.fd;
	int fd = fcntl(number, F_DUPFD_CLOEXEC, 0), out = fd;
	struct kept_fds fds = {.numbers = &number, .fds = &fd, .count = 1};
	const struct handed_feed *feed;

	assert_true(fd >= 0);
	handover.sockets = address ? listening_at(address) : NULL;
	handover.socket_count = address != NULL;
	assert_int_equal(crash_feeds_read(scene->record.map, &fds, &handover), 0);
	feed = &handover.feeds[0];
	assert_int_equal(feed->ingest.fd, is_kept ? out : -1);
	assert_int_equal(fd, is_kept ? -1 : out);
	assert_int_equal(feed->ingest.is_after_crash, !is_kept);
	assert_string_equal(feed->ingest_text, is_kept ? address : "");
	assert_int_equal(feed->parts[0].intake.framing, is_kept ? FRAMING_LINE : 0);
	handover_free(&handover);
	assert_int_equal(close(out), 0);
}

static void publish(struct scene *scene, const char *text)
{
	feed_rig_publish(&scene->rig, text, strlen(text));
}

static void between_two_messages(void **state)
{
	struct scene scene;

	(void)state;
	open_scene(&scene);
	check(&scene, ADDRESS, false);
	feed_note_source(scene.rig.feed, scene.rig.source.fd);
	check(&scene, ADDRESS, true);
	check(&scene, NULL, false);
	publish(&scene, "a line\nhalf of ");
	check(&scene, ADDRESS, false);
	publish(&scene, "one\n");
	check(&scene, ADDRESS, true);
	feed_note_source(scene.rig.feed, -1);
	check(&scene, ADDRESS, false);
	close_scene(&scene);
}

static void what_does_not_fit_does_not_go_on(void **state)
{
	struct part_record *part;
	struct scene scene;

	(void)state;
	open_scene(&scene);
	part = &scene.records.parts[0];
	feed_note_source(scene.rig.feed, scene.rig.source.fd);
	part->source_framing++; // a bit that has become another one
	check(&scene, ADDRESS, false);
	part->source_framing--;
	check(&scene, ADDRESS, true);
	part->source_cookie++; // the number is another socket's
	atomic_store(&part->source_sum, part_source_sum(part));
	check(&scene, ADDRESS, false);
	part->source_cookie--;
	atomic_store(&part->source_sum, part_source_sum(part));
	check(&scene, ADDRESS, true);
	feed_record_unsettle_source(&scene.rig.feed->fanout); // bytes are being taken
	check(&scene, ADDRESS, false);
	feed_record_settle_source(&scene.rig.feed->fanout);
	check(&scene, ADDRESS, true);
	close_scene(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(between_two_messages, feed_rig_setup,
						feed_rig_teardown),
		cmocka_unit_test_setup_teardown(what_does_not_fit_does_not_go_on, feed_rig_setup,
						feed_rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
