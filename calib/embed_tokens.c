/* Token ids to the states that the first block sees, and the embeddings that blocks have of their
 * own. */
#include "calib/forward_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Row `id` of an embedding of `width` columns. */
static enum qc_status read_embedding(const struct qc_weight *weight, uint32_t id, float *dst,
				     struct qc_err *err)
{
	const uint64_t n = weight->tensor->source->rows / weight->out;

	if (n * weight->tensor->source->cols != weight->in)
		return qc_fail(err, QC_UNSUPPORTED, "tensor '%.160s': its rows are not whole",
			       weight->tensor->stored_name);
	return qc_tensor_read(weight->tensor, id * n, n, dst, 1, err);
}

/* The blocks' own embeddings of rows [row, row + n), from the scaled embedding x:
 *   (rms(proj(x) / sqrt(width)) * norm + table[id] * sqrt(ple_width)) / sqrt(2) */
static enum qc_status embed_blocks(struct qc_forward *f, const struct qc_matrix *proj,
				   const struct qc_matrix *norm, const uint32_t *ids, size_t row,
				   size_t n, const float *x, float *table, struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	const size_t p = g->ple_width, all = p * g->n_blocks;
	const float table_scale = sqrtf((float)p), half = sqrtf(0.5f);
	enum qc_status s = qc_matrix_apply(f, proj, x, n, f->work, err);

	if (s)
		return s;
	qc_scale(f->work, n * all, 1 / sqrtf((float)g->width), f->threads);
	qc_matrix_norm(f, norm, f->work, n * g->n_blocks, p, f->work);
	for (size_t r = 0; !s && r < n; r++) {
		float *own = f->work + r * all;

		s = read_embedding(&g->ple_embedding, ids[row + r], table, err);
		for (size_t i = 0; !s && i < all; i++)
			own[i] = (own[i] + table[i] * table_scale) * half;
	}
	for (uint32_t block = 0; !s && block < g->n_blocks; block++) {
		const uint64_t first = (uint64_t)block * f->rows + row;
		float *to = qc_rows_place(&f->ple, first, f->ple_buffer);

		for (size_t r = 0; r < n; r++)
			memcpy(to + r * p, f->work + r * all + block * p, p * sizeof(*to));
		s = qc_rows_write(&f->ple, first, n, to, err);
	}
	return s;
}

static enum qc_status embed_rows(struct qc_forward *f, const struct qc_matrix *proj,
				 const struct qc_matrix *norm, const uint32_t *ids, size_t row,
				 size_t n, float *table, struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	float *x = qc_rows_place(&f->x, row, f->x_buffer);
	enum qc_status s = QC_OK;

	for (size_t r = 0; !s && r < n; r++)
		s = read_embedding(&g->embedding, ids[row + r], x + r * g->width, err);
	if (!s && g->embedding_scale != 1)
		qc_scale(x, n * g->width, g->embedding_scale, f->threads);
	if (!s && g->ple_width)
		s = embed_blocks(f, proj, norm, ids, row, n, x, table, err);
	return s ? s : qc_rows_write(&f->x, row, n, x, err);
}

enum qc_status qc_embed(struct qc_forward *f, const uint32_t *ids, struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	const size_t step = f->chunk * f->length;
	struct qc_matrix proj = {0}, norm = {0};
	float *table = qc_floats(g->n_blocks, g->ple_width, 1);
	enum qc_status s = table ? QC_OK : qc_no_memory(err);

	if (!s && g->ple_width)
		s = qc_matrix_load(f, &g->ple_model_proj, 0, &proj, err);
	if (!s && g->ple_width)
		s = qc_matrix_load(f, &g->ple_proj_norm, 0, &norm, err);
	for (size_t row = 0; !s && row < f->rows; row += step)
		s = embed_rows(f, &proj, &norm, ids, row,
			       f->rows - row < step ? f->rows - row : step, table, err);
	qc_matrix_clear(&proj);
	qc_matrix_clear(&norm);
	free(table);
	return s;
}
