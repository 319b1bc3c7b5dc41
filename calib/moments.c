#include "calib/moments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "calib/linalg.h"

enum { ROWS = 64 }; /* a thread's share of a matrix at a time */

enum qc_status qc_moments_init(struct qc_moments *m, size_t n, size_t out, struct qc_err *err)
{
	*m = (struct qc_moments){.n = n, .out = out};
	m->h = calloc(n * n, sizeof(float));
	m->d = calloc(n * n, sizeof(float));
	m->r = calloc(out * n + 1, sizeof(float));
	if (m->h && m->d && m->r)
		return QC_OK;
	qc_moments_clear(m);
	return qc_no_memory(err);
}

void qc_moments_clear(struct qc_moments *m)
{
	free(m->h);
	free(m->d);
	free(m->r);
	memset(m, 0, sizeof(*m));
}

void qc_moments_add(struct qc_moments *m, const float *x, float *y, size_t rows, int threads)
{
	qc_add_products(rows, m->n, x, x, m->h, threads);
	m->tokens += rows;
	if (!y)
		return;
	for (size_t i = 0; i < rows * m->n; i++)
		y[i] -= x[i];
	qc_add_products(rows, m->n, y, x, m->d, threads);
}

void qc_moments_add_missing(struct qc_moments *m, const float *x, const float *r, size_t rows,
			    int threads)
{
	qc_add_cross_products(rows, m->out, m->n, r, x, m->r, threads);
}

bool qc_moments_finite(const struct qc_moments *m)
{
	bool finite = true;

	for (size_t i = 0; i < m->n * m->n; i++)
		finite = finite && isfinite(m->h[i]) && isfinite(m->d[i]);
	for (size_t i = 0; i < m->out * m->n; i++)
		finite = finite && isfinite(m->r[i]);
	return finite;
}

enum qc_status qc_moments_curvature(struct qc_moments *m, float damp, struct qc_curvature *c,
				    struct qc_err *err)
{
	const size_t n = m->n;
	float *h = m->h;
	double sum = 0;
	float lambda;

	m->h = NULL;
	for (size_t i = 0; i < n; i++)
		sum += (double)h[i * n + i];
	lambda = (float)(sum / (double)n) * damp;
	if (!(lambda > 0)) /* no input at all: every error counts the same */
		lambda = 1;
	for (size_t i = 0; i < n; i++) {
		h[i * n + i] += lambda;
		for (size_t j = 0; j < i; j++) /* the products' rounding is not symmetric */
			h[i * n + j] = h[j * n + i];
	}
	return qc_curvature_init(c, n, h, err);
}

/* to[n_rows, n] = W D + R of rows [row, row + n_rows) of those given, in units. */
static void drift(const struct qc_moments *m, const struct qc_weight_rows *w, size_t row,
		  size_t n_rows, float *to)
{
	const size_t n = m->n;

	qc_gemm_nn(n_rows, n, n, 1, w->w + row * n, n, m->d, n, 0, to, n);
	for (size_t i = 0; m->out && i < n_rows * n; i++)
		to[i] += m->r[(w->first + row) * n + i] / w->unit;
}

void qc_moments_target(const struct qc_moments *m, const struct qc_curvature *c,
		       const struct qc_weight_rows *w, float *target, int threads)
{
	const size_t n = m->n;

#pragma omp parallel for schedule(dynamic) num_threads(threads)
	for (size_t row = 0; row < w->rows; row += ROWS) {
		const size_t part = w->rows - row < ROWS ? w->rows - row : ROWS;
		float *t = target + row * n;

		drift(m, w, row, part, t);
		qc_solve_rows(part, n, c->r, t);
		for (size_t i = 0; i < part * n; i++)
			t[i] += w->w[row * n + i];
	}
}

enum qc_status qc_moments_error(const struct qc_moments *m, const struct qc_weight_rows *w,
				const float *q, int threads, double *error, struct qc_err *err)
{
	const size_t n = m->n, parts = (w->rows + ROWS - 1) / ROWS;
	double *sums = calloc(parts, sizeof(*sums)), sum = 0;
	bool failed = !sums;

#pragma omp parallel for schedule(dynamic) num_threads(threads)
	for (size_t p = 0; p < parts; p++) {
		const size_t row = p * ROWS, part = w->rows - row < ROWS ? w->rows - row : ROWS;
		float *d = malloc(part * n * sizeof(float)),
		      *product = malloc(part * n * sizeof(float));

		if (d && product && sums) {
			drift(m, w, row, part, product);
			for (size_t i = 0; i < part * n; i++)
				d[i] = w->w[row * n + i] - q[row * n + i];
			qc_gemm_nn(part, n, n, 1, d, n, m->h, n, 2, product, n);
			for (size_t i = 0; i < part * n; i++)
				sums[p] += (double)d[i] * (double)product[i];
		} else {
#pragma omp atomic write
			failed = true;
		}
		free(d);
		free(product);
	}
	for (size_t p = 0; !failed && p < parts; p++)
		sum += sums[p];
	free(sums);
	*error = sum;
	return failed ? qc_no_memory(err) : QC_OK;
}
