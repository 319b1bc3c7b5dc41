#include "convert/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "convert/output_checks.h"

/* A temporary name holds this many bytes of the output's, to stay below NAME_MAX. */
#define TEMP_NAME_BASE 200
#define MAX_TEMP_TRIES 1000
#define MAX_PWRITE     (1u << 30)
/* Less makes more requests than a disk's time is worth. */
#define WRITE_OUT_BYTES (16u << 20)

enum qc_status qc_writer_precheck(const char *path, const struct qc_model *model,
				  uint64_t total_bytes, bool force, struct qc_err *err)
{
	int dir_fd;
	enum qc_status s = qc_output_open_folder(path, model, total_bytes, force, &dir_fd, err);

	if (!s)
		close(dir_fd);
	return s;
}

/* O_EXCL: whatever another run, alive or killed, has left is not touched. */
static enum qc_status open_temp(struct qc_writer *writer, struct qc_err *err)
{
	const char *base = qc_text_base_name(writer->path);
	char name[TEMP_NAME_BASE + 48];

	for (unsigned i = 0; i < MAX_TEMP_TRIES; i++) {
		snprintf(name, sizeof(name), ".%.*s.qconv-%ld-%u.tmp", TEMP_NAME_BASE, base,
			 (long)getpid(), i);
		writer->fd = openat(writer->dir_fd, name,
				    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
		if (writer->fd >= 0) {
			writer->temp_name = strdup(name);
			if (writer->temp_name)
				return QC_OK;
			unlinkat(writer->dir_fd, name, 0);
			return qc_no_memory(err);
		}
		if (errno != EEXIST && errno != EINTR)
			break;
	}
	return qc_fail_errno(err, errno, "cannot create a temporary file beside '%s'",
			     writer->path);
}

static enum qc_status missing(const struct qc_writer *writer, uint64_t offset, int error,
			      struct qc_err *err)
{
	return qc_fail_errno(err, error, "cannot write '%s': %llu of %llu bytes are missing",
			     writer->path, (unsigned long long)(writer->total_bytes - offset),
			     (unsigned long long)writer->total_bytes);
}

/* The size first, then real blocks for it, so that a full disk shows before any work. fallocate()
 * and not posix_fallocate(), which would write the whole file where the file system cannot
 * allocate. */
static enum qc_status set_size(const struct qc_writer *writer, struct qc_err *err)
{
	int failed;

	if (writer->total_bytes > INT64_MAX)
		return missing(writer, 0, EFBIG, err);
	do
		failed = ftruncate(writer->fd, (off_t)writer->total_bytes) ? errno : 0;
	while (failed == EINTR);
	if (!failed && writer->total_bytes) {
		do
			failed =
				fallocate(writer->fd, 0, 0, (off_t)writer->total_bytes) ? errno : 0;
		while (failed == EINTR);
		if (failed == EOPNOTSUPP || failed == ENOSYS || failed == EINVAL)
			failed = 0;
	}
	return failed ? missing(writer, 0, failed, err) : QC_OK;
}

enum qc_status qc_writer_create(struct qc_writer *writer, const char *path,
				const struct qc_model *model, uint64_t total_bytes, bool force,
				struct qc_err *err)
{
	enum qc_status s;

	memset(writer, 0, sizeof(*writer));
	writer->fd = -1;
	s = qc_output_open_folder(path, model, total_bytes, force, &writer->dir_fd, err);
	if (s)
		return s;
	writer->is_open = true;
	writer->force = force;
	writer->total_bytes = total_bytes;
	writer->path = strdup(path);
	s = writer->path ? open_temp(writer, err) : qc_no_memory(err);
	if (!s)
		s = set_size(writer, err);
	if (s)
		qc_writer_close(writer);
	return s;
}

/* The disk starts on each stretch of the file when its end is written, and not at the final sync,
 * for which every thread would wait. Advice: an error shows at the sync. */
static void start_writing_out(const struct qc_writer *writer, uint64_t offset, uint64_t size)
{
	uint64_t first = offset / WRITE_OUT_BYTES, end = (offset + size) / WRITE_OUT_BYTES;

	if (end > first)
		(void)sync_file_range(writer->fd, (off_t)(first * WRITE_OUT_BYTES),
				      (off_t)((end - first) * WRITE_OUT_BYTES),
				      SYNC_FILE_RANGE_WRITE);
}

enum qc_status qc_writer_write(const struct qc_writer *writer, uint64_t offset, const void *data,
			       size_t size, struct qc_err *err)
{
	const uint8_t *from = data;
	const uint64_t start = offset;

	while (size) {
		size_t most = size < MAX_PWRITE ? size : MAX_PWRITE;
		ssize_t n = pwrite(writer->fd, from, most, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return missing(writer, offset, n ? errno : EIO, err);
		from += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	start_writing_out(writer, start, offset - start);
	return QC_OK;
}

enum qc_status qc_writer_sync(const struct qc_writer *writer, struct qc_err *err)
{
	struct stat st;
	int failed;

	do
		failed = fsync(writer->fd) ? errno : 0;
	while (failed == EINTR);
	if (failed) /* its pages may be gone: trying again would say yes to lost data */
		return qc_fail_errno(err, failed, "cannot sync '%s'", writer->path);
	if (fstat(writer->fd, &st))
		return qc_fail_errno(err, errno, "cannot examine '%s'", writer->path);
	if ((uint64_t)st.st_size != writer->total_bytes)
		return qc_fail(err, QC_IO, "'%s' has %llu bytes after writing, not %llu",
			       writer->path, (unsigned long long)st.st_size,
			       (unsigned long long)writer->total_bytes);
	return QC_OK;
}

enum qc_status qc_writer_read(const struct qc_writer *writer, uint64_t offset, void *data,
			      size_t size, struct qc_err *err)
{
	uint8_t *to = data;

	while (size) {
		ssize_t n = pread(writer->fd, to, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return qc_fail_errno(err, n ? errno : EIO,
					     "cannot read back '%s' at byte %llu", writer->path,
					     (unsigned long long)offset);
		to += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return QC_OK;
}

/* Give the temporary file its final name without replacing another; 0 or an errno. */
static int rename_new(const struct qc_writer *writer, const char *base)
{
	if (!renameat2(writer->dir_fd, writer->temp_name, writer->dir_fd, base, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return errno;
	/* a file system without the flag: a hard link never replaces either */
	if (linkat(writer->dir_fd, writer->temp_name, writer->dir_fd, base, 0))
		return errno;
	return unlinkat(writer->dir_fd, writer->temp_name, 0) ? errno : 0;
}

enum qc_status qc_writer_commit(struct qc_writer *writer, struct qc_err *err)
{
	const char *base = qc_text_base_name(writer->path);
	enum qc_status s = qc_writer_sync(writer, err);
	int fd = writer->fd, failed;

	if (s)
		return s;
	writer->fd = -1;
	if (close(fd))
		return qc_fail_errno(err, errno, "cannot close '%s'", writer->path);
	if (writer->force)
		failed = renameat(writer->dir_fd, writer->temp_name, writer->dir_fd, base) ? errno
											   : 0;
	else
		failed = rename_new(writer, base);
	if (failed == EEXIST)
		return qc_fail(err, QC_REFUSED,
			       "output '%s' came into being meanwhile: --force replaces it",
			       writer->path);
	if (failed)
		return qc_fail_errno(err, failed, "cannot rename the finished file to '%s'",
				     writer->path);
	free(writer->temp_name);
	writer->temp_name = NULL;
	if (fsync(writer->dir_fd) && errno != EINVAL)
		s = qc_fail_errno(err, errno, "'%s' is written, but its folder cannot be synced",
				  writer->path);
	qc_writer_close(writer);
	return s;
}

void qc_writer_close(struct qc_writer *writer)
{
	if (!writer->is_open)
		return;
	if (writer->fd >= 0)
		close(writer->fd);
	if (writer->temp_name)
		unlinkat(writer->dir_fd, writer->temp_name, 0);
	close(writer->dir_fd);
	free(writer->temp_name);
	free(writer->path);
	memset(writer, 0, sizeof(*writer));
}
