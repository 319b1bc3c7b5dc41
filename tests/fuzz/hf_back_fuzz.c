/* Any bytes as a GGUF that becomes a Hugging Face checkpoint: what is not refused has tensors that
 * can be read, and a config.json. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
	const uint64_t elems = qc_tensor_elems(tensor);
	float *values = malloc(elems ? elems * sizeof(*values) : 1);
	struct qc_err err = {0};

	scratch.base = aligned_alloc(64, (scratch.size + 127) & ~(size_t)63);
	need(elems == source->rows * source->cols);
	if (values && scratch.base && source->type->dequantize)
		need(!qc_source_read_f32(source, 0, source->rows, values, &scratch, &err));
	free(values);
	free(scratch.base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qc_model model;
	struct qc_err err;
	char path[64];
	int fd = memfd_create("gguf", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!qc_model_open_as(&model, &qc_format_gguf, path, &err)) {
		if (!qc_model_set_layout(&model, QC_LAYOUT_HF, &err) && model.arch) {
			need(model.layout == QC_LAYOUT_HF && model.n_sides >= 2);
			need(!strcmp(model.sides[0].name, "config.json"));
			for (size_t i = 0; i < model.n_tensors; i++)
				read_tensor(&model.tensors[i]);
		}
		qc_model_close(&model);
	}
	close(fd);
	return 0;
}
