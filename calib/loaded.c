/* Decoded weights, and what is done with them. */
#include "calib/forward_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "calib/linalg.h"

enum { LINE = 16 }; /* floats of a cache line */

/* Part `index` of `count` equal parts of a small tensor (a bias, scales), `n` values. */
static enum qc_status read_part(const struct qc_tensor *tensor, uint64_t index, uint64_t count,
				uint64_t n, float *dst, struct qc_err *err)
{
	const struct qc_source *source = tensor->source;

	if (source->rows % count || source->rows / count * source->cols != n)
		return qc_fail(err, QC_UNSUPPORTED, "tensor '%.160s': its rows are not whole",
			       tensor->stored_name);
	return qc_tensor_read(tensor, index * (source->rows / count), source->rows / count, dst, 1,
			      err);
}

bool qc_rounds_inputs(const struct qc_forward *f, const struct qc_weight *weight)
{
	const struct qc_tensor *t = weight->tensor;

	if (f->options.inputs == QC_INPUTS_F32 || !t || weight->out == 1 || t->layer < 0)
		return false;
	return f->has_input_scales ? t->input_scale != NULL
				   : weight->may_be_quantized &&
					     (t->encoding || t->source->type->block_elems > 1);
}

/* The factor of matrix `index`: one for all, or one each. */
static enum qc_status read_input_scale(const struct qc_weight *weight, uint64_t index, float *scale,
				       struct qc_err *err)
{
	const struct qc_source *source = weight->tensor->input_scale;
	struct qc_tensor factors = *weight->tensor;

	if (!source)
		return QC_OK;
	factors.source = source;
	return qc_tensor_read(&factors, source->rows > 1 ? index : 0, 1, scale, 1, err);
}

/* n floats of the slab; NULL when it has no room. */
static float *slab_take(const struct qc_forward *f, uint64_t n)
{
	struct qc_slab *slab = f->slab;
	float *taken;

	n = (n + LINE - 1) / LINE * LINE;
	if (!slab->base) {
		slab->size = qc_largest_weights(&f->graph) + QC_SLOTS * LINE;
		slab->base = aligned_alloc(LINE * sizeof(float),
					   (slab->size + LINE - 1) / LINE * LINE * sizeof(float));
	}
	if (!slab->base || n > slab->size - slab->used)
		return NULL;
	taken = slab->base + slab->used;
	slab->used += n;
	slab->n_holders++;
	return taken;
}

static void slab_give(struct qc_slab *slab)
{
	if (!--slab->n_holders)
		slab->used = 0;
}

/* Room for the floats of a matrix; *keep: they shall stay. */
static float *make_room(const struct qc_forward *f, struct qc_matrix *matrix, bool *keep)
{
	uint64_t n, bytes;
	float *w;

	if (!qc_mul(matrix->weight->in, matrix->weight->out, &n) ||
	    !qc_mul(n, sizeof(float), &bytes))
		return NULL;
	*keep = qc_kept_has_room(f, bytes);
	w = *keep ? NULL : slab_take(f, n);
	if (w)
		matrix->slab = f->slab;
	return w ? w : malloc(bytes);
}

enum qc_status qc_matrix_load(const struct qc_forward *f, const struct qc_weight *weight,
			      uint64_t index, struct qc_matrix *matrix, struct qc_err *err)
{
	const struct qc_matrix *kept = qc_kept_find(f, weight, index);
	bool keep = false;
	enum qc_status s;

	if (kept) {
		*matrix = *kept;
		return QC_OK;
	}
	*matrix = (struct qc_matrix){.weight = weight, .index = index, .scale = 1};
	matrix->w = make_room(f, matrix, &keep);
	if (!matrix->w)
		return qc_no_memory(err);
	s = qc_weight_read(weight, index, matrix->w, f->threads, err);
	if (!s && weight->bias) {
		matrix->bias = malloc(weight->out * sizeof(float));
		s = matrix->bias ? read_part(weight->bias, index, weight->count, weight->out,
					     matrix->bias, err)
				 : qc_no_memory(err);
	}
	if (!s && weight->scale)
		s = read_part(weight->scale, index, weight->count, 1, &matrix->scale, err);
	matrix->rounds_inputs = qc_rounds_inputs(f, weight);
	if (!s && matrix->rounds_inputs)
		s = read_input_scale(weight, index, &matrix->input_scale, err);
	if (s)
		qc_matrix_clear(matrix);
	else if (keep)
		qc_kept_add(f, matrix);
	return s;
}

void qc_matrix_clear(struct qc_matrix *matrix)
{
	if (matrix->slab)
		slab_give(matrix->slab);
	else if (!matrix->is_kept)
		free(matrix->w);
	if (!matrix->is_kept)
		free(matrix->bias);
	memset(matrix, 0, sizeof(*matrix));
}

enum qc_status qc_matrix_apply_rows(const struct qc_forward *f, const struct qc_matrix *matrix,
				    uint64_t first, uint64_t n, const float *x, size_t rows,
				    float *y, struct qc_err *err)
{
	const uint64_t in = matrix->weight->in;
	enum qc_status s = QC_OK;

	if (f->options.input && !first)
		s = f->options.input(f->options.user, matrix->weight, matrix->index, x, rows, err);
	if (s)
		return s;
	if (matrix->rounds_inputs) {
		qc_round_inputs(f->options.inputs, x, rows, in, matrix->input_scale, f->rounded,
				f->threads);
		x = f->rounded;
	}
	qc_matmul(rows, in, n, x, matrix->w + first * in, y, n, f->threads);
	if (matrix->scale != 1)
		qc_scale(y, rows * n, matrix->scale, f->threads);
	if (matrix->bias)
		qc_add_bias(y, rows, n, matrix->bias + first, f->threads);
	return QC_OK;
}

enum qc_status qc_matrix_apply(const struct qc_forward *f, const struct qc_matrix *matrix,
			       const float *x, size_t rows, float *y, struct qc_err *err)
{
	return qc_matrix_apply_rows(f, matrix, 0, matrix->weight->out, x, rows, y, err);
}

void qc_matrix_norm(const struct qc_forward *f, const struct qc_matrix *vector, const float *x,
		    size_t rows, size_t n, float *y)
{
	if (vector->weight)
		qc_rms_norm(x, rows, n, vector->w, f->graph.eps, y, f->threads);
	else if (x != y)
		memcpy(y, x, rows * n * sizeof(*y));
}

enum qc_status qc_loaded_read(const struct qc_forward *f, const struct qc_graph_block *block,
			      const enum qc_slot *slots, struct qc_loaded *loaded,
			      struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (; !s && *slots != QC_SLOTS; slots++)
		if (block->slots[*slots].tensor)
			s = qc_matrix_load(f, &block->slots[*slots], 0, &loaded->slots[*slots],
					   err);
	return s;
}

void qc_loaded_clear(struct qc_loaded *loaded)
{
	for (int i = 0; i < QC_SLOTS; i++)
		qc_matrix_clear(&loaded->slots[i]);
}
