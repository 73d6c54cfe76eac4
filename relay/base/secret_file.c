// SPDX-License-Identifier: MIT
/* Which file a name means, and who else can read it. */
#include "base/secret_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CREDENTIAL "credential:"

static int find_path(const char *name, char *path, size_t size, struct errmsg *err)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	int length;

	if (strncmp(name, CREDENTIAL, sizeof(CREDENTIAL) - 1) != 0) {
		length = snprintf(path, size, "%s", name);
	} else if (directory) {
		length = snprintf(path, size, "%s/%s", directory, name + sizeof(CREDENTIAL) - 1);
	} else {
		errmsg_set(err,
			   "%s: there is no $CREDENTIALS_DIRECTORY; expected LoadCredential= in "
			   "the unit",
			   name);
		return -ENOENT;
	}
	if (length < 0 || (size_t)length >= size) {
		errmsg_set(err, "the path of %.100s is too long", name);
		return -ENAMETOOLONG;
	}
	return 0;
}

int secret_file_open(const char *name, struct secret_file *ret, struct errmsg *err)
{
	struct secret_file file = {0};
	struct stat about;
	int r = find_path(name, file.path, sizeof(file.path), err);

	if (r < 0)
		return r;
	file.file = fopen(file.path, "re");
	if (!file.file) {
		r = -errno;
		errmsg_errno(err, -r, "cannot read %s", file.path);
		return r;
	}
	file.is_for_all = fstat(fileno(file.file), &about) == 0 && about.st_mode & S_IROTH;
	*ret = file;
	return 0;
}

/* Returns its bytes, of which at most `size` are kept; -1: there is no more. */
static ssize_t read_line(struct secret_file *file, char *line, size_t size)
{
	size_t bytes = 0;
	int byte;

	while ((byte = getc(file->file)) != EOF && byte != '\n') {
		if (bytes < size)
			line[bytes] = (char)byte;
		bytes++;
	}
	if (byte == EOF && (bytes == 0 || ferror(file->file)))
		return -1;
	file->line++;
	if (bytes && bytes <= size && line[bytes - 1] == '\r')
		bytes--;
	return (ssize_t)bytes;
}

int secret_file_next_line(struct secret_file *file, char *line, size_t size)
{
	ssize_t bytes;
	int r = 1;

	do
		bytes = read_line(file, line, size);
	while (bytes == 0 || (bytes > 0 && line[0] == '#'));
	if (bytes < 0)
		r = ferror(file->file) ? -errno : 0;
	else if ((size_t)bytes >= size || memchr(line, '\0', (size_t)bytes))
		r = -EINVAL;
	line[r == 1 ? bytes : 0] = '\0';
	return r;
}

int secret_file_read(const char *name, const struct secret_kind *kind, char *line, size_t size,
		     struct errmsg *err)
{
	struct secret_file file;
	int r = secret_file_open(name, &file, err);

	line[0] = '\0';
	if (r < 0)
		return r;
	r = secret_file_next_line(&file, line, size);
	(void)fclose(file.file);
	if (r == 1 && kind->is_right(line))
		return 0;
	explicit_bzero(line, size);
	if (r < 0 && r != -EINVAL) {
		errmsg_errno(err, -r, "cannot read %s", file.path);
		return r;
	}
	if (r == 0)
		errmsg_set(err, "%s has no %s; expected a line with %s", file.path, kind->what,
			   kind->expected);
	else
		errmsg_set(err, "the first line of %s is no %s; expected %s", file.path, kind->what,
			   kind->expected);
	return -EINVAL;
}
