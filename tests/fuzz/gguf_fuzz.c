/*
 * The GGUF reader on any bytes. What it accepts must hold together: every tensor can be read, and
 * laying the model out again gives the header that was read (where that was in the writer's own
 * form).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "formats/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(int condition)
{
	if (!condition)
		abort();
}

static void read_tensor(const struct qc_tensor *tensor)
{
	const struct qc_source *source = tensor->source;
	struct qc_scratch scratch = {.size = qc_source_scratch(source, source->rows)};
	struct qc_err err = {0};
	uint64_t bytes = qc_tensor_stored_bytes(tensor), elems = qc_tensor_elems(tensor);
	void *raw = malloc(bytes ? bytes : 1);
	float *values = malloc(elems ? elems * sizeof(float) : 1);

	scratch.base = aligned_alloc(64, scratch.size + 64);
	if (raw && values && scratch.base) {
		need(!qc_source_read_raw(source, 0, source->rows, raw, &scratch, &err));
		if (source->type->dequantize)
			need(!qc_source_read_f32(source, 0, source->rows, values, &scratch, &err));
	}
	free(raw);
	free(values);
	free(scratch.base);
}

/* Whether the file has the form that the writer gives: version 3, little-endian, no key taken away
 * and no scale folded on reading, no scalars and no trailing dimensions of 1. */
static int is_canonical(const struct qc_model *model, const uint8_t *data)
{
	if (qc_le32(data + 4) != QC_GGUF_VERSION || qc_le64(data + 8) != model->n_tensors ||
	    qc_le64(data + 16) != model->meta.n)
		return 0;
	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *t = &model->tensors[i];

		if (!t->n_dims || (t->n_dims > 1 && t->dims[t->n_dims - 1] == 1))
			return 0;
	}
	return 1;
}

static void write_again(const struct qc_model *model, const uint8_t *data, size_t size)
{
	struct qc_out_tensor *tensors = calloc(model->n_tensors + 1, sizeof(*tensors));
	struct qc_out_file out = {0};
	struct qc_err err = {0};
	size_t n;

	if (!tensors)
		return;
	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *t = &model->tensors[i];

		tensors[i] = (struct qc_out_tensor){.name = t->stored_name,
						    .n_dims = t->n_dims,
						    .dims = t->dims,
						    .type = t->source->type,
						    .bytes = qc_tensor_stored_bytes(t)};
	}
	need(!qc_gguf_layout(tensors, model->n_tensors, &model->meta, &out, &err));
	n = out.header_bytes;
	while (n && !out.header[n - 1]) /* padding, which may be anything in the input */
		n--;
	if (is_canonical(model, data))
		need(n <= size && !memcmp(out.header, data, n));
	free(out.header);
	free(tensors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qc_model model;
	struct qc_err err = {0};
	char path[64];
	int fd = memfd_create("gguf", MFD_CLOEXEC);

	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (!qc_model_open_as(&model, &qc_format_gguf, path, &err)) {
			for (size_t i = 0; i < model.n_tensors; i++)
				read_tensor(&model.tensors[i]);
			write_again(&model, data, size);
		} else {
			need(err.status && err.text[0]);
		}
		qc_model_close(&model);
	}
	close(fd);
	return 0;
}
