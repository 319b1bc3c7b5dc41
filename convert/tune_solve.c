/* Rows of one matrix: as they are, calibrated, and as data-free search has them. */
#include "convert/tune_items.h"

#include <stdlib.h>
#include <string.h>

#include "calib/coupled.h"
#include "formats/arch/arch.h"

enum { PASSES = 3 };

struct matrix {
	struct qc_tuning *t;
	const struct qc_tune_part *part;
	struct qc_tune_item *item;
	const struct qc_tune_job *job;
	size_t n, first, rows; /* that are being solved */
	int threads;
	float factor;
	float *w, *target; /* as they are; what they should be; without the factor */
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

/* By how much the error on the held-out windows is less for the calibrated rows. */
static enum qc_status held_gain(struct matrix *m, double *gain, struct qc_err *err)
{
	const struct qc_qtype *type = m->item->grid->type;
	const struct qc_weight_rows rows = {m->w, m->factor, m->first, m->rows};
	const struct qc_two_rows two = {type, qc_fast_dequantize(type, m->t->plan->isa), m->tuned,
					m->searched};

	return qc_moments_gain(m->job->held, &rows, &two, m->threads, gain, err);
}

/* What errors of these rows do to the predictions; NULL: not known. */
static const float *fisher_of(const struct matrix *m)
{
	const struct qc_graph *g = qc_forward_graph(m->t->forwards[1]);
	const uint32_t block = m->job->block;
	const struct qc_arch_tensor *row = m->item->step->tensor->row;
	const bool permuted = row && (row->op == QC_ROWS_PERMUTE_Q || row->op == QC_ROWS_PERMUTE_K);

	/* the engine has GGUF's order of rows */
	if (block >= g->n_blocks || (permuted && m->t->plan->target->layout_kind == QC_LAYOUT_HF))
		return NULL;
	return qc_fisher_block(&m->t->fisher, block,
			       (enum qc_slot)(m->job->weight - g->blocks[block].slots), m->first);
}

/* Codes for the targets. */
static enum qc_status encode(struct matrix *m, const struct qc_gptq_options *options,
			     struct qc_err *err)
{
	const float *fisher = fisher_of(m);

	return fisher ? qc_gptq_coupled(m->job->curvature, options, fisher, m->target, m->rows,
					m->tuned, err)
		      : qc_gptq(m->job->curvature, options, m->target, m->rows, m->tuned, err);
}

static enum qc_status make_tuned(struct matrix *m, struct qc_err *err)
{
	const struct qc_step *step = m->item->step;
	const struct qc_qtype *type = m->item->grid->type;
	struct qc_gptq_options options = {m->item->grid, m->threads, m->t->plan->isa, PASSES,
					  false};
	const struct qc_weight_rows rows = {m->w, m->factor, m->first, m->rows};
	enum qc_status s;

	qc_moments_target(m->job->moments, m->job->curvature, &rows, m->target, m->threads);
	s = encode(m, &options, err);
	if (s || !step->packing || !step->packing->round)
		return s;
	m->item->rounded = step->packing->round(step, m->tuned, m->rows * m->n / type->block_elems);
	if (m->item->rounded == 0)
		return QC_OK;
	options.fixed = true;
	return encode(m, &options, err);
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
	double gain = 0;
	enum qc_status s = read_rows(m, err);

	*better = false;
	if (s)
		return s;
	make_searched(m);
	if (m->job->curvature) {
		s = make_tuned(m, err);
		if (!s)
			s = held_gain(m, &gain, err);
		*better = gain > 0;
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
	const size_t step = QC_FISHER_ROWS;	      /* rows that may make up for each other */
	const size_t at_a_time =
		m.n < QC_TUNE_AT_A_TIME / step ? QC_TUNE_AT_A_TIME / m.n / step * step : step;
	const size_t most = whole || at_a_time > job->weight->out ? job->weight->out : at_a_time;
	enum qc_status s;

	m.w = malloc(most * m.n * sizeof(float));
	m.target = malloc(most * m.n * sizeof(float));
	m.tuned = malloc(most * item->tuned->row_bytes);
	m.searched = malloc(most * item->tuned->row_bytes);
	s = m.w && m.target && m.tuned && m.searched ? solve(&m, most, err) : qc_no_memory(err);
	free(m.w);
	free(m.target);
	free(m.tuned);
	free(m.searched);
	return s;
}
