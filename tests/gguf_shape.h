/* GGUF models that have only what a test asks about: an architecture's numbers and matrices of a
 * few rows. */
#ifndef QC_TESTS_GGUF_SHAPE_H
#define QC_TESTS_GGUF_SHAPE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "quant/types.h"
#include "tests/gguf_build.h"

struct shape {
	const char *name, *arch;
	uint32_t layers, heads, kv_heads, experts;
	bool tied;
	uint32_t cols, rows;
	const char *parts; /* of a block */
};

struct shape_writer {
	struct build head;
	uint64_t n, offset;
	const struct shape *shape;
};

static inline void shape_put_tensor(struct shape_writer *w, const char *name, uint64_t cols)
{
	bool matrix = !strstr(name, "_norm"), experts = strstr(name, "_exps") != NULL;
	uint64_t dims[3] = {cols, w->shape->rows, w->shape->experts};
	uint64_t elems = cols * (matrix ? dims[1] : 1) * (experts ? dims[2] : 1);
	bool wide = !matrix || strstr(name, "_inp"); /* f32 */

	build_tensor(&w->head, name, experts ? 3 : matrix ? 2 : 1, dims, wide ? 0 : 1, w->offset);
	w->offset += (elems * (wide ? 4 : 2) + 31) / 32 * 32;
	w->n++;
}

static inline void shape_put_metadata(struct build *b, const struct shape *shape)
{
	static const char *const keys[] = {
		"block_count",	       "attention.head_count", "attention.head_count_kv",
		"expert_count",	       "expert_used_count",    "embedding_length",
		"feed_forward_length", "context_length"};
	static const char *const floats[] = {"attention.layer_norm_rms_epsilon",
					     "attention.layer_norm_epsilon"};
	const uint64_t values[] = {shape->layers,
				   shape->heads,
				   shape->kv_heads,
				   shape->experts,
				   shape->experts ? 2 : 0,
				   64 * shape->heads,
				   256,
				   128};
	char key[96];

	build_kv_string(b, "general.architecture", shape->arch);
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		snprintf(key, sizeof(key), "%s.%s", shape->arch, keys[i]);
		build_kv_uint(b, key, QC_KV_U32, values[i]);
	}
	for (size_t i = 0; i < sizeof(floats) / sizeof(*floats); i++) {
		snprintf(key, sizeof(key), "%s.%s", shape->arch, floats[i]);
		build_kv_uint(b, key, QC_KV_F32, 0x3727c5ac); /* 1e-5 */
	}
}

enum { SHAPE_KEYS = 11 };

static inline void shape_put_tensors(struct shape_writer *w, const struct shape *shape)
{
	char name[96];

	shape_put_tensor(w, "token_embd.weight", shape->cols);
	if (!shape->tied)
		shape_put_tensor(w, "output.weight", shape->cols);
	shape_put_tensor(w, "output_norm.weight", shape->cols);
	for (uint32_t i = 0; i < shape->layers; i++) {
		for (const char *part = shape->parts; *part; part += *part == ' ') {
			size_t len = strcspn(part, " ");

			snprintf(name, sizeof(name), "blk.%u.%.*s.weight", i, (int)len, part);
			/* some rows are whole blocks of 32 only */
			shape_put_tensor(w, name, shape->cols == 320 && i % 2 ? 512 : shape->cols);
			part += len;
		}
	}
}

/* Numbers of about a normal distribution, as f16; what is read as f32 is finite, too. */
static inline void shape_fill(int fd, uint64_t bytes)
{
	uint32_t state = 1;

	while (bytes) {
		float x[512];
		uint8_t halves[sizeof(x) / 2];
		size_t n = bytes < sizeof(halves) ? (size_t)bytes : sizeof(halves);

		for (size_t i = 0; i < sizeof(x) / sizeof(*x); i++) {
			x[i] = 0;
			for (int k = 0; k < 4; k++) {
				state = state * 1664525 + 1013904223;
				x[i] += (float)((int32_t)state >> 8) * 0x1p-29f;
			}
		}
		qc_f16.quantize(x, halves, 1, sizeof(x) / sizeof(*x), NULL);
		NEED(write(fd, halves, n) == (ssize_t)n, "cannot write");
		bytes -= n;
	}
}

/* Without `data` the tensors' bytes are a hole in the file. */
static inline void shape_write(const struct shape *shape, const char *path, bool data)
{
	struct shape_writer w = {.shape = shape};
	uint64_t n;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	shape_put_tensors(&w, shape);
	n = w.n;
	build_head(&w.head, QC_GGUF_VERSION, n, SHAPE_KEYS);
	shape_put_metadata(&w.head, shape);
	w.offset = 0;
	shape_put_tensors(&w, shape);
	build_align(&w.head, 32);
	NEED(fd >= 0 && write(fd, w.head.data, w.head.n) == (ssize_t)w.head.n, "cannot write %s",
	     path);
	if (data)
		shape_fill(fd, w.offset);
	NEED(!ftruncate(fd, (off_t)(w.head.n + w.offset)) && !close(fd), "cannot write %s", path);
	free(w.head.data);
}

#endif
