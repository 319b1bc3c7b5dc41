#include "convert/output_checks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "convert/writer.h"

/* What a Hugging Face directory is read from beside its tensors. */
static const char *const side_files[] = {
	"config.json",
	"model.safetensors.index.json",
	"tokenizer.json",
	"tokenizer.model",
	"tokenizer_config.json",
	"added_tokens.json",
	"special_tokens_map.json",
	"generation_config.json",
	"chat_template.jinja",
	NULL,
};

/* The folder of `path` (malloc) and where its last component begins. */
static char *folder_of(const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');

	*base = slash ? slash + 1 : path;
	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static bool same_file(const struct stat *st, uint64_t dev, uint64_t ino)
{
	return (uint64_t)st->st_dev == dev && (uint64_t)st->st_ino == ino;
}

static enum qc_status check_not_input(const char *path, const struct stat *st,
				      const struct qc_model *model, struct qc_err *err)
{
	int dir_fd;

	for (size_t i = 0; i < model->n_files; i++)
		if (same_file(st, model->files[i]->dev, model->files[i]->ino))
			return qc_fail(err, QC_REFUSED,
				       "output '%s' is the input file '%s': choose another name",
				       path, model->files[i]->path);
	if (!model->dir)
		return QC_OK;
	dir_fd = open(model->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0) /* the model was opened by its file; a folder that cannot be read holds
			   nothing we read */
		return QC_OK;
	for (const char *const *name = side_files; *name; name++) {
		struct stat side;

		if (fstatat(dir_fd, *name, &side, 0) ||
		    !same_file(st, (uint64_t)side.st_dev, (uint64_t)side.st_ino))
			continue;
		close(dir_fd);
		return qc_fail(err, QC_REFUSED,
			       "output '%s' is the input's '%s': choose another name", path, *name);
	}
	close(dir_fd);
	return QC_OK;
}

/* What is there under the final name already. */
static enum qc_status check_existing(int dir_fd, const char *base, const char *path,
				     const struct qc_model *model, bool force, struct qc_err *err)
{
	struct stat st, target;

	if (fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? QC_OK
				       : qc_fail_errno(err, errno, "cannot examine '%s'", path);
	if (model && !fstatat(dir_fd, base, &target, 0) &&
	    check_not_input(path, &target, model, err))
		return err->status;
	if (S_ISLNK(st.st_mode))
		return qc_fail(
			err, QC_REFUSED,
			"output '%s' is a symbolic link: name the file itself, or remove the link",
			path);
	if (!S_ISREG(st.st_mode))
		return qc_fail(err, QC_REFUSED, "output '%s' exists and is not a regular file",
			       path);
	if (!force)
		return qc_fail(err, QC_REFUSED, "output '%s' exists: --force replaces it", path);
	return QC_OK;
}

/* f_blocks is 0 where a file system does not count (some network and FUSE ones). */
static bool free_bytes(int fd, uint64_t *bytes)
{
	struct statvfs fs;

	if (fstatvfs(fd, &fs) || !fs.f_blocks)
		return false;
	return !__builtin_mul_overflow((uint64_t)fs.f_bavail, (uint64_t)fs.f_frsize, bytes);
}

bool qc_disk_free(const char *path, uint64_t *bytes)
{
	const char *base;
	char *folder = folder_of(path, &base);
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	bool known = fd >= 0 && free_bytes(fd, bytes);

	if (fd >= 0)
		close(fd);
	free(folder);
	return known;
}

static enum qc_status check_folder(int dir_fd, const char *folder, const char *path,
				   uint64_t total_bytes, struct qc_err *err)
{
	uint64_t room;

	if (faccessat(dir_fd, ".", W_OK | X_OK, AT_EACCESS))
		return qc_fail_errno(err, errno, "cannot write into folder '%s'", folder);
	if (free_bytes(dir_fd, &room) && room < total_bytes)
		return qc_fail(err, QC_IO,
			       "not enough room for '%s': %llu bytes are needed, %llu are free, "
			       "%llu are missing",
			       path, (unsigned long long)total_bytes, (unsigned long long)room,
			       (unsigned long long)(total_bytes - room));
	return QC_OK;
}

enum qc_status qc_output_open_folder(const char *path, const struct qc_model *model,
				     uint64_t total_bytes, bool force, int *dir_fd,
				     struct qc_err *err)
{
	const char *base;
	char *folder = folder_of(path, &base);
	enum qc_status s = QC_OK;

	*dir_fd = -1;
	if (!folder)
		return qc_no_memory(err);
	if (!*base || !strcmp(base, ".") || !strcmp(base, "..")) {
		s = qc_fail(err, QC_REFUSED, "output '%s' is a folder, not a file name", path);
	} else {
		*dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (*dir_fd < 0)
			s = qc_fail_errno(err, errno, "cannot open folder '%s' for output '%s'",
					  folder, path);
	}
	if (!s)
		s = check_existing(*dir_fd, base, path, model, force, err);
	if (!s)
		s = check_folder(*dir_fd, folder, path, total_bytes, err);
	if (s && *dir_fd >= 0) {
		close(*dir_fd);
		*dir_fd = -1;
	}
	free(folder);
	return s;
}

enum qc_status qc_output_is_not(const char *path, const char *input, struct qc_err *err)
{
	struct stat output, st;
	const char *base;
	char *folder;
	bool inside;

	if (!input || stat(path, &output) || stat(input, &st))
		return QC_OK;
	if (same_file(&output, (uint64_t)st.st_dev, (uint64_t)st.st_ino))
		return qc_fail(err, QC_REFUSED,
			       "output '%s' is the input file '%s': choose another name", path,
			       input);
	folder = folder_of(input, &base);
	if (!folder)
		return qc_no_memory(err);
	inside = !stat(folder, &st) && same_file(&output, (uint64_t)st.st_dev, (uint64_t)st.st_ino);
	free(folder);
	if (inside)
		return qc_fail(err, QC_REFUSED,
			       "output '%s' is the directory of the input file '%s': choose "
			       "another name",
			       path, input);
	return QC_OK;
}
