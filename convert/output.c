#include "convert/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "convert/output_set.h"

#define MAX_TEMP_TRIES 1000
#define TEMP_NAME_BASE 200 /* of the output's name, to stay below NAME_MAX */
#define COPY_BYTES     (1u << 20)

/* The path without slashes at its end (malloc). */
static char *without_slashes(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return strndup(path, len);
}

/* The folder that `path` lies in, with the slash; its length. */
static int folder_len(const char *path)
{
	return (int)(qc_text_base_name(path) - path);
}

/* Refuse to replace a directory that may hold something else than an output of ours. */
static enum qc_status check_replaceable(const char *path, struct qc_err *err)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	bool ours = false, empty = true, strange = false;
	struct stat st;

	if (!dir)
		return qc_fail_errno(err, errno, "cannot list '%s'", path);
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		empty = false;
		ours = ours || !strcmp(entry->d_name, QC_OUTPUT_MANIFEST);
		strange = strange || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
			  !S_ISREG(st.st_mode);
	}
	closedir(dir);
	if (strange || !(ours || empty))
		return qc_fail(err, QC_REFUSED,
			       "output '%s' exists and is not a directory that qconv has written "
			       "(%s): remove it yourself, or choose another name",
			       path,
			       strange ? "it holds more than plain files"
				       : "it has no " QC_OUTPUT_MANIFEST);
	return QC_OK;
}

/* The input's own directory is no output, by whatever name. */
static enum qc_status check_not_input(const char *path, const struct stat *st,
				      const struct qc_model *model, struct qc_err *err)
{
	struct stat dir;

	if (model && model->dir && !stat(model->dir, &dir) && dir.st_dev == st->st_dev &&
	    dir.st_ino == st->st_ino)
		return qc_fail(err, QC_REFUSED,
			       "output '%s' is the directory of the input: choose another name",
			       path);
	return QC_OK;
}

static enum qc_status check_existing_dir(const char *path, const struct qc_model *model, bool force,
					 struct qc_err *err)
{
	struct stat st;
	enum qc_status s;

	if (lstat(path, &st))
		return errno == ENOENT ? QC_OK
				       : qc_fail_errno(err, errno, "cannot examine '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return qc_fail(err, QC_REFUSED, "output '%s' exists and is not a directory", path);
	s = check_not_input(path, &st, model, err);
	if (s)
		return s;
	if (!force)
		return qc_fail(err, QC_REFUSED, "output '%s' exists: --force replaces it", path);
	return check_replaceable(path, err);
}

enum qc_status qc_output_precheck(const char *path, bool is_dir, const struct qc_model *model,
				  const struct qc_out *out, bool force, struct qc_err *err)
{
	char *bare, *probe;
	enum qc_status s;

	if (out->is_set)
		return qc_output_set_precheck(path, model, out, force, err);
	if (!is_dir)
		return qc_writer_precheck(path, model, out->total_bytes, force, err);
	bare = without_slashes(path);
	if (!bare)
		return qc_no_memory(err);
	s = check_existing_dir(bare, model, force, err);
	/* the folder and its free space are those of any file in it: of one that cannot exist */
	if (!s && asprintf(&probe, "%.*s.%.*s.qconv-%ld-x.tmp", folder_len(bare), bare,
			   TEMP_NAME_BASE, qc_text_base_name(bare), (long)getpid()) >= 0) {
		s = qc_writer_precheck(probe, NULL, out->total_bytes, true, err);
		free(probe);
	} else if (!s) {
		s = qc_no_memory(err);
	}
	free(bare);
	return s;
}

static enum qc_status make_temp_dir(struct qc_output *output, struct qc_err *err)
{
	for (unsigned i = 0; i < MAX_TEMP_TRIES; i++) {
		free(output->temp_path);
		output->temp_path = NULL;
		if (asprintf(&output->temp_path, "%.*s.%.*s.qconv-%ld-%u.tmp",
			     folder_len(output->path), output->path, TEMP_NAME_BASE,
			     qc_text_base_name(output->path), (long)getpid(), i) < 0) {
			output->temp_path = NULL;
			return qc_no_memory(err);
		}
		if (!mkdir(output->temp_path, 0777))
			return QC_OK;
		if (errno != EEXIST)
			break;
	}
	(void)!qc_fail_errno(err, errno, "cannot create a temporary directory beside '%s'",
			     output->path);
	free(output->temp_path);
	output->temp_path = NULL;
	return err->status;
}

/* One more writer for a file of the directory. */
static enum qc_status open_in_dir(struct qc_output *output, const char *name, uint64_t bytes,
				  struct qc_err *err)
{
	char *path;
	enum qc_status s;

	if (asprintf(&path, "%s/%s", output->temp_path, name) < 0)
		return qc_no_memory(err);
	s = qc_writer_create(&output->writers[output->n], path, NULL, bytes, false, err);
	free(path);
	if (!s)
		output->n++;
	return s;
}

static enum qc_status create_files(struct qc_output *output, const struct qc_model *model,
				   const struct qc_out *out, struct qc_err *err)
{
	enum qc_status s;

	if (output->is_set)
		return qc_output_set_create(output, model, out, err);
	if (!output->is_dir) {
		s = qc_writer_create(&output->writers[0], output->path, model, out->total_bytes,
				     output->force, err);
		output->n = !s;
		return s;
	}
	s = make_temp_dir(output, err);
	for (size_t i = 0; !s && i < out->n_files; i++)
		s = open_in_dir(output, out->files[i].name, out->files[i].total_bytes, err);
	return s;
}

enum qc_status qc_output_create(struct qc_output *output, const char *path, bool is_dir,
				const struct qc_model *model, const struct qc_out *out, bool force,
				struct qc_err *err)
{
	enum qc_status s = qc_output_precheck(path, is_dir, model, out, force, err);

	memset(output, 0, sizeof(*output));
	if (s)
		return s;
	output->is_open = true;
	output->is_dir = is_dir;
	output->is_set = out->is_set;
	output->force = force;
	output->path = is_dir ? without_slashes(path) : strdup(path);
	output->writers = calloc(out->n_files + 2, sizeof(*output->writers)); /* and a manifest */
	s = output->path && output->writers ? create_files(output, model, out, err)
					    : qc_no_memory(err);
	if (s)
		qc_output_close(output);
	return s;
}

enum qc_status qc_output_write(const struct qc_output *output, size_t file, uint64_t offset,
			       const void *data, size_t size, struct qc_err *err)
{
	return qc_writer_write(&output->writers[file], offset, data, size, err);
}

enum qc_status qc_output_copy(const struct qc_output *output, size_t file,
			      const struct qc_file *from, struct qc_err *err)
{
	uint8_t *buffer = malloc(COPY_BYTES);
	enum qc_status s = buffer ? QC_OK : qc_no_memory(err);

	for (uint64_t at = 0; !s && at < from->size;) {
		uint64_t left = from->size - at;
		size_t n = left < COPY_BYTES ? (size_t)left : COPY_BYTES;

		s = qc_file_read(from, at, buffer, n, err);
		if (!s)
			s = qc_output_write(output, file, at, buffer, n, err);
		at += n;
	}
	free(buffer);
	return s ? s : qc_file_unchanged(from, err);
}

enum qc_status qc_output_add(struct qc_output *output, const char *name, const void *data,
			     size_t size, struct qc_err *err)
{
	enum qc_status s = open_in_dir(output, name, size, err);

	return s ? s : qc_output_write(output, output->n - 1, 0, data, size, err);
}

static enum qc_status sync_dir(const char *path, struct qc_err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed = fd < 0 ? errno : fsync(fd) ? errno : 0;

	if (fd >= 0)
		close(fd);
	return failed && failed != EINVAL ? qc_fail_errno(err, failed, "cannot sync '%s'", path)
					  : QC_OK;
}

/* All files in the directory, then itself; what cannot be removed stays under its hidden name. */
static void remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(path);
}

/* Exchange the new directory with what is there, then remove that; 0 or an errno. */
static int replace_dir(struct qc_output *output)
{
	char *aside;
	int failed = 0;

	if (!renameat2(AT_FDCWD, output->temp_path, AT_FDCWD, output->path, RENAME_EXCHANGE)) {
		remove_dir(output->temp_path);
		return 0;
	}
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return errno;
	/* a file system that cannot exchange: for a moment there is none under the name */
	if (asprintf(&aside, "%s.old", output->temp_path) < 0)
		return ENOMEM;
	if (rename(output->path, aside)) {
		failed = errno;
	} else if (rename(output->temp_path, output->path)) {
		failed = errno;
		(void)!rename(aside, output->path);
	} else {
		remove_dir(aside);
	}
	free(aside);
	return failed;
}

static enum qc_status rename_dir(struct qc_output *output, struct qc_err *err)
{
	struct stat st;
	int failed = 0;

	if (output->force && !lstat(output->path, &st)) {
		if (!S_ISDIR(st.st_mode) || check_replaceable(output->path, err))
			return S_ISDIR(st.st_mode)
				       ? err->status
				       : qc_fail(err, QC_REFUSED, "output '%s' is no directory",
						 output->path);
		failed = replace_dir(output);
	} else if (renameat2(AT_FDCWD, output->temp_path, AT_FDCWD, output->path,
			     RENAME_NOREPLACE)) {
		failed = errno;
		/* without the flag: a directory is never put over one that holds something */
		if (failed == EINVAL || failed == ENOSYS || failed == EOPNOTSUPP)
			failed = rename(output->temp_path, output->path) ? errno : 0;
	}
	if (failed == EEXIST || failed == ENOTEMPTY)
		return qc_fail(err, QC_REFUSED,
			       "output '%s' came into being meanwhile: --force replaces it",
			       output->path);
	if (failed)
		return qc_fail_errno(err, failed, "cannot rename the finished directory to '%s'",
				     output->path);
	free(output->temp_path);
	output->temp_path = NULL;
	return QC_OK;
}

enum qc_status qc_output_commit(struct qc_output *output, struct qc_err *err)
{
	enum qc_status s = QC_OK;
	char *folder;

	if (output->is_set)
		s = qc_output_set_commit(output, err);
	for (size_t i = 0; !s && !output->is_set && i < output->n; i++)
		s = qc_writer_commit(&output->writers[i], err);
	if (!s && output->is_dir) {
		s = sync_dir(output->temp_path, err);
		if (!s)
			s = rename_dir(output, err);
		folder = strndup(output->path, (size_t)folder_len(output->path));
		if (!s)
			s = folder ? sync_dir(*folder ? folder : ".", err) : qc_no_memory(err);
		free(folder);
	}
	qc_output_close(output);
	return s;
}

void qc_output_close(struct qc_output *output)
{
	if (!output->is_open)
		return;
	for (size_t i = 0; i < output->n; i++)
		qc_writer_close(&output->writers[i]);
	if (output->temp_path)
		remove_dir(output->temp_path);
	free(output->temp_path);
	free(output->path);
	free(output->writers);
	memset(output, 0, sizeof(*output));
}
