/*
 * The writer: a complete, synced file under the final name, or nothing.
 *
 * A temporary file beside the target (".NAME.qconv-PID-N.tmp", O_EXCL), pwrite at planned offsets,
 * fsync, read back, rename, fsync of the folder. A signal handler may only set a flag: the job loop
 * stops and the file goes by qc_writer_close(). What a killed run leaves behind is hidden by its
 * name and never taken up again.
 */
#ifndef QC_CONVERT_WRITER_H
#define QC_CONVERT_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/hash.h"
#include "convert/qconv.h"
#include "formats/model.h"

/* A zeroed struct is a closed writer. */
struct qc_writer {
	bool is_open;
	bool force;
	int fd, dir_fd;
	char *path;	 /* final */
	char *temp_name; /* inside the folder of path */
	uint64_t total_bytes;
};

/* Before any work: refuse (QC_REFUSED) an existing output without `force`, an output that is one of
 * the model's files or side files (device + inode: hard links, shards) or anything but a regular
 * file (a symbolic link too: replacing the link or what it names would be a guess); fail with QC_IO
 * on a folder that is missing or not writable, or a disk with less than total_bytes free (saying
 * both numbers). `model` may be NULL. Makes no file. */
QC_MUST_CHECK
enum qc_status qc_writer_precheck(const char *path, const struct qc_model *model,
				  uint64_t total_bytes, bool force, struct qc_err *err);

/* The same checks, then the temporary file, sized to total_bytes (holes read as zero). */
QC_MUST_CHECK
enum qc_status qc_writer_create(struct qc_writer *writer, const char *path,
				const struct qc_model *model, uint64_t total_bytes, bool force,
				struct qc_err *err);

/* Write at an offset, from any thread; loops over short writes and EINTR; names path, errno and
 * bytes missing on failure. */
QC_MUST_CHECK
enum qc_status qc_writer_write(const struct qc_writer *writer, uint64_t offset, const void *data,
			       size_t size, struct qc_err *err);

/* Read exactly `size` bytes of what has been written. */
QC_MUST_CHECK
enum qc_status qc_writer_read(const struct qc_writer *writer, uint64_t offset, void *data,
			      size_t size, struct qc_err *err);

/* fsync, and the size must be the planned one. */
QC_MUST_CHECK
enum qc_status qc_writer_sync(const struct qc_writer *writer, struct qc_err *err);

/* fsync, check the size, rename (without replacing unless force), fsync the folder. */
QC_MUST_CHECK
enum qc_status qc_writer_commit(struct qc_writer *writer, struct qc_err *err);

/* Without a commit removes the temporary file. Always safe. */
void qc_writer_close(struct qc_writer *writer);

/* Free bytes for an unprivileged writer on the file system that would hold `path`; false when it
 * cannot be told. */
bool qc_disk_free(const char *path, uint64_t *bytes);

#endif
