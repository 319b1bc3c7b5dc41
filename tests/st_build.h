/* A .safetensors file put together tensor by tensor, for tests. */
#ifndef QC_TESTS_ST_BUILD_H
#define QC_TESTS_ST_BUILD_H

#include "tests/st_files.h"

/* Zero-initialised is an empty file. */
struct st_build {
	char *header;
	uint8_t *data;
	size_t header_size, header_cap, size, cap;
};

static inline void *st_build_grow(void *list, size_t *cap, size_t need)
{
	if (need <= *cap)
		return list;
	while (*cap < need)
		*cap = *cap ? *cap * 2 : 4096;
	list = realloc(list, *cap);
	NEED(list, "no memory");
	return list;
}

/* `shape` is JSON: "[3,5]". The bytes are copied; NULL: zeros. */
static inline void st_add(struct st_build *b, const char *name, const char *dtype,
			  const char *shape, const void *bytes, size_t size)
{
	size_t room = strlen(name) + strlen(shape) + 160;

	b->header = st_build_grow(b->header, &b->header_cap, b->header_size + room);
	b->header_size += (size_t)snprintf(
		b->header + b->header_size, room,
		"%c\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
		b->header_size ? ',' : '{', name, dtype, shape, b->size, b->size + size);
	b->data = st_build_grow(b->data, &b->cap, b->size + size + 1);
	if (bytes)
		memcpy(b->data + b->size, bytes, size);
	else
		memset(b->data + b->size, 0, size);
	b->size += size;
}

/* A vector of f32. */
static inline void st_add_f32(struct st_build *b, const char *name, const float *values, size_t n)
{
	uint8_t *bytes = malloc(4 * n + 1);
	char shape[32];

	NEED(bytes, "no memory");
	for (size_t i = 0; i < n; i++)
		qc_put_le32(bytes + 4 * i, qc_f32_bits(values[i]));
	snprintf(shape, sizeof(shape), "[%zu]", n);
	st_add(b, name, "F32", shape, bytes, 4 * n);
	free(bytes);
}

/* A vector of bytes. */
static inline void st_add_u8(struct st_build *b, const char *name, const void *bytes, size_t n)
{
	char shape[32];

	snprintf(shape, sizeof(shape), "[%zu]", n);
	st_add(b, name, "U8", shape, bytes, n);
}

/* Write the file into the test's folder; the builder is empty again. */
static inline const char *st_save(struct st_build *b, const char *file)
{
	const char *path;

	b->header = st_build_grow(b->header, &b->header_cap, b->header_size + 3);
	strcpy(b->header + b->header_size, b->header_size ? "}" : "{}");
	path = st_file(file, b->header, b->data, b->size);
	free(b->header);
	free(b->data);
	*b = (struct st_build){0};
	return path;
}

/* Rows [row, row + n) of a tensor as floats (malloc), with exactly the scratch that the source asks
 * for. */
static inline float *st_rows(const struct qc_tensor *tensor, uint64_t row, uint64_t n)
{
	const struct qc_source *source = tensor->source;
	size_t size = qc_source_scratch(source, n);
	struct qc_scratch scratch = {.base = aligned_alloc(64, qc_scratch_need(size + 1)),
				     .size = size};
	float *values = malloc((size_t)(n * source->cols) * sizeof(float) + 1);
	struct qc_err err = {0};

	NEED(values && scratch.base, "no memory");
	CHECK(!qc_source_read_f32(source, row, n, values, &scratch, &err), "%s: %s", tensor->name,
	      err.text);
	CHECK(!scratch.used, "%s: %zu bytes of scratch were kept", tensor->name, scratch.used);
	free(scratch.base);
	return values;
}

/* A tensor by its stored name; the test stops without it. */
static inline const struct qc_tensor *st_tensor(const struct qc_model *model, const char *name)
{
	for (size_t i = 0; i < model->n_tensors; i++)
		if (!strcmp(model->tensors[i].stored_name, name))
			return &model->tensors[i];
	NEED(false, "%s has no tensor '%s'", model->path, name);
	return NULL;
}

#endif
