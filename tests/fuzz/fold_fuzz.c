/*
 * Weights that are spread over several tensors, in a .safetensors file of any bytes. What is
 * accepted must be readable to its last row, or refused with a message; blocks and floats must be
 * refused together.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/fold.h"
#include "formats/format.h"
#include "formats/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct qc_format qc_format_safetensors;

static void read_weight(const struct qc_tensor *tensor)
{
	const struct qc_source *source = tensor->source;
	const uint64_t n = source->rows, half = n / 2;
	struct qc_scratch scratch = {.size = qc_source_scratch(source, n)};
	struct qc_err err = {0};
	float *values = malloc(n * source->cols * sizeof(float) + 1);
	uint8_t *raw = malloc(n * source->cols * 8 + 1);
	enum qc_status s;

	scratch.base = aligned_alloc(64, qc_scratch_need(scratch.size + 1));
	if (values && raw && scratch.base) {
		s = qc_source_read_f32(source, 0, n, values, &scratch, &err);
		if (s && !err.text[0])
			abort();
		if (source->ops->read_raw &&
		    !!s != !!qc_source_read_raw(source, 0, n, raw, &scratch, &err))
			abort();
		if (!s && (qc_source_read_f32(source, half, n - half, values, &scratch, &err) ||
			   qc_source_read_f32(source, 0, half, values, &scratch, &err)))
			abort();
		if (scratch.used)
			abort();
	}
	free(values);
	free(raw);
	free(scratch.base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fold", 0);
	struct qc_model model;
	struct qc_err err = {0};
	char path[64];

	if (fd < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (write(fd, data, size) == (ssize_t)size &&
	    !qc_model_open_as(&model, &qc_format_safetensors, path, &err)) {
		for (size_t i = 0; i < model.n_tensors; i++)
			if (model.tensors[i].encoding)
				read_weight(&model.tensors[i]);
		qc_model_close(&model);
	}
	close(fd);
	return 0;
}
