// SPDX-License-Identifier: MIT
/* relay may be writing meanwhile, and retire files: one that has gone is passed over. */
#include "tools/relayctl/relayctl_history.h"

#include "base/fd.h"
#include "base/num.h"
#include "history_file/history_copy.h"
#include "history_file/history_name.h"
#include "history_file/history_verify.h"
#include "tools/relayctl/relayctl_table.h"
#include "tools/relayctl/relayctl_text.h"
#include "tools/shared/progress.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SAFE_BYTES = 1024,
};

/* ---- the files of a folder ---- */

static int is_packets(const struct dirent *entry)
{
	uint64_t number;

	return history_name_parse(entry->d_name, HISTORY_PACKETS, &number);
}

/* Calls for each file with packets, the oldest first.  A file without an index has index_fd -1. */
static int walk(const char *folder,
		int (*take)(void *data, const char *name, int fd, int index_fd,
			    struct errmsg *error),
		void *data, struct errmsg *error)
{
	int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **names = NULL;
	int count = folder_fd < 0 ? -1 : scandirat(folder_fd, ".", &names, is_packets, alphasort);
	int r = count < 0 ? -errno : 0;

	if (r < 0)
		errmsg_errno(error, r, "%s", folder);
	for (int i = 0; i < count; i++) {
		const char *name = names[i]->d_name;
		char index[HISTORY_NAME_BYTES];
		uint64_t number = 0;
		int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC), index_fd;

		(void)history_name_parse(name, HISTORY_PACKETS, &number);
		index_fd = openat(folder_fd, history_name_print(index, number, HISTORY_INDEX),
				  O_RDONLY | O_CLOEXEC);
		if (r == 0 && fd < 0 && errno != ENOENT) {
			r = -errno;
			errmsg_errno(error, r, "%s/%s", folder, name);
		} else if (r == 0 && fd >= 0) {
			r = take(data, name, fd, index_fd, error);
		}
		fd_close(&fd);
		fd_close(&index_fd);
		free(names[i]);
	}
	free(names);
	fd_close(&folder_fd);
	return r;
}

/* ---- verify ---- */

struct verify {
	const char *folder;
	json_t *files; /* what was found of each */
	bool has_before;
	struct history_entry end; /* of the file before */
	bool has_wrong;
};

/* A file that is whole has to go on where the one before has ended. */
static int check_begin(const struct verify *verify, const struct history_verified *found,
		       struct errmsg *error)
{
	if (!verify->has_before || !found->packets || found->first.session != verify->end.session ||
	    found->first.sequence == verify->end.sequence)
		return 0;
	errmsg_set(error,
		   "it begins with sequence %" PRIu64 "; the file before ends before %" PRIu64,
		   found->first.sequence, verify->end.sequence);
	return -EBADMSG;
}

static int verify_file(void *data, const char *name, int fd, int index_fd, struct errmsg *error)
{
	struct verify *verify = data;
	struct history_verified found = {0};
	struct errmsg why = {0};
	int r = -EBADMSG;

	if (index_fd < 0)
		errmsg_set(&why, "it has no index; relay makes it anew when it starts");
	else
		r = history_verify(fd, index_fd, &found, &why);
	if (r == 0)
		r = check_begin(verify, &found, &why);
	verify->has_wrong |= r < 0;
	verify->has_before = r == 0 && found.packets;
	verify->end = found.end;
	r = json_array_append_new(
		verify->files,
		json_pack("{s:s,s:s,s:b,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "folder",
			  verify->folder, "file", name, "sealed", found.is_sealed, "wrong",
			  why.text, "wrong_from", (json_int_t)found.wrong_from, "wrong_to",
			  (json_int_t)found.wrong_to, "packets", (json_int_t)found.packets,
			  "messages", (json_int_t)found.messages, "missed",
			  (json_int_t)found.missed, "bytes", (json_int_t)found.bytes, "session",
			  (json_int_t)found.end.session, "first_seq",
			  (json_int_t)found.first.sequence, "next_seq",
			  (json_int_t)found.end.sequence, "left_bytes",
			  (json_int_t)found.left_bytes));
	if (r < 0)
		errmsg_set(error, "out of memory");
	return r;
}

static void add_row(struct table *table, const json_t *file)
{
	static const char *const counts[] = {"packets", "messages",  "missed",  "bytes",
					     "session", "first_seq", "next_seq"};
	bool is_wrong = *answer_text(file, "wrong");
	bool is_sealed = answer_flag(file, "sealed");

	table_add(table, TABLE_PLAIN, "%s/%s", answer_text(file, "folder"),
		  answer_text(file, "file"));
	table_add(table, is_wrong ? TABLE_BAD : TABLE_GOOD,
		  is_wrong    ? "wrong"
		  : is_sealed ? "complete"
			      : "open");
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		table_add(table, TABLE_PLAIN, "%" PRIu64, answer_count(file, counts[i]));
}

static void tell_wrong(const json_t *file)
{
	char safe[SAFE_BYTES];

	if (*answer_text(file, "wrong"))
		(void)fprintf(stderr, "relayctl: %s/%s: %s\n", answer_text(file, "folder"),
			      answer_text(file, "file"),
			      text_escape(safe, sizeof safe, answer_text(file, "wrong")));
}

static int print_files(const struct view *view, const json_t *files)
{
	static const struct table_column columns[] = {
		{"FILE", .is_right = false},   {"STATE", .is_right = false},
		{"PACKETS", .is_right = true}, {"MESSAGES", .is_right = true},
		{"MISSED", .is_right = true},  {"BYTES", .is_right = true},
		{"SESSION", .is_right = true}, {"FIRST", .is_right = true},
		{"NEXT", .is_right = true},
	};
	struct table table;
	const json_t *file;
	size_t i;
	int r;

	table_init(&table, columns, ARRAY_LEN(columns));
	json_array_foreach(files, i, file) add_row(&table, file);
	r = table_print(&table, view->out, view->has_colours);
	table_fini(&table);
	json_array_foreach(files, i, file) tell_wrong(file);
	return r;
}

/* ---- export ---- */

static int export_file(void *data, const char *name, int fd, int index_fd, struct errmsg *error)
{
	int r = history_copy_add(data, fd, index_fd, error);
	struct errmsg why = *error;

	if (r < 0)
		errmsg_set(error, "%s: %.400s", name, why.text);
	return r;
}

/* Nothing is left of a file that could not be written. */
static enum relayctl_exit export_folder(const struct relayctl_options *options, const char *folder,
					const struct view *view, struct errmsg *error)
{
	int fd = open(options->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	struct history_copy copy;
	int r = fd < 0 ? -errno : 0;
	char bytes[NUM_PRINT_BYTES];

	if (r < 0) {
		errmsg_errno(error, r, "%s", options->file);
		return RELAYCTL_REFUSED;
	}
	history_copy_begin(&copy, fd, options->since_ns, options->until_ns);
	r = walk(folder, export_file, &copy, error);
	if (r == 0 && !copy.bytes) {
		r = -ENODATA;
		errmsg_set(error, "%s: nothing was recorded then", folder);
	}
	if (close(fd) < 0 && r == 0) {
		r = -errno;
		errmsg_errno(error, r, "%s", options->file);
	}
	if (r < 0) {
		(void)unlink(options->file);
		return RELAYCTL_REFUSED;
	}
	if (options->json)
		(void)fprintf(view->out, "{\"bytes\": %" PRIu64 "}\n", copy.bytes);
	else
		(void)fprintf(view->out, "%s: %s, framed\n", options->file,
			      progress_print_bytes(bytes, copy.bytes));
	return RELAYCTL_DONE;
}

/* ---- both ---- */

/* Asks relay where its histories are. */
static enum relayctl_exit find_folders(const struct relayctl_options *options, json_t *folders,
				       struct errmsg *error)
{
	json_t *status;
	enum relayctl_exit r = relayctl_ask_status(options, &status, error);
	const json_t *feed;
	size_t i;

	json_array_foreach(json_object_get(status, "feeds"), i, feed)
	{
		const json_t *history = json_object_get(feed, "history");
		bool is_wanted =
			!options->feed || strcmp(options->feed, answer_text(feed, "name")) == 0;

		if (is_wanted && json_is_object(history))
			(void)json_array_append(folders, json_object_get(history, "folder"));
	}
	json_decref(status);
	if (r == RELAYCTL_DONE && json_array_size(folders) == 0) {
		errmsg_set(error, "%s has no history", options->feed ? options->feed : "relay");
		r = RELAYCTL_REFUSED;
	}
	return r;
}

static enum relayctl_exit verify_folders(const struct relayctl_options *options,
					 const json_t *folders, const struct view *view,
					 struct errmsg *error)
{
	json_t *files = json_array();
	struct verify verify = {.files = files};
	const json_t *folder;
	size_t i;
	int r = 0;

	json_array_foreach(folders, i, folder)
	{
		verify.folder = json_string_value(folder);
		verify.has_before = false;
		if (r == 0)
			r = walk(verify.folder, verify_file, &verify, error);
	}
	if (r == 0 && options->json) {
		r = json_dumpf(files, view->out, JSON_ENSURE_ASCII | JSON_INDENT(2));
		(void)fputc('\n', view->out);
	} else if (r == 0) {
		r = print_files(view, files);
	}
	json_decref(files);
	return r < 0 || verify.has_wrong ? RELAYCTL_REFUSED : RELAYCTL_DONE;
}

enum relayctl_exit relayctl_history(const struct relayctl_options *options, const struct view *view,
				    struct errmsg *error)
{
	json_t *folders = json_array();
	enum relayctl_exit r = RELAYCTL_DONE;

	if (options->folder)
		(void)json_array_append_new(folders, json_string(options->folder));
	else
		r = find_folders(options, folders, error);
	if (r == RELAYCTL_DONE && options->file)
		r = export_folder(options, json_string_value(json_array_get(folders, 0)), view,
				  error);
	else if (r == RELAYCTL_DONE)
		r = verify_folders(options, folders, view, error);
	json_decref(folders);
	return r;
}
