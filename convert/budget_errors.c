/* How large the error of every type is on every matrix, from some of its rows. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "convert/budget.h"
#include "convert/encode.h"

/* Weights of a matrix that are looked at: runs of RUN rows, evenly spaced. */
#define SAMPLE_WEIGHTS (1u << 20)
enum { RUN = 8 };

/* A thread's buffers for one matrix. */
struct room {
	float *x, *decoded;
	uint8_t *blocks;
	struct qc_scratch scratch;
};

static void clear(struct room *room)
{
	free(room->x);
	free(room->decoded);
	free(room->blocks);
	free(room->scratch.base);
}

static enum qc_status make(struct room *room, const struct qc_source *source, struct qc_err *err)
{
	const size_t elems = RUN * (size_t)source->cols;

	memset(room, 0, sizeof(*room));
	room->scratch.size = qc_source_scratch(source, RUN);
	room->x = qc_aligned_buffer(elems * sizeof(float));
	room->decoded = qc_aligned_buffer(elems * sizeof(float));
	room->blocks = qc_aligned_buffer(elems * 2 * sizeof(float));
	room->scratch.base = qc_aligned_buffer(room->scratch.size);
	return room->x && room->decoded && room->blocks && room->scratch.base ? QC_OK
									      : qc_no_memory(err);
}

/* sum h x^2, or sum h (x - y)^2. */
static double weighted_squares(const float *x, const float *y, size_t rows, size_t cols,
			       const float *h)
{
	double sum = 0;

	for (size_t r = 0; r < rows; r++)
		for (size_t c = 0; c < cols; c++) {
			const double d = y ? (double)x[r * cols + c] - y[r * cols + c]
					   : (double)x[r * cols + c];

			sum += d * d * (h ? h[c] : 1);
		}
	return sum;
}

/* Add what rows [row, row + n), all of one matrix, contribute. */
static enum qc_status add_rows(const struct qc_budget *budget, struct qc_budget_matrix *m,
			       struct room *room, uint64_t row, uint64_t n, double *whole,
			       struct qc_err *err)
{
	const struct qc_source *source = m->tensor->source;
	const size_t cols = (size_t)source->cols;
	const float *h = m->importance ? m->importance + row / m->importance_rows * cols : NULL;

	if (qc_source_read_f32(source, row, n, room->x, &room->scratch, err))
		return qc_fail_in(err, "tensor '%s'", m->tensor->name);
	if (qc_first_nonfinite(room->x, (size_t)n * cols) < n * cols)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%s': a weight is NaN or infinite",
			       m->tensor->name);
	*whole += weighted_squares(room->x, NULL, (size_t)n, cols, h);
	for (size_t k = 0; k < m->n_types; k++) {
		const struct qc_qtype *type = m->types[k];
		const enum qc_isa isa = budget->plan->isa;
		qc_quantize_fn *quantize = budget->plan->search ? qc_fast_search(type, isa)
								: qc_fast_quantize(type, isa);

		quantize(room->x, room->blocks, (size_t)n, cols, h);
		qc_fast_dequantize(type, isa)(room->blocks, room->decoded,
					      (size_t)n * cols / type->block_elems);
		m->errors[k] += weighted_squares(room->x, room->decoded, (size_t)n, cols, h);
	}
	return QC_OK;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static enum qc_status measure(const struct qc_budget *budget, struct qc_budget_matrix *m,
			      struct qc_err *err)
{
	const struct qc_source *source = m->tensor->source;
	const uint64_t per_matrix = m->importance ? m->importance_rows : source->rows;
	const uint64_t runs = 1 + min(SAMPLE_WEIGHTS / source->cols, source->rows) / RUN;
	double whole = 0;
	struct room room;
	enum qc_status s = make(&room, source, err);

	for (uint64_t i = 0; !s && i < runs; i++) {
		const uint64_t row = (uint64_t)((double)source->rows * (double)i / (double)runs);
		const uint64_t end = min(source->rows, (row / per_matrix + 1) * per_matrix);

		s = add_rows(budget, m, &room, row, min(RUN, end - row), &whole, err);
	}
	for (size_t k = 0; !s && k < m->n_types; k++)
		m->errors[k] = whole > 0 ? m->errors[k] / whole : 0;
	clear(&room);
	return s;
}

enum qc_status qc_budget_errors(struct qc_budget *budget, struct qc_err *err)
{
	const struct qconv_options *options = budget->options;
	const int threads = options->threads > 0 ? options->threads : omp_get_num_procs();
	enum qc_status first = QC_OK;

#pragma omp parallel for schedule(dynamic) num_threads(threads)
	for (size_t i = 0; i < budget->n; i++) {
		struct qc_err own = {0};
		enum qc_status s = QC_OK;

		if (options->stop && *options->stop)
			s = qc_fail(&own, QC_INTERRUPTED, "interrupted");
		else
			s = measure(budget, &budget->matrices[i], &own);
#pragma omp critical(qc_budget_error)
		if (s && !first) {
			first = s;
			*err = own;
		}
	}
	return first;
}
