/* Input files: regular, opened read-only, read by pread at explicit offsets, watched for change. */
#ifndef QC_BASE_FILE_H
#define QC_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

/* A zeroed struct is a closed file (is_open false). */
struct qc_file {
	bool is_open;
	int fd;
	char *path; /* owned */
	uint64_t size;
	/* identity and state at opening, to recognise output = input and an input that changes
	 * under us */
	uint64_t dev, ino;
	int64_t mtime_sec, mtime_nsec;
};

/* Open `path` for reading. QC_IO with errno's text; QC_BAD_INPUT when it is not a regular file
 * (FIFO, device, directory: refused without blocking). Symbolic links are followed. */
QC_MUST_CHECK
enum qc_status qc_file_open(struct qc_file *file, const char *path, struct qc_err *err);

/* The same for `name`, a plain file name inside the open directory `dir_fd`; `path` is what
 * messages call it. */
QC_MUST_CHECK
enum qc_status qc_file_open_at(struct qc_file *file, int dir_fd, const char *name, const char *path,
			       struct qc_err *err);

/* Read exactly `size` bytes at `offset`. The caller has checked the range against file->size, so
 * hitting the end means the file shrank: QC_IO "changed while it was read". */
QC_MUST_CHECK
enum qc_status qc_file_read(const struct qc_file *file, uint64_t offset, void *dst, size_t size,
			    struct qc_err *err);

/* QC_IO unless size, modification time and identity are still those of the opening. */
QC_MUST_CHECK
enum qc_status qc_file_unchanged(const struct qc_file *file, struct qc_err *err);

void qc_file_close(struct qc_file *file);

/* A whole small file in memory (malloc), NUL-terminated behind its `*size` bytes. QC_BAD_INPUT when
 * it is longer than `max_size`. */
QC_MUST_CHECK
enum qc_status qc_file_load(const char *path, uint64_t max_size, char **data, size_t *size,
			    struct qc_err *err);

/* What the first bytes of a file look like when they are not what was expected: "a Git LFS pointer
 * (run 'git lfs pull')", "an HTML page", "a zip archive", "gzip data", "a PyTorch pickle", "all
 * zero bytes", "empty" ...; NULL when nothing is recognised. */
const char *qc_file_looks_like(const void *head, size_t size);

#endif
