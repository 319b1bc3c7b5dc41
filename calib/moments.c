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
	if (out)
		m->t = calloc(out * n, sizeof(float));
	else
		m->d = calloc(n * n, sizeof(float));
	if (m->h && (m->t || m->d))
		return qc_means_init(&m->means, n, out, err);
	qc_moments_clear(m);
	return qc_no_memory(err);
}

void qc_moments_clear(struct qc_moments *m)
{
	free(m->h);
	free(m->d);
	free(m->t);
	qc_means_clear(&m->means);
	memset(m, 0, sizeof(*m));
}

void qc_moments_add(struct qc_moments *m, const float *x, float *y, size_t rows, int threads)
{
	qc_add_squares(rows, m->n, x, m->h, threads);
	m->tokens += rows;
	if (!y)
		return;
	for (size_t i = 0; i < rows * m->n; i++)
		y[i] -= x[i];
	qc_add_cross_products(rows, m->n, m->n, y, x, m->d, threads);
	m->has_d = true;
}

void qc_moments_add_wanted(struct qc_moments *m, const float *x, const float *wanted, size_t rows,
			   int threads)
{
	qc_moments_add(m, x, NULL, rows, threads);
	qc_add_cross_products(rows, m->out, m->n, wanted, x, m->t, threads);
}

bool qc_moments_complete(struct qc_moments *m)
{
	bool finite = true;

	for (size_t i = 0; i < m->n; i++)
		for (size_t j = 0; j < i; j++)
			m->h[i * m->n + j] = m->h[j * m->n + i];
	for (size_t i = 0; i < m->n * m->n; i++)
		finite = finite && isfinite(m->h[i]) && (!m->has_d || isfinite(m->d[i]));
	for (size_t i = 0; i < m->out * m->n; i++)
		finite = finite && isfinite(m->t[i]);
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
	for (size_t i = 0; i < n; i++)
		h[i * n + i] += lambda;
	m->lambda = lambda;
	return qc_curvature_init(c, n, h, err);
}

/* to[n_rows, n] = W D of rows [row, row + n_rows) of those given, in units; h: as it was before
 * the curvature took it, but for lambda on its diagonal. */
static void drift(const struct qc_moments *m, const float *h, const struct qc_weight_rows *w,
		  size_t row, size_t n_rows, float *to)
{
	const size_t n = m->n;
	const float *from = w->w + row * n;

	if (m->out) {
		const float *t = m->t + (w->first + row) * n;

		for (size_t i = 0; i < n_rows * n; i++)
			to[i] = t[i] / w->unit + m->lambda * from[i];
		qc_gemm_nn(n_rows, n, n, -1, from, n, h, n, 1, to, n);
	} else if (m->has_d) {
		qc_gemm_nn(n_rows, n, n, 1, from, n, m->d, n, 0, to, n);
	} else {
		memset(to, 0, n_rows * n * sizeof(*to));
	}
}

void qc_moments_target(const struct qc_moments *m, const struct qc_curvature *c,
		       const struct qc_weight_rows *w, float *target, int threads)
{
	const size_t n = m->n;

#pragma omp parallel for schedule(dynamic) num_threads(threads)
	for (size_t row = 0; row < w->rows; row += ROWS) {
		const size_t part = w->rows - row < ROWS ? w->rows - row : ROWS;
		float *t = target + row * n;

		drift(m, c->h, w, row, part, t);
		if (m->out || m->has_d)
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
			drift(m, m->h, w, row, part, product);
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
