/* Builds GGUF files byte by byte, right or wrong, for tests of the reader. */
#ifndef QC_TESTS_GGUF_BUILD_H
#define QC_TESTS_GGUF_BUILD_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "formats/gguf.h"
#include "tests/test.h"

struct build {
	uint8_t *data;
	size_t n, cap;
	bool big_endian;
};

static inline void build_bytes(struct build *b, const void *data, size_t size)
{
	if (b->n + size > b->cap) {
		b->cap = 2 * (b->n + size) + 256;
		b->data = realloc(b->data, b->cap);
		NEED(b->data, "no memory");
	}
	if (size)
		memcpy(b->data + b->n, data, size);
	b->n += size;
}

/* The low `size` bytes of `value` in the file's byte order. */
static inline void build_uint(struct build *b, uint64_t value, unsigned size)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < size; i++)
		bytes[b->big_endian ? size - 1 - i : i] = (uint8_t)(value >> 8 * i);
	build_bytes(b, bytes, size);
}

static inline void build_string(struct build *b, const char *text, size_t len)
{
	build_uint(b, len, 8);
	build_bytes(b, text, len);
}

static inline void build_head(struct build *b, uint32_t version, uint64_t n_tensors, uint64_t n_kvs)
{
	b->n = 0;
	build_bytes(b, "GGUF", 4);
	build_uint(b, version, 4);
	build_uint(b, n_tensors, 8);
	build_uint(b, n_kvs, 8);
}

static inline void build_kv(struct build *b, const char *key, enum qc_kv_type type)
{
	build_string(b, key, strlen(key));
	build_uint(b, type, 4);
}

static inline void build_kv_uint(struct build *b, const char *key, enum qc_kv_type type,
				 uint64_t value)
{
	build_kv(b, key, type);
	build_uint(b, value, (unsigned)qc_kv_type_bytes(type));
}

static inline void build_kv_string(struct build *b, const char *key, const char *text)
{
	build_kv(b, key, QC_KV_STRING);
	build_string(b, text, strlen(text));
}

static inline void build_kv_array(struct build *b, const char *key, enum qc_kv_type elem,
				  uint64_t n)
{
	build_kv(b, key, QC_KV_ARRAY);
	build_uint(b, elem, 4);
	build_uint(b, n, 8);
}

static inline void build_tensor(struct build *b, const char *name, uint32_t n_dims,
				const uint64_t *dims, uint32_t type, uint64_t offset)
{
	build_string(b, name, strlen(name));
	build_uint(b, n_dims, 4);
	for (uint32_t i = 0; i < n_dims; i++)
		build_uint(b, dims[i], 8);
	build_uint(b, type, 4);
	build_uint(b, offset, 8);
}

static inline void build_align(struct build *b, size_t alignment)
{
	while (b->n % alignment)
		build_bytes(b, "", 1);
}

/* Open `size` bytes as a GGUF file. */
static inline enum qc_status open_bytes(struct qc_model *model, const void *data, size_t size,
					struct qc_err *err)
{
	char path[64];
	enum qc_status s;
	int fd = memfd_create("gguf", MFD_CLOEXEC);

	NEED(fd >= 0, "no memfd");
	NEED(write(fd, data, size) == (ssize_t)size, "cannot write the memfd");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	s = qc_model_open_as(model, &qc_format_gguf, path, err);
	close(fd);
	return s;
}

static inline enum qc_status build_open(const struct build *b, struct qc_model *model,
					struct qc_err *err)
{
	return open_bytes(model, b->data, b->n, err);
}

/* The whole tensor's bytes as stored in a little-endian file (malloc). */
static inline uint8_t *tensor_bytes(const struct qc_tensor *tensor)
{
	struct qc_scratch scratch = {0};
	struct qc_err err = {0};
	uint64_t size = qc_tensor_stored_bytes(tensor);
	uint8_t *data = malloc(size + 1);

	NEED(data, "no memory");
	scratch.size = qc_source_scratch(tensor->source, tensor->source->rows);
	scratch.base = aligned_alloc(64, scratch.size + 64);
	NEED(scratch.base, "no memory");
	if (qc_source_read_raw(tensor->source, 0, tensor->source->rows, data, &scratch, &err))
		FAIL_AT("'%s': %s", tensor->name, err.text);
	free(scratch.base);
	return data;
}

/* The whole tensor's values (malloc). */
static inline float *tensor_values(const struct qc_tensor *tensor)
{
	struct qc_scratch scratch = {0};
	struct qc_err err = {0};
	float *data = malloc((qc_tensor_elems(tensor) + 1) * sizeof(float));

	NEED(data, "no memory");
	scratch.size = qc_source_scratch(tensor->source, tensor->source->rows);
	scratch.base = aligned_alloc(64, scratch.size + 64);
	NEED(scratch.base, "no memory");
	if (qc_source_read_f32(tensor->source, 0, tensor->source->rows, data, &scratch, &err))
		FAIL_AT("'%s': %s", tensor->name, err.text);
	free(scratch.base);
	return data;
}

/* Lay the model's tensors and metadata out as a new GGUF file; free(out->header) and free the list.
 */
static inline struct qc_out_tensor *layout_again(const struct qc_model *model,
						 struct qc_out_file *out)
{
	struct qc_err err = {0};
	struct qc_out_tensor *tensors = calloc(model->n_tensors + 1, sizeof(*tensors));

	NEED(tensors, "no memory");
	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *t = &model->tensors[i];

		tensors[i] = (struct qc_out_tensor){.name = t->stored_name,
						    .n_dims = t->n_dims,
						    .dims = t->dims,
						    .type = t->source->type,
						    .bytes = qc_tensor_stored_bytes(t)};
	}
	NEED(!qc_gguf_layout(tensors, model->n_tensors, &model->meta, out, &err), "%s", err.text);
	return tensors;
}

#endif
