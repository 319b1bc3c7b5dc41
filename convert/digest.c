#include "convert/digest.h"

#include <stdlib.h>

#include "formats/source.h"

struct hashers {
	struct qc_hasher *tensor, *all;
	struct qc_hasher64 *tensor64, *all64;
};

enum { RANGE_BYTES = 1 << 20 };

/* Rows whose raw bytes make up about a megabyte, at least one. */
static uint64_t rows_at_once(const struct qc_source *source, uint64_t *row_bytes)
{
	if (!qc_qtype_bytes(source->type, source->cols, row_bytes) || !*row_bytes)
		return source->rows ? source->rows : 1;
	return *row_bytes >= RANGE_BYTES ? 1 : RANGE_BYTES / *row_bytes;
}

static enum qc_status hash_rows(const struct hashers *h, const struct qc_source *source,
				const struct qconv_options *options, struct qc_err *err)
{
	uint64_t row_bytes = 0, step = rows_at_once(source, &row_bytes);
	size_t need = qc_source_scratch(source, step);
	struct qc_scratch scratch = {.size = need};
	uint8_t *buffer = malloc(step * row_bytes + 1);
	enum qc_status s = QC_OK;

	scratch.base = aligned_alloc(64, (need + 127) & ~(size_t)63);
	if (!buffer || !scratch.base)
		s = qc_no_memory(err);
	for (uint64_t row = 0; !s && row < source->rows; row += step) {
		uint64_t n = source->rows - row < step ? source->rows - row : step;
		size_t bytes = n * row_bytes;

		if (options->stop && *options->stop)
			s = qc_fail(err, QC_INTERRUPTED, "interrupted");
		else
			s = qc_source_read_raw(source, row, n, buffer, &scratch, err);
		if (s)
			break;
		qc_hasher_add(h->tensor, buffer, bytes);
		qc_hasher_add(h->all, buffer, bytes);
		qc_hasher64_add(h->tensor64, buffer, bytes);
		qc_hasher64_add(h->all64, buffer, bytes);
	}
	free(scratch.base);
	free(buffer);
	return s;
}

enum qc_status qc_digest_tensors(const struct qc_model *model, const struct qconv_options *options,
				 qc_digest_fn *each, void *user, struct qc_digest128 *all,
				 uint64_t *all64, struct qc_err *err)
{
	struct hashers h = {qc_hasher_new(), qc_hasher_new(), qc_hasher64_new(), qc_hasher64_new()};
	const struct qc_tensor *tensors = model->stored ? model->stored : model->tensors;
	const size_t n = model->stored ? model->n_stored : model->n_tensors;
	enum qc_status s = QC_OK;

	if (!h.tensor || !h.all || !h.tensor64 || !h.all64)
		s = qc_no_memory(err);
	for (size_t i = 0; !s && i < n; i++) {
		const struct qc_tensor *tensor = &tensors[i];

		qc_hasher_reset(h.tensor);
		qc_hasher64_reset(h.tensor64);
		if (!tensor->source->ops->read_raw)
			s = qc_fail(err, QC_UNSUPPORTED,
				    "tensor '%s' has no stored bytes of its own",
				    tensor->stored_name);
		else if (hash_rows(&h, tensor->source, options, err))
			s = qc_fail_in(err, "tensor '%s'", tensor->stored_name);
		else
			s = each(tensor, qc_hasher_digest(h.tensor), qc_hasher64_digest(h.tensor64),
				 user, err);
	}
	if (!s) {
		*all = qc_hasher_digest(h.all);
		*all64 = qc_hasher64_digest(h.all64);
		s = qc_model_unchanged(model, err);
	}
	qc_hasher_free(h.tensor);
	qc_hasher_free(h.all);
	qc_hasher64_free(h.tensor64);
	qc_hasher64_free(h.all64);
	return s;
}
