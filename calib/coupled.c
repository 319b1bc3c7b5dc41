#include "calib/coupled.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/linalg.h"

enum {
	BLOCK = QC_FISHER_ROWS,
	TOGETHER = 2, /* blocks of M that a thread has: more rows for each matrix product */
	STEP = 8,     /* rows of a block that do not make up for each other: few lose little */
};

/* Of the mean of its diagonal, added to M: what it says of small errors in many outputs comes from
 * few tokens. Best on held-out text among .05 to .5. */
#define DAMP 0.2

/* Blocks at work. */
struct batch {
	const struct qc_curvature *c;
	struct qc_gptq_options options;
	const float *target; /* [rows, n] of these blocks */
	size_t rows, row_bytes;
	uint8_t *blocks;
	float *r[TOGETHER]; /* [BLOCK, BLOCK] R */
	float *e;	    /* [TOGETHER * BLOCK, n] target - decoded */
	float *t;	    /* [TOGETHER * STEP, n] targets of some rows, then decoded */
	float *u;	    /* [STEP, BLOCK] */
	uint8_t *some;	    /* their blocks */
};

static uint64_t floats_of(uint64_t n)
{
	return TOGETHER * BLOCK * BLOCK + (TOGETHER * BLOCK + TOGETHER * STEP) * n + STEP * BLOCK;
}

uint64_t qc_coupled_bytes(const struct qc_graph *g, int threads)
{
	uint64_t widest = 0;

	for (uint32_t i = 0; i < g->n_blocks; i++)
		for (int slot = 0; slot < QC_SLOTS; slot++)
			if (g->blocks[i].slots[slot].in > widest)
				widest = g->blocks[i].slots[slot].in;
	return (uint64_t)threads * floats_of(widest) * sizeof(float);
}

static size_t rows_of(const struct batch *b, size_t block)
{
	const size_t first = block * BLOCK;

	return first >= b->rows ? 0 : b->rows - first < BLOCK ? b->rows - first : BLOCK;
}

/* False when M is not finite, or not positive. */
static bool factor(size_t n, const float *m, float *r)
{
	bool finite = true;
	double mean = 0;

	for (size_t i = 0; i < n; i++)
		mean += (double)m[i * n + i] / (double)n;
	for (size_t i = 0; i < n * n; i++)
		finite = finite && isfinite(m[i]);
	memcpy(r, m, n * n * sizeof(*r));
	for (size_t i = 0; i < n; i++) /* outputs that do nothing: all errors count the same */
		r[i * n + i] += mean > 0 ? (float)(DAMP * mean) : 1;
	return finite && qc_cholesky_upper(n, r);
}

/* t[rows, n]: the targets of rows [at, at + rows) of a block, errors before them made up for. */
static void make_target(struct batch *b, size_t block, size_t at, size_t rows, float *t)
{
	const size_t n = b->c->n, side = rows_of(b, block);
	const float *r = b->r[block];

	memcpy(t, b->target + (block * BLOCK + at) * n, rows * n * sizeof(*t));
	if (!at)
		return;
	for (size_t k = 0; k < rows; k++)
		for (size_t j = 0; j < at; j++)
			b->u[k * at + j] = r[j * side + at + k] / r[(at + k) * side + at + k];
	qc_gemm_nn(rows, n, at, 1, b->u, at, b->e + block * BLOCK * n, n, 1, t, n);
}

/* Rows [at, at + STEP) of each block. */
static enum qc_status solve_step(struct batch *b, size_t at, struct qc_err *err)
{
	const struct qc_qtype *type = b->options.grid->type;
	const size_t n = b->c->n;
	size_t counts[TOGETHER], total = 0;
	enum qc_status s;

	for (size_t i = 0; i < TOGETHER; i++) {
		const size_t left = rows_of(b, i) > at ? rows_of(b, i) - at : 0;

		counts[i] = left < STEP ? left : STEP;
		if (!counts[i])
			continue;
		make_target(b, i, at, counts[i], b->t + total * n);
		memcpy(b->some + total * b->row_bytes, b->blocks + (i * BLOCK + at) * b->row_bytes,
		       counts[i] * b->row_bytes);
		total += counts[i];
	}
	s = qc_gptq(b->c, &b->options, b->t, total, b->some, err);
	if (s)
		return s;
	qc_fast_dequantize(type, b->options.isa)(b->some, b->t, total * n / type->block_elems);
	total = 0;
	for (size_t i = 0; i < TOGETHER; i++) {
		const size_t row = i * BLOCK + at;

		if (!counts[i])
			continue;
		memcpy(b->blocks + row * b->row_bytes, b->some + total * b->row_bytes,
		       counts[i] * b->row_bytes);
		for (size_t k = 0; k < counts[i] * n; k++)
			b->e[row * n + k] = b->target[row * n + k] - b->t[total * n + k];
		total += counts[i];
	}
	return QC_OK;
}

static enum qc_status solve_batch(struct batch *b, const float *m, struct qc_err *err)
{
	const size_t n = b->c->n, most = b->rows < BLOCK ? b->rows : BLOCK;
	float *all = malloc(floats_of(n) * sizeof(*all));
	enum qc_status s = QC_OK;

	b->some = malloc(TOGETHER * STEP * b->row_bytes);
	if (!all || !b->some) {
		free(all);
		free(b->some);
		return qc_no_memory(err);
	}
	b->e = all;
	b->t = b->e + TOGETHER * BLOCK * n;
	b->u = b->t + TOGETHER * STEP * n;
	for (size_t i = 0; !s && i < TOGETHER; i++) {
		b->r[i] = b->u + STEP * BLOCK + i * BLOCK * BLOCK;
		if (rows_of(b, i) && !factor(rows_of(b, i), m + i * BLOCK * BLOCK, b->r[i]))
			s = qc_fail(err, QC_BAD_INPUT,
				    "the gradients at its outputs are NaN or infinite");
	}
	for (size_t at = 0; !s && at < most; at += STEP)
		s = solve_step(b, at, err);
	free(all);
	free(b->some);
	return s;
}

enum qc_status qc_gptq_coupled(const struct qc_curvature *c, const struct qc_gptq_options *options,
			       const float *m, const float *target, size_t rows, uint8_t *blocks,
			       struct qc_err *err)
{
	const struct qc_qtype *type = options->grid->type;
	const size_t row_bytes = c->n / type->block_elems * type->block_bytes;
	const size_t step = TOGETHER * BLOCK;
	enum qc_status s = QC_OK;

#pragma omp parallel for schedule(dynamic) num_threads(options->threads)
	for (size_t row = 0; row < rows; row += step) {
		struct batch b = {
			.c = c,
			.options = *options,
			.target = target + row * c->n,
			.rows = rows - row < step ? rows - row : step,
			.row_bytes = row_bytes,
			.blocks = blocks + row * row_bytes,
		};
		struct qc_err here = {0};

		b.options.threads = 1;
		if (solve_batch(&b, m + row * BLOCK, &here)) {
#pragma omp critical
			if (!s) {
				s = here.status;
				*err = here;
			}
		}
	}
	return s;
}
