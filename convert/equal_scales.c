#include "convert/equal_scales.h"

#include <stdlib.h>
#include <string.h>

#include "convert/encode.h"

/* All factors of a source (malloc). */
static enum qc_status read_factors(const struct qc_source *source, float **values,
				   struct qc_err *err)
{
	struct qc_scratch scratch = {.size = qc_source_scratch(source, source->rows)};
	enum qc_status s;

	scratch.base = qc_aligned_buffer(scratch.size);
	*values = calloc(source->rows * source->cols + 1, sizeof(**values));
	s = scratch.base && *values
		    ? qc_source_read_f32(source, 0, source->rows, *values, &scratch, err)
		    : qc_no_memory(err);
	free(scratch.base);
	return s;
}

enum qc_status qc_equal_scales_read(struct qc_equal_scales *scales, const struct qc_tensor *a,
				    const struct qc_tensor *b, struct qc_err *err)
{
	float *others = NULL;
	uint64_t n;
	enum qc_status s;

	*scales = (struct qc_equal_scales){0};
	if (!b || !a->scale || !b->scale || a->source->type != b->source->type ||
	    !a->source->ops->read_raw || !b->source->ops->read_raw ||
	    !a->source->type->dequantize || a->source->cols != b->source->cols)
		return QC_OK;
	n = a->scale->rows * a->scale->cols;
	if (n != b->scale->rows * b->scale->cols || !n || a->source->rows % n)
		return QC_OK;
	s = read_factors(a->scale, &scales->values, err);
	if (!s)
		s = read_factors(b->scale, &others, err);
	scales->n = n;
	if (s || memcmp(scales->values, others, n * sizeof(*others)) != 0) {
		qc_equal_scales_clear(scales);
	}
	free(others);
	return s;
}

void qc_equal_scales_clear(struct qc_equal_scales *scales)
{
	free(scales->values);
	*scales = (struct qc_equal_scales){0};
}
