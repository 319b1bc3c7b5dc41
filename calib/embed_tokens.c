/* Token ids to the states that the first block sees, and the embeddings that blocks have of their
 * own. */
#include "calib/forward_parts.h"

#include <math.h>
#include <stdlib.h>

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

/* The blocks' own embeddings of rows [row, row + n), from the scaled embedding:
 *   (rms(proj(x) / sqrt(width)) * norm + table[id] * sqrt(ple_width)) / sqrt(2) */
static enum qc_status embed_blocks_chunk(struct qc_forward *f, const struct qc_matrix *proj,
					 const struct qc_matrix *norm, const uint32_t *ids,
					 size_t row, size_t n, float *table, struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	const size_t p = g->ple_width, all = p * g->n_blocks;
	const float table_scale = sqrtf((float)p), half = sqrtf(0.5f);
	enum qc_status s = qc_matrix_apply(f, proj, f->x + row * g->width, n, f->work, err);

	if (s)
		return s;
	qc_scale(f->work, n * all, 1 / sqrtf((float)g->width), f->threads);
	qc_matrix_norm(f, norm, f->work, n * g->n_blocks, p, f->work);
	for (size_t r = 0; !s && r < n; r++) {
		s = read_embedding(&g->ple_embedding, ids[row + r], table, err);
		for (size_t i = 0; !s && i < all; i++)
			f->ple[(i / p * f->rows + row + r) * p + i % p] =
				(f->work[r * all + i] + table[i] * table_scale) * half;
	}
	return s;
}

static enum qc_status embed_blocks(struct qc_forward *f, const uint32_t *ids, struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	const size_t step = f->chunk * f->length;
	struct qc_matrix proj = {0}, norm = {0};
	float *table = qc_floats(g->n_blocks, g->ple_width, 1);
	enum qc_status s = table ? QC_OK : qc_no_memory(err);

	if (!s)
		s = qc_matrix_load(f, &g->ple_model_proj, 0, &proj, err);
	if (!s)
		s = qc_matrix_load(f, &g->ple_proj_norm, 0, &norm, err);
	for (size_t row = 0; !s && row < f->rows; row += step)
		s = embed_blocks_chunk(f, &proj, &norm, ids, row,
				       f->rows - row < step ? f->rows - row : step, table, err);
	qc_matrix_clear(&proj);
	qc_matrix_clear(&norm);
	free(table);
	return s;
}

enum qc_status qc_embed(struct qc_forward *f, const uint32_t *ids, struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	enum qc_status s = QC_OK;

	for (size_t r = 0; !s && r < f->rows; r++)
		s = read_embedding(&g->embedding, ids[r], f->x + r * g->width, err);
	if (!s && g->embedding_scale != 1)
		qc_scale(f->x, f->rows * g->width, g->embedding_scale, f->threads);
	return !s && g->ple_width ? embed_blocks(f, ids, err) : s;
}
