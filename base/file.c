/* Input files by pread: no shared position, so any thread may read, and a file that shrinks is an
 * error, not SIGBUS. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux moves at most this many bytes in one call and other systems fail above INT_MAX. */
#define MAX_PREAD ((size_t)0x7ffff000)

_Static_assert(sizeof(off_t) == 8, "compile with -D_FILE_OFFSET_BITS=64");

static const char *mode_name(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a pipe";
	if (S_ISCHR(mode) || S_ISBLK(mode))
		return "a device";
	if (S_ISSOCK(mode))
		return "a socket";
	return "something else";
}

static enum qc_status file_open(struct qc_file *file, int dir_fd, const char *name,
				const char *path, struct qc_err *err)
{
	enum qc_status s = QC_OK;
	struct stat st;
	char *copy;
	int fd;

	/* O_NONBLOCK: opening a FIFO without a writer returns at once; regular files ignore it */
	do
		fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return qc_fail_errno(err, errno, "cannot open '%s'", path);
	copy = strdup(path);
	if (!copy)
		s = qc_no_memory(err);
	else if (fstat(fd, &st))
		s = qc_fail_errno(err, errno, "cannot examine '%s'", path);
	else if (!S_ISREG(st.st_mode))
		s = qc_fail(err, QC_BAD_INPUT, "'%s' is %s, not a regular file", path,
			    mode_name(st.st_mode));
	if (s) {
		free(copy);
		close(fd);
		return s;
	}
	*file = (struct qc_file){
		.is_open = true,
		.fd = fd,
		.path = copy,
		.size = (uint64_t)st.st_size,
		.dev = (uint64_t)st.st_dev,
		.ino = (uint64_t)st.st_ino,
		.mtime_sec = st.st_mtim.tv_sec,
		.mtime_nsec = st.st_mtim.tv_nsec,
	};
	return QC_OK;
}

enum qc_status qc_file_open(struct qc_file *file, const char *path, struct qc_err *err)
{
	return file_open(file, AT_FDCWD, path, path, err);
}

enum qc_status qc_file_open_at(struct qc_file *file, int dir_fd, const char *name, const char *path,
			       struct qc_err *err)
{
	if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return qc_fail(err, QC_BAD_INPUT, "'%s' is not a plain file name", name);
	return file_open(file, dir_fd, name, path, err);
}

enum qc_status qc_file_read(const struct qc_file *file, uint64_t offset, void *dst, size_t size,
			    struct qc_err *err)
{
	uint8_t *to = dst;

	if (offset > INT64_MAX || size > INT64_MAX - offset)
		return qc_fail(err, QC_IO, "cannot read '%s': offset %llu is out of range",
			       file->path, (unsigned long long)offset);
	while (size) {
		ssize_t n = pread(file->fd, to, size < MAX_PREAD ? size : MAX_PREAD, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return qc_fail_errno(err, errno, "cannot read '%s' at offset %llu",
					     file->path, (unsigned long long)offset);
		if (!n)
			return qc_fail(
				err, QC_IO,
				"'%s' changed while it was read: it ends at byte %llu now, of %llu",
				file->path, (unsigned long long)offset,
				(unsigned long long)file->size);
		to += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return QC_OK;
}

enum qc_status qc_file_unchanged(const struct qc_file *file, struct qc_err *err)
{
	struct stat st;

	if (fstat(file->fd, &st))
		return qc_fail_errno(err, errno, "cannot examine '%s'", file->path);
	if ((uint64_t)st.st_size != file->size)
		return qc_fail(
			err, QC_IO, "'%s' changed while it was read: %llu bytes at first, %llu now",
			file->path, (unsigned long long)file->size, (unsigned long long)st.st_size);
	if (st.st_mtim.tv_sec != file->mtime_sec || st.st_mtim.tv_nsec != file->mtime_nsec ||
	    (uint64_t)st.st_dev != file->dev || (uint64_t)st.st_ino != file->ino)
		return qc_fail(err, QC_IO, "'%s' changed while it was read", file->path);
	return QC_OK;
}

void qc_file_close(struct qc_file *file)
{
	if (file->is_open)
		close(file->fd); /* nothing was written: nothing to lose */
	free(file->path);
	*file = (struct qc_file){0};
}

static enum qc_status file_load_all(const struct qc_file *file, uint64_t max_size, char **data,
				    struct qc_err *err)
{
	enum qc_status s;
	char *bytes;

	if (file->size > max_size || file->size > SIZE_MAX - 1)
		return qc_fail(err, QC_BAD_INPUT, "'%s' has %llu bytes, at most %llu are allowed",
			       file->path, (unsigned long long)file->size,
			       (unsigned long long)max_size);
	bytes = malloc((size_t)file->size + 1);
	if (!bytes)
		return qc_no_memory(err);
	s = qc_file_read(file, 0, bytes, (size_t)file->size, err);
	if (!s)
		s = qc_file_unchanged(file, err);
	if (s) {
		free(bytes);
		return s;
	}
	bytes[file->size] = 0;
	*data = bytes;
	return QC_OK;
}

enum qc_status qc_file_load(const char *path, uint64_t max_size, char **data, size_t *size,
			    struct qc_err *err)
{
	struct qc_file file = {0};
	enum qc_status s = qc_file_open(&file, path, err);

	if (!s)
		s = file_load_all(&file, max_size, data, err);
	if (!s)
		*size = (size_t)file.size;
	qc_file_close(&file);
	return s;
}
