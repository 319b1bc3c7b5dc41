/* Hand-made .safetensors files in a temporary folder, for tests. */
#ifndef QC_TESTS_ST_FILES_H
#define QC_TESTS_ST_FILES_H

#include <dirent.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "formats/model.h"
#include "tests/test.h"

/* Where the running test's files lie; st_begin() makes it, st_end() removes it with all files in
 * it. */
static char st_dir[4096];

static inline void st_begin(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(st_dir, sizeof(st_dir), "%s/qconv-test-XXXXXX", base && *base ? base : "/tmp");
	NEED(mkdtemp(st_dir), "cannot make %s", st_dir);
}

/* A path in the folder; valid until the eighth call after it. */
static inline const char *st_path(const char *name)
{
	static char paths[8][4608];
	static unsigned turn;
	char *path = paths[turn++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", st_dir, name);
	return path;
}

/* Remove a folder in the test's own, with all files in it. */
static inline void st_remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[9000];

	while (dir && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		unlink(name);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

static inline void st_end(void)
{
	DIR *dir = opendir(st_dir);
	struct dirent *entry;

	NEED(dir, "cannot list %s", st_dir);
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
		    unlink(st_path(entry->d_name)))
			st_remove_dir(st_path(entry->d_name));
	closedir(dir);
	rmdir(st_dir);
}

/* How many files lie in the test's folder, hidden ones too. */
static inline int st_count(void)
{
	DIR *dir = opendir(st_dir);
	struct dirent *entry;
	int n = 0;

	NEED(dir, "cannot list %s", st_dir);
	while ((entry = readdir(dir)))
		n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(dir);
	return n;
}

static inline const char *st_write(const char *name, const void *data, size_t size)
{
	const char *path = st_path(name);
	FILE *f = fopen(path, "wb");

	NEED(f && fwrite(data, 1, size, f) == size && !fclose(f), "cannot write %s", path);
	return path;
}

static inline const char *st_text(const char *name, const char *text)
{
	return st_write(name, text, strlen(text));
}

/* A whole file: the header's length, `header`, and `size` bytes of data. */
static inline const char *st_file(const char *name, const char *header, const void *data,
				  size_t size)
{
	size_t n = strlen(header);
	uint8_t *bytes = malloc(8 + n + size);
	const char *path;

	NEED(bytes, "no memory");
	qc_put_le64(bytes, n);
	memcpy(bytes + 8, header, n);
	if (size)
		memcpy(bytes + 8 + n, data, size);
	path = st_write(name, bytes, 8 + n + size);
	free(bytes);
	return path;
}

static inline void st_same_files(const char *a, const char *b)
{
	size_t n, m;
	char *x = test_load(a, &n), *y = test_load(b, &m);

	CHECK(n == m && !memcmp(x, y, n), "%s and %s differ", a, b);
	free(x);
	free(y);
}

/* Open with the format that recognises the path. */
static inline bool st_opens(struct qc_model *model, const char *path)
{
	struct qc_err err = {0};
	enum qc_status s = qc_model_open(model, path, &err);

	CHECK(!s, "%s: refused: %s", path, err.text);
	return !s;
}

/* It must be refused, with `part` in the message. */
static inline void st_refused(const char *path, const char *part)
{
	struct qc_model model;
	struct qc_err err = {0};
	enum qc_status s = qc_model_open(&model, path, &err);

	CHECK(s, "%s: accepted, expected '%s'", path, part);
	CHECK(!s || strstr(err.text, part), "%s: expected '%s' in '%s'", path, part, err.text);
	qc_model_close(&model);
}

/* Read a tensor's stored bytes, `*size` of them (malloc). */
static inline uint8_t *st_raw(const struct qc_tensor *tensor, size_t *size)
{
	const struct qc_source *source = tensor->source;
	size_t scratch_size = qc_source_scratch(source, source->rows);
	struct qc_scratch scratch = {.base = aligned_alloc(64, scratch_size + 64),
				     .size = scratch_size};
	struct qc_err err = {0};
	uint8_t *bytes;

	*size = (size_t)qc_tensor_stored_bytes(tensor);
	bytes = malloc(*size + 1);
	NEED(bytes && scratch.base, "no memory");
	CHECK(!qc_source_read_raw(source, 0, source->rows, bytes, &scratch, &err), "%s: %s",
	      tensor->name, err.text);
	free(scratch.base);
	return bytes;
}

#endif
