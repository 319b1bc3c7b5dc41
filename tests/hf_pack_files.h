/* Checkpoints to pack and the tensors of what comes out, for tests. */
#ifndef QC_TESTS_HF_PACK_FILES_H
#define QC_TESTS_HF_PACK_FILES_H

#include "base/bytes.h"
#include "formats/safetensors.h"
#include "tests/test.h"

#define GEMMA	"samples/tiny-gemma3"
#define GPT_OSS "tests/data/models/tiny-gpt-oss"

/* A .safetensors file in memory. */
struct file {
	struct qc_arena arena;
	struct qc_safetensors_header header;
	char *data;
	const uint8_t *tensors;
};

static inline void file_open(struct file *file, const char *path)
{
	struct qc_err err = {0};
	size_t size, n;

	memset(file, 0, sizeof(*file));
	file->data = test_load(path, &size);
	n = (size_t)qc_le64(file->data);
	NEED(!qc_safetensors_parse(&file->header, file->data + 8, n, size - 8 - n, &file->arena,
				   &err),
	     "%s: %s", path, err.text);
	file->tensors = (const uint8_t *)file->data + 8 + n;
}

static inline void file_close(struct file *file)
{
	free(file->data);
	qc_arena_clear(&file->arena);
}

static inline const struct qc_safetensors_entry *entry_of(const struct file *file, const char *name)
{
	for (size_t i = 0; i < file->header.n; i++)
		if (!strcmp(file->header.entries[i].name, name))
			return &file->header.entries[i];
	return NULL;
}

/* The tensor has this type, these dimensions (transformers' order, -1 behind the last) and bytes.
 */
static inline void holds(const struct file *file, const char *name, const struct qc_qtype *type,
			 const int64_t *dims, const void *bytes, size_t size)
{
	const struct qc_safetensors_entry *e = entry_of(file, name);
	uint32_t n = 0;

	NEED(e, "there is no '%s'", name);
	while (dims[n] >= 0)
		n++;
	CHECK(e->type == type && e->n_dims == n, "'%s' is %s of %u dimensions, not %s of %u", name,
	      e->type->name, e->n_dims, type->name, n);
	for (uint32_t i = 0; i < n && i < e->n_dims; i++)
		CHECK(e->dims[n - 1 - i] == (uint64_t)dims[i], "'%s': dimension %u is %llu", name,
		      i, (unsigned long long)e->dims[n - 1 - i]);
	CHECK(e->end - e->begin == size && !memcmp(file->tensors + e->begin, bytes, size),
	      "'%s': other bytes (%llu, expected %zu)", name,
	      (unsigned long long)(e->end - e->begin), size);
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__, -1})
#define SCALAR	  ((const int64_t[]){-1})

#endif
