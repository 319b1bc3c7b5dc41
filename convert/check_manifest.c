#include "convert/check_manifest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "convert/manifest.h"

#define READ_BYTES (1u << 20)

enum qc_status qc_hash_file(const struct qc_file *file, const struct qconv_options *options,
			    struct qc_digest128 *digest, struct qc_err *err)
{
	struct qconv_progress progress = {.phase = "hash", .bytes_total = file->size};
	struct qc_hasher *hasher = qc_hasher_new();
	uint8_t *buffer = malloc(READ_BYTES);
	enum qc_status s = hasher && buffer ? QC_OK : qc_no_memory(err);

	for (uint64_t at = 0; !s && at < file->size;) {
		uint64_t left = file->size - at, n = left < READ_BYTES ? left : READ_BYTES;

		if (options->stop && *options->stop)
			s = qc_fail(err, QC_INTERRUPTED, "interrupted");
		else
			s = qc_file_read(file, at, buffer, (size_t)n, err);
		if (s)
			break;
		qc_hasher_add(hasher, buffer, (size_t)n);
		at += n;
		progress.bytes_done = at;
		if (options->progress)
			options->progress(&progress, options->user);
	}
	if (!s)
		*digest = qc_hasher_digest(hasher);
	free(buffer);
	qc_hasher_free(hasher);
	return s;
}

/* One verification of hashes. */
struct check {
	struct qc_check_report *report;
	const struct qconv_options *options;
	struct qc_err *err;
};

/* XXH3-128 of one tensor's stored bytes, for telling which one of a changed file it is. */
static enum qc_status hash_extent(const struct qc_file *file, uint64_t offset, uint64_t bytes,
				  char hex[33], struct qc_err *err)
{
	struct qc_hasher *hasher = qc_hasher_new();
	uint8_t *buffer = malloc(READ_BYTES);
	enum qc_status s = hasher && buffer ? QC_OK : qc_no_memory(err);

	while (!s && bytes) {
		size_t n = bytes < READ_BYTES ? (size_t)bytes : READ_BYTES;

		s = qc_file_read(file, offset, buffer, n, err);
		if (!s)
			qc_hasher_add(hasher, buffer, n);
		offset += n;
		bytes -= n;
	}
	if (!s)
		qc_digest128_hex(qc_hasher_digest(hasher), hex);
	free(buffer);
	qc_hasher_free(hasher);
	return s;
}

/* A file is not the manifest's: the first of its tensors that is not, or else what lies around
 * them. */
static enum qc_status find_difference(struct check *c, const struct qc_manifest *manifest,
				      const struct qc_manifest_entry *wanted,
				      const struct qc_file *file)
{
	struct qc_arena *arena = &c->report->arena;
	const char *text = NULL;

	if (file->size != wanted->bytes)
		text = qc_arena_printf(arena, "the file has %llu bytes, the manifest says %llu",
				       (unsigned long long)file->size,
				       (unsigned long long)wanted->bytes);
	for (size_t i = 0; !text && i < manifest->n_tensors; i++) {
		const struct qc_manifest_entry *entry = &manifest->tensors[i];
		char hex[33];

		if (manifest->n_files && (!entry->file || strcmp(entry->file, wanted->name)))
			continue;
		if (entry->offset > file->size || entry->bytes > file->size - entry->offset)
			return qc_fail(c->err, QC_BAD_INPUT,
				       "manifest: tensor '%s' lies outside the file", entry->name);
		if (hash_extent(file, entry->offset, entry->bytes, hex, c->err))
			return c->err->status;
		if (strcmp(hex, entry->xxh3_128))
			text = qc_arena_printf(arena, "tensor '%s' is not what was written",
					       entry->name);
	}
	if (!text)
		text = qc_arena_printf(arena,
				       "header, metadata or padding is not what was written");
	if (text && manifest->n_files)
		text = qc_arena_printf(arena, "'%s': %s", wanted->name, text);
	c->report->first_difference = text;
	return text ? QC_OK : qc_no_memory(c->err);
}

static enum qc_status check_file(struct check *c, const struct qc_manifest *manifest,
				 const struct qc_manifest_entry *wanted, const char *path)
{
	struct qc_file file = {0};
	struct qc_digest128 digest;
	char hex[33];
	enum qc_status s = qc_file_open(&file, path, c->err);

	if (!s)
		s = qc_hash_file(&file, c->options, &digest, c->err);
	if (!s) {
		qc_digest128_hex(digest, hex);
		if (file.size != wanted->bytes || strcmp(hex, wanted->xxh3_128)) {
			c->report->hashes = QC_HASH_DIFFERENT;
			s = find_difference(c, manifest, wanted, &file);
		}
	}
	qc_file_close(&file);
	return s;
}

static enum qc_status check_hashes(struct check *c, const struct qc_manifest *manifest,
				   const char *path)
{
	const char *slash = strrchr(path, '/');
	struct stat st;
	const bool is_dir = !stat(path, &st) && S_ISDIR(st.st_mode);
	const int folder = is_dir ? (int)strlen(path) : slash ? (int)(slash + 1 - path) : 0;
	enum qc_status s = QC_OK;

	c->report->hashes = QC_HASH_EQUAL;
	if (!manifest->n_files)
		return check_file(c, manifest, &manifest->file, path);
	for (size_t i = 0; !s && i < manifest->n_files && c->report->hashes == QC_HASH_EQUAL; i++) {
		char *name;

		/* a directory's, or beside the file of a set */
		if (asprintf(&name, "%.*s%s%s", folder, path, is_dir ? "/" : "",
			     manifest->files[i].name) < 0)
			return qc_no_memory(c->err);
		s = check_file(c, manifest, &manifest->files[i], name);
		free(name);
	}
	return s;
}

enum qc_status qc_check_manifest(struct qc_check_report *report, const char *path,
				 const struct qconv_options *options, struct qc_err *err)
{
	struct check check = {report, options, err}, *c = &check;
	char *manifest_path = qc_manifest_path(path);
	struct qc_manifest manifest;
	struct stat st;
	enum qc_status s;

	if (!manifest_path)
		return qc_no_memory(c->err);
	if (stat(manifest_path, &st) && errno == ENOENT) {
		free(manifest_path);
		return QC_OK;
	}
	s = qc_manifest_read(&manifest, manifest_path, c->err);
	if (!s) {
		s = check_hashes(c, &manifest, path);
		qc_manifest_clear(&manifest);
	}
	free(manifest_path);
	return s;
}
