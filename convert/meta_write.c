/* Changing a GGUF file's metadata: getting it onto the disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "convert/manifest.h"
#include "convert/meta_edit.h"
#include "convert/writer.h"

/* FILE.qconv-undo: this, a hash in hexadecimal (undo_hash()), the old header. */
#define UNDO_MAGIC	"qconv-undo 2\n"
#define UNDO_HEAD_BYTES (sizeof(UNDO_MAGIC) - 1 + 32)
#define COPY_BYTES	(1u << 20)
#define MAX_COPY_RANGE	(1u << 28) /* between two looks at the stop flag */

static char *undo_path(const char *path)
{
	char *out;

	return asprintf(&out, "%s.qconv-undo", path) < 0 ? NULL : out;
}

/* XXH3-128 of a header and of the file that it belongs to: its size, and data behind the header,
 * which an edit in place does not touch. */
static enum qc_status undo_hash(const struct qc_file *file, const uint8_t *header, size_t size,
				char hex[33], struct qc_err *err)
{
	const uint64_t left = file->size > size ? file->size - size : 0;
	const size_t n = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
	struct qc_hasher *hasher = qc_hasher_new();
	uint8_t *data = malloc(n + 1), total[8];
	enum qc_status s =
		hasher && data ? qc_file_read(file, size, data, n, err) : qc_no_memory(err);

	if (!s) {
		qc_put_le64(total, file->size);
		qc_hasher_add(hasher, header, size);
		qc_hasher_add(hasher, total, sizeof(total));
		qc_hasher_add(hasher, data, n);
		qc_digest128_hex(qc_hasher_digest(hasher), hex);
	}
	qc_hasher_free(hasher);
	free(data);
	return s;
}

/* Copy [from, from + bytes) of the file to `to` of the writer by read and write. */
static enum qc_status copy_by_buffer(const struct qc_file *file, uint64_t from,
				     const struct qc_writer *writer, uint64_t to, uint64_t bytes,
				     const struct qconv_options *options, struct qc_err *err)
{
	uint8_t *buffer = malloc(COPY_BYTES);
	enum qc_status s = buffer ? QC_OK : qc_no_memory(err);

	while (!s && bytes) {
		size_t n = bytes < COPY_BYTES ? (size_t)bytes : COPY_BYTES;

		if (options->stop && *options->stop)
			s = qc_fail(err, QC_INTERRUPTED, "interrupted");
		if (!s)
			s = qc_file_read(file, from, buffer, n, err);
		if (!s)
			s = qc_writer_write(writer, to, buffer, n, err);
		from += n;
		to += n;
		bytes -= n;
	}
	free(buffer);
	return s;
}

/* The same by the kernel as far as it can; what it leaves goes through the buffer. */
static enum qc_status copy_range(const struct qc_file *file, uint64_t from,
				 const struct qc_writer *writer, uint64_t to, uint64_t bytes,
				 const struct qconv_options *options, struct qc_err *err)
{
	while (bytes) {
		off_t in = (off_t)from, out = (off_t)to;
		ssize_t n =
			copy_file_range(file->fd, &in, writer->fd, &out,
					bytes < MAX_COPY_RANGE ? (size_t)bytes : MAX_COPY_RANGE, 0);

		if (options->stop && *options->stop)
			return qc_fail(err, QC_INTERRUPTED, "interrupted");
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		from += (uint64_t)n;
		to += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	return copy_by_buffer(file, from, writer, to, bytes, options, err);
}

/* What stands in the new file must be the header and the old file's data. */
static enum qc_status compare(const struct qc_gguf_header *header, const uint8_t *bytes,
			      size_t size, const struct qc_writer *writer, struct qc_err *err)
{
	uint8_t *a = malloc(COPY_BYTES), *b = malloc(COPY_BYTES);
	enum qc_status s = a && b ? QC_OK : qc_no_memory(err);

	for (uint64_t at = 0; !s && at < writer->total_bytes;) {
		const uint64_t end = at < size ? size : writer->total_bytes, left = end - at;
		const size_t n = left < COPY_BYTES ? (size_t)left : COPY_BYTES;

		s = qc_writer_read(writer, at, a, n, err);
		if (!s && at >= size)
			s = qc_file_read(&header->file, header->data_start + (at - size), b, n,
					 err);
		if (!s && memcmp(a, at < size ? bytes + at : b, n))
			s = qc_fail(err, QC_IO,
				    "'%s' reads back other bytes than were written: disk or memory "
				    "is faulty",
				    writer->path);
		at += n;
	}
	free(a);
	free(b);
	return s;
}

/* A file of ours that is no longer true; one that is not ours stays. */
static enum qc_status remove_manifest(const char *path, bool *removed, struct qc_err *err)
{
	char *manifest_path = qc_manifest_path(path);
	struct qc_manifest manifest;
	struct qc_err ignored;
	enum qc_status s = QC_OK;

	if (!manifest_path)
		return qc_no_memory(err);
	if (!qc_manifest_read(&manifest, manifest_path, &ignored)) {
		qc_manifest_clear(&manifest);
		if (unlink(manifest_path))
			s = qc_fail_errno(err, errno, "cannot remove '%s'", manifest_path);
		*removed = !s;
	}
	free(manifest_path);
	return s;
}

static enum qc_status rewrite(const struct qc_gguf_header *header, const uint8_t *bytes,
			      size_t size, const struct qconv_options *options,
			      struct qc_meta_outcome *outcome, struct qc_err *err)
{
	const struct qc_file *file = &header->file;
	const uint64_t data = file->size - header->data_start;
	struct qc_writer writer = {0};
	struct stat st;
	enum qc_status s;

	s = qc_writer_create(&writer, file->path, NULL, size + data, true, err);
	if (s)
		return s;
	if (!fstat(file->fd, &st) && fchmod(writer.fd, st.st_mode & 07777))
		s = qc_fail_errno(err, errno, "cannot give '%s' its permissions", file->path);
	if (!s)
		s = qc_writer_write(&writer, 0, bytes, size, err);
	if (!s)
		s = copy_range(file, header->data_start, &writer, size, data, options, err);
	if (!s)
		s = qc_writer_sync(&writer, err);
	if (!s)
		s = compare(header, bytes, size, &writer, err);
	if (!s)
		s = qc_file_unchanged(file, err);
	if (!s) /* before the rename: no manifest ever stands beside a file that it is not of */
		s = remove_manifest(file->path, &outcome->manifest_removed, err);
	if (!s)
		s = qc_writer_commit(&writer, err);
	qc_writer_close(&writer);
	return s;
}

static enum qc_status write_undo(const char *path, const struct qc_file *file, const uint8_t *old,
				 size_t size, struct qc_err *err)
{
	struct qc_writer writer = {0};
	char hex[33];
	enum qc_status s = undo_hash(file, old, size, hex, err);

	if (!s)
		s = qc_writer_create(&writer, path, NULL, UNDO_HEAD_BYTES + size, false, err);
	if (!s)
		s = qc_writer_write(&writer, 0, UNDO_MAGIC, sizeof(UNDO_MAGIC) - 1, err);
	if (!s)
		s = qc_writer_write(&writer, sizeof(UNDO_MAGIC) - 1, hex, 32, err);
	if (!s)
		s = qc_writer_write(&writer, UNDO_HEAD_BYTES, old, size, err);
	if (!s)
		s = qc_writer_commit(&writer, err);
	qc_writer_close(&writer);
	return s;
}

/* The first bytes of a file, written, synced and read back. */
static enum qc_status overwrite(const char *path, const uint8_t *bytes, size_t size,
				struct qc_err *err)
{
	/* a writer's loops on a file that is there already */
	struct qc_writer writer = {.total_bytes = size, .path = strdup(path)};
	uint8_t *again = malloc(size);
	enum qc_status s = writer.path && again ? QC_OK : qc_no_memory(err);

	writer.fd = s ? -1 : open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (!s && writer.fd < 0)
		s = qc_fail_errno(err, errno, "cannot write '%s'", path);
	if (!s)
		s = qc_writer_write(&writer, 0, bytes, size, err);
	if (!s && fsync(writer.fd))
		s = qc_fail_errno(err, errno, "cannot sync '%s'", path);
	if (!s)
		s = qc_writer_read(&writer, 0, again, size, err);
	if (!s && memcmp(bytes, again, size))
		s = qc_fail(err, QC_IO, "'%s' reads back other bytes than were written", path);
	if (writer.fd >= 0)
		close(writer.fd);
	free(again);
	free(writer.path);
	return s;
}

static enum qc_status write_in_place(const struct qc_gguf_header *header, const uint8_t *bytes,
				     size_t size, struct qc_meta_outcome *outcome,
				     struct qc_err *err)
{
	const char *path = header->file.path;
	char *undo;
	uint8_t *old;
	enum qc_status s;

	if (size != header->data_start)
		return qc_fail(err, QC_REFUSED,
			       "'%s': the new header has %zu bytes, the old one %llu: it does not "
			       "fit in place; without --in-place the file is rewritten",
			       path, size, (unsigned long long)header->data_start);
	undo = undo_path(path);
	old = malloc(size);
	s = undo && old ? qc_file_read(&header->file, 0, old, size, err) : qc_no_memory(err);
	if (!s)
		s = remove_manifest(path, &outcome->manifest_removed, err);
	if (!s)
		s = write_undo(undo, &header->file, old, size, err);
	if (!s)
		s = overwrite(path, bytes, size, err);
	if (!s && unlink(undo))
		s = qc_fail_errno(err, errno, "cannot remove '%s'", undo);
	free(old);
	free(undo);
	return s;
}

enum qc_status qc_meta_edit_write(const struct qc_gguf_header *header,
				  const struct qc_meta_edits *edits,
				  const struct qconv_options *options,
				  struct qc_meta_outcome *outcome, struct qc_err *err)
{
	uint8_t *bytes = NULL, *old = NULL;
	size_t size = 0;
	enum qc_status s = qc_gguf_header_build(header, &bytes, &size, err);

	if (s)
		return s;
	if (size == header->data_start) {
		old = malloc(size);
		s = old ? qc_file_read(&header->file, 0, old, size, err) : qc_no_memory(err);
		outcome->unchanged = !s && !memcmp(old, bytes, size);
		free(old);
	}
	if (!s && !outcome->unchanged)
		s = edits->in_place ? write_in_place(header, bytes, size, outcome, err)
				    : rewrite(header, bytes, size, options, outcome, err);
	free(bytes);
	return s;
}

bool qc_meta_edit_interrupted(const char *path)
{
	char *undo = undo_path(path);
	struct stat st;
	const bool there = undo && !lstat(undo, &st);

	free(undo);
	return there;
}

/* What stands in an undo file back into the file that it is of. */
static enum qc_status restore(const char *path, const char *undo, struct qc_err *err)
{
	struct qc_file file = {0};
	char *text = NULL, hex[33];
	const uint8_t *header;
	size_t size = 0;
	enum qc_status s = qc_file_load(undo, UINT32_MAX, &text, &size, err);

	if (!s && (size < UNDO_HEAD_BYTES || memcmp(text, UNDO_MAGIC, sizeof(UNDO_MAGIC) - 1)))
		s = qc_fail(err, QC_BAD_INPUT, "'%s' is not an undo file of qconv", undo);
	if (!s)
		s = qc_file_open(&file, path, err);
	header = (const uint8_t *)text + UNDO_HEAD_BYTES;
	if (!s)
		s = undo_hash(&file, header, size - UNDO_HEAD_BYTES, hex, err);
	if (!s && memcmp(hex, text + sizeof(UNDO_MAGIC) - 1, 32))
		s = qc_fail(err, QC_BAD_INPUT,
			    "'%s' is damaged, or of another file than '%s' is now: look at both, "
			    "then remove it",
			    undo, path);
	if (!s)
		s = overwrite(path, header, size - UNDO_HEAD_BYTES, err);
	if (!s && unlink(undo))
		s = qc_fail_errno(err, errno, "cannot remove '%s'", undo);
	qc_file_close(&file);
	free(text);
	return s;
}

enum qc_status qc_meta_edit_recover(const char *path, bool *restored, struct qc_err *err)
{
	char *undo = undo_path(path);
	enum qc_status s = undo ? QC_OK : qc_no_memory(err);

	*restored = false;
	if (!s && qc_meta_edit_interrupted(path)) {
		s = restore(path, undo, err);
		*restored = !s;
	}
	free(undo);
	return s;
}
