/* Rows of one matrix: as they are, calibrated, and as data-free search has them. */
#include "convert/tune_items.h"

#include <stdlib.h>
#include <string.h>

enum { PASSES = 3 };

struct matrix {
	struct qc_tuning *t;
	const struct qc_tune_part *part;
	struct qc_tune_item *item;
	const struct qc_tune_job *job;
	size_t n, first, rows; /* that are being solved */
	int threads;
	float factor;
	float *w, *other; /* as they are; target, then decoded; without the factor */
	uint8_t *tuned, *searched;
};

/* The first of them in the part. */
static uint64_t first_row(const struct matrix *m)
{
	return (m->part->single ? 0 : m->job->index * m->job->weight->out) + m->first;
}

static enum qc_status read_rows(struct matrix *m, struct qc_err *err)
{
	struct qc_tensor tensor = *m->item->step->tensor;
	enum qc_status s;

	tensor.source = m->part->rows;
	s = qc_tensor_read(&tensor, first_row(m), m->rows, m->w, m->threads, err);
	/* blocks are without the factor */
	for (size_t i = 0; !s && m->factor != 1 && i < m->rows * m->n; i++)
		m->w[i] /= m->factor;
	return s;
}

/* The error of blocks on the held-out windows. */
static enum qc_status held_error(struct matrix *m, const uint8_t *blocks, double *error,
				 struct qc_err *err)
{
	const struct qc_qtype *type = m->item->grid->type;
	const struct qc_weight_rows rows = {m->w, m->factor, m->first, m->rows};

	qc_fast_dequantize(type, m->t->plan->isa)(blocks, m->other,
						  m->rows * m->n / type->block_elems);
	return qc_moments_error(m->job->held, &rows, m->other, m->threads, error, err);
}

static enum qc_status make_tuned(struct matrix *m, struct qc_err *err)
{
	const struct qc_step *step = m->item->step;
	const struct qc_qtype *type = m->item->grid->type;
	struct qc_gptq_options options = {m->item->grid, m->threads, m->t->plan->isa, PASSES,
					  false};
	const struct qc_weight_rows rows = {m->w, m->factor, m->first, m->rows};
	enum qc_status s;

	qc_moments_target(m->job->moments, m->job->curvature, &rows, m->other, m->threads);
	s = qc_gptq(m->job->curvature, &options, m->other, m->rows, m->tuned, err);
	if (s || !step->packing || !step->packing->round)
		return s;
	m->item->rounded = step->packing->round(step, m->tuned, m->rows * m->n / type->block_elems);
	if (m->item->rounded == 0)
		return QC_OK;
	options.fixed = true;
	return qc_gptq(m->job->curvature, &options, m->other, m->rows, m->tuned, err);
}

static void make_searched(struct matrix *m)
{
	const struct qc_qtype *type = m->item->grid->type;
	const size_t row_bytes = m->n / type->block_elems * type->block_bytes;
	qc_quantize_fn *search = qc_fast_search(type, m->t->plan->isa);

#pragma omp parallel for schedule(dynamic) num_threads(m->threads)
	for (size_t row = 0; row < m->rows; row++)
		search(m->w + row * m->n, m->searched + row * row_bytes, 1, m->n, NULL);
}

static enum qc_status solve_rows(struct matrix *m, bool *better, struct qc_err *err)
{
	const struct qc_tune_part *part = m->part;
	double searched = 0, tuned = 0;
	enum qc_status s = read_rows(m, err);

	*better = false;
	if (s)
		return s;
	make_searched(m);
	if (m->job->curvature) {
		s = make_tuned(m, err);
		if (!s)
			s = held_error(m, m->searched, &searched, err);
		if (!s)
			s = held_error(m, m->tuned, &tuned, err);
		*better = tuned < searched;
	}
	if (!s)
		s = qc_tuned_write(m->item->overlay, part->first + first_row(m) * part->step,
				   part->step, m->rows, *better ? m->tuned : m->searched, err);
	return s;
}

static enum qc_status solve(struct matrix *m, size_t most, struct qc_err *err)
{
	const size_t all = m->job->weight->out;
	bool any = false, better;
	enum qc_status s = QC_OK;

	for (; !s && m->first < all; m->first += m->rows) {
		m->rows = all - m->first < most ? all - m->first : most;
		s = solve_rows(m, &better, err);
		any = any || better;
	}
	m->item->n_kept += any;
	return s;
}

enum qc_status qc_tune_matrix(struct qc_tuning *t, const struct qc_tune_part *part,
			      const struct qc_tune_job *job, struct qc_err *err)
{
	struct qc_tune_item *item = part->item;
	struct matrix m = {
		.part = part,
		.t = t,
		.item = item,
		.job = job,
		.n = job->weight->in,
		.threads = qc_forward_threads(t->forwards[1]),
		.factor = item->factors ? item->factors[part->single ? 0 : job->index] : 1,
	};
	const struct qc_packing *packing = item->step->packing;
	const bool whole = packing && packing->round; /* it must see all scales */
	const size_t at_a_time =
		m.n < QC_TUNE_AT_A_TIME / 64 ? QC_TUNE_AT_A_TIME / m.n / 64 * 64 : 64;
	const size_t most = whole || at_a_time > job->weight->out ? job->weight->out : at_a_time;
	enum qc_status s;

	m.w = malloc(most * m.n * sizeof(float));
	m.other = malloc(most * m.n * sizeof(float));
	m.tuned = malloc(most * item->tuned->row_bytes);
	m.searched = malloc(most * item->tuned->row_bytes);
	s = m.w && m.other && m.tuned && m.searched ? solve(&m, most, err) : qc_no_memory(err);
	free(m.w);
	free(m.other);
	free(m.tuned);
	free(m.searched);
	return s;
}
