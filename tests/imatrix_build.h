/* An imatrix of made-up weights for every matrix of a model, for tests: in memory as libllama takes
 * it, and as a file of the legacy form. */
#ifndef QC_TESTS_IMATRIX_BUILD_H
#define QC_TESTS_IMATRIX_BUILD_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "formats/model.h"
#include "tests/llama_client.h"
#include "tests/test.h"

/* Of every weight with two dimensions or more; the last entry is zeros. Lives in the arena. */
static inline struct llama_model_imatrix_data *imatrix_make(const struct qc_model *model,
							    struct qc_arena *arena)
{
	struct llama_model_imatrix_data *all =
		qc_arena_array(arena, model->n_tensors + 1, sizeof(*all));
	uint32_t state = 1;
	size_t n = 0;

	NEED(all, "no memory");
	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *t = &model->tensors[i];
		size_t size;
		float *values;

		if (t->n_dims < 2)
			continue;
		size = (size_t)(t->dims[0] * (t->n_dims > 2 ? t->dims[2] : 1));
		values = qc_arena_array(arena, size, sizeof(*values));
		NEED(values, "no memory");
		for (size_t k = 0; k < size; k++) {
			state = state * 1664525 + 1013904223;
			values[k] = (float)(1 + (state >> 20)) / 1024; /* 0.001 .. 4 */
		}
		all[n].name = qc_arena_copy(arena, t->name, strlen(t->name));
		all[n].data = values;
		all[n].size = size;
		NEED(all[n++].name, "no memory");
	}
	return all;
}

static inline void imatrix_put_i32(FILE *f, size_t value)
{
	uint8_t bytes[4];

	qc_put_le32(bytes, (uint32_t)value);
	fwrite(bytes, 1, sizeof(bytes), f);
}

static inline void imatrix_save(const struct llama_model_imatrix_data *all, const char *path)
{
	FILE *f = fopen(path, "wb");
	size_t n = 0;

	NEED(f, "cannot write %s", path);
	while (all[n].name)
		n++;
	imatrix_put_i32(f, n);
	for (size_t i = 0; i < n; i++) {
		imatrix_put_i32(f, strlen(all[i].name));
		fputs(all[i].name, f);
		imatrix_put_i32(f, 1); /* calls */
		imatrix_put_i32(f, all[i].size);
		for (size_t k = 0; k < all[i].size; k++) {
			uint32_t bits;

			memcpy(&bits, &all[i].data[k], sizeof(bits));
			imatrix_put_i32(f, bits);
		}
	}
	NEED(!fclose(f), "cannot write %s", path);
}

/* The file for all matrices of a model. */
static inline void imatrix_save_for(const char *input, const char *path)
{
	struct qc_model model = {0};
	struct qc_arena arena = {0};
	struct qc_err err = {0};

	NEED(!qc_model_open(&model, input, &err), "%s", err.text);
	imatrix_save(imatrix_make(&model, &arena), path);
	qc_arena_clear(&arena);
	qc_model_close(&model);
}

#endif
