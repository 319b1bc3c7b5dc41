#include "calib/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"

/* A file without a name, also where the file system cannot make one (O_TMPFILE). */
static int open_unnamed(const char *dir)
{
	static const char name[] = "/qconv-XXXXXX";
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *path;

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	path = malloc(strlen(dir) + sizeof(name));
	if (!path)
		return -1;
	strcpy(path, dir);
	strcat(path, name);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	free(path);
	return fd;
}

enum qc_status qc_spill_open(struct qc_spill *spill, const char *dir, uint64_t bytes,
			     struct qc_err *err)
{
	int why;

	if (!dir)
		dir = getenv("TMPDIR");
	if (!dir || !*dir)
		dir = "/var/tmp";
	memset(spill, 0, sizeof(*spill));
	if (bytes > INT64_MAX)
		return qc_no_memory(err);
	spill->fd = open_unnamed(dir);
	if (spill->fd < 0)
		return qc_fail(err, QC_IO, "cannot create a temporary file in '%.160s': %s", dir,
			       strerror(errno));
	spill->is_open = true;
	spill->size = bytes;
	why = bytes ? posix_fallocate(spill->fd, 0, (off_t)bytes) : 0;
	if (!why)
		return QC_OK;
	qc_spill_close(spill);
	return qc_fail(err, QC_IO,
		       "cannot reserve %llu bytes for activations in '%.100s': %s; $TMPDIR names "
		       "another folder, --mem-limit allows more memory",
		       (unsigned long long)bytes, dir, strerror(why));
}

void qc_spill_close(struct qc_spill *spill)
{
	if (spill->is_open)
		close(spill->fd);
	memset(spill, 0, sizeof(*spill));
}

enum qc_status qc_rows_make(struct qc_rows *rows, uint64_t n, uint64_t cols,
			    const struct qc_spill *spill, uint64_t *offset, struct qc_err *err)
{
	uint64_t bytes;

	memset(rows, 0, sizeof(*rows));
	if (!qc_mul(n, cols, &bytes) || !qc_mul(bytes, sizeof(float), &bytes) || bytes > SIZE_MAX)
		return qc_no_memory(err);
	rows->n = n;
	rows->cols = cols;
	if (spill) {
		rows->spill = spill;
		rows->offset = *offset;
		*offset += bytes;
		return QC_OK;
	}
	rows->data = malloc(bytes ? bytes : 1);
	return rows->data ? QC_OK : qc_no_memory(err);
}

void qc_rows_clear(struct qc_rows *rows)
{
	free(rows->data);
	memset(rows, 0, sizeof(*rows));
}

float *qc_rows_place(const struct qc_rows *rows, uint64_t first, float *buffer)
{
	return rows->data ? rows->data + first * rows->cols : buffer;
}

static off_t file_offset(const struct qc_rows *rows, uint64_t first)
{
	return (off_t)(rows->offset + first * rows->cols * sizeof(float));
}

enum qc_status qc_rows_read(const struct qc_rows *rows, uint64_t first, uint64_t n, float *buffer,
			    float **at, struct qc_err *err)
{
	size_t left = n * rows->cols * sizeof(float);
	off_t offset = file_offset(rows, first);
	char *dst = (char *)buffer;

	*at = qc_rows_place(rows, first, buffer);
	while (!rows->data && left) {
		const ssize_t got = pread(rows->spill->fd, dst, left, offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return qc_fail(err, QC_IO, "reading activations: %s",
				       got ? strerror(errno) : "the temporary file is too short");
		dst += got;
		offset += got;
		left -= (size_t)got;
	}
	return QC_OK;
}

enum qc_status qc_rows_write(const struct qc_rows *rows, uint64_t first, uint64_t n,
			     const float *at, struct qc_err *err)
{
	size_t left = n * rows->cols * sizeof(float);
	off_t offset = file_offset(rows, first);
	const char *src = (const char *)at;

	while (!rows->data && left) {
		const ssize_t put = pwrite(rows->spill->fd, src, left, offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return qc_fail(err, QC_IO, "writing activations: %s",
				       put ? strerror(errno) : "nothing was written");
		src += put;
		offset += put;
		left -= (size_t)put;
	}
	return QC_OK;
}
