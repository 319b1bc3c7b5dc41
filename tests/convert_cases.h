/* What the tests of whole conversions share. */
#ifndef QC_TESTS_CONVERT_CASES_H
#define QC_TESTS_CONVERT_CASES_H

#include "convert/manifest.h"
#include "convert/qconv.h"
#include "tests/st_files.h"

#define GEMMA "samples/tiny-gemma3"
#define LLAMA "tests/data/models/tiny-llama"

/* Convert and expect `code` with `part` in the text, and neither output nor temporary file. */
static inline void fails(const char *input, const struct qconv_options *options, int code,
			 const char *part)
{
	struct qconv_error error = {0};
	int got = qconv_convert(input, st_path("refused.gguf"), options, NULL, &error);
	DIR *dir = opendir(st_dir);
	struct dirent *entry;

	CHECK(got == code && error.code == code && strstr(error.text, part),
	      "%s: %d '%s', expected %d '%s'", input, got, error.text, code, part);
	while ((entry = readdir(dir)))
		CHECK(!strstr(entry->d_name, "refused"), "%s: '%s' is left behind", input,
		      entry->d_name);
	closedir(dir);
}

static inline struct qc_manifest manifest_of(const char *name)
{
	struct qc_manifest manifest;
	struct qc_err err = {0};
	char *path = qc_manifest_path(st_path(name));

	NEED(path && !qc_manifest_read(&manifest, path, &err), "%s", err.text);
	free(path);
	return manifest;
}

static inline const struct qc_manifest_entry *entry_of(const struct qc_manifest *manifest,
						       const char *name)
{
	for (size_t i = 0; i < manifest->n_tensors; i++)
		if (!strcmp(manifest->tensors[i].name, name))
			return &manifest->tensors[i];
	return NULL;
}

/* A safetensors file with one f32 tensor "w.weight" of rows x cols small numbers, and the given
 * values at given places. */
static inline const char *matrix(const char *name, size_t rows, size_t cols, const size_t *at,
				 const float *values, size_t n)
{
	char header[256];
	uint8_t *data = malloc(rows * cols * 4);
	const char *path;

	NEED(data, "no memory");
	for (size_t i = 0; i < rows * cols; i++)
		qc_put_le32(data + 4 * i, qc_f32_bits((float)(i % 251) / 256 - 0.5f));
	for (size_t i = 0; i < n; i++)
		qc_put_le32(data + 4 * at[i], qc_f32_bits(values[i]));
	snprintf(header, sizeof(header),
		 "{\"w.weight\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%zu]}}",
		 rows, cols, rows * cols * 4);
	path = st_file(name, header, data, rows * cols * 4);
	free(data);
	return path;
}

#endif
