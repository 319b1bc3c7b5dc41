#include "calib/moments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "calib/linalg.h"

enum { ROWS = 128 }; /* a thread's share of a matrix at a time: products at full speed */

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

static void fill_lower_triangle(size_t n, float *h)
{
	enum { TILE = 32 }; /* rows and columns that a cache holds */

	for (size_t first = 0; first < n; first += TILE)
		for (size_t j = 0; j < n; j++)
			for (size_t i = j < first ? first : j + 1; i < first + TILE && i < n; i++)
				h[i * n + j] = h[j * n + i];
}

/* b[rows, n] = b (u diagonal u')^-1 */
static void solve_all(size_t rows, size_t n, const float *u, const float *diagonal, float *b,
		      int threads)
{
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (rows > ROWS)
	for (size_t row = 0; row < rows; row += ROWS)
		qc_solve_rows(rows - row < ROWS ? rows - row : ROWS, n, u, diagonal, b + row * n);
}

/* damp * mean of the diagonal */
static float lambda_of(size_t n, const float *h, float damp)
{
	double sum = 0;
	float lambda;

	for (size_t i = 0; i < n; i++)
		sum += (double)h[i * n + i];
	lambda = (float)(sum / (double)n) * damp;
	return lambda > 0 ? lambda : 1; /* no input at all: every error counts the same */
}

static bool is_finite(const float *x, size_t n)
{
	bool finite = true;

	for (size_t i = 0; i < n; i++)
		finite = finite && isfinite(x[i]);
	return finite;
}

enum qc_status qc_moments_complete(struct qc_moments *m, struct qc_err *err)
{
	const size_t n = m->n;

	fill_lower_triangle(n, m->h);
	return is_finite(m->h, n * n) && (!m->has_d || is_finite(m->d, n * n)) &&
			       is_finite(m->t, m->out * n)
		       ? QC_OK
		       : qc_fail(err, QC_BAD_INPUT, "NaN or infinite activations go into it");
}

enum qc_status qc_moments_settle(struct qc_moments *m, float damp, const float *w, int threads,
				 struct qc_err *err)
{
	const size_t n = m->n;
	const float lambda = lambda_of(n, m->h, damp);
	float *u, *diagonal;
	enum qc_status s = qc_moments_complete(m, err);

	if (s)
		return s;
	u = malloc((n + 1) * n * sizeof(*u));
	if (!u)
		return qc_no_memory(err);
	diagonal = u + n * n;
	memcpy(u, m->h, n * n * sizeof(*u));
	for (size_t i = 0; i < n; i++)
		u[i * n + i] += lambda;
	if (!qc_factor(n, u, diagonal)) {
		free(u);
		return qc_curvature_refuse(err);
	}
	for (size_t i = 0; i < m->out * n; i++)
		m->t[i] += lambda * w[i];
	if (m->out || m->has_d)
		solve_all(m->out ? m->out : n, n, u, diagonal, m->out ? m->t : m->d, threads);
	m->settled = true;
	free(u);
	return QC_OK;
}

enum qc_status qc_moments_curvature(struct qc_moments *m, float damp, int threads,
				    struct qc_curvature *c, struct qc_err *err)
{
	const size_t n = m->n;
	float *h = m->h;
	enum qc_status s;

	m->h = NULL;
	m->lambda = lambda_of(n, h, damp);
	for (size_t i = 0; i < n; i++)
		h[i * n + i] += m->lambda;
	s = qc_curvature_init(c, n, h, err);
	if (!s && m->has_d && !m->settled)
		solve_all(n, n, c->u, c->diagonal, m->d, threads);
	return s;
}

void qc_moments_target(const struct qc_moments *m, const struct qc_curvature *c,
		       const struct qc_weight_rows *w, float *target, int threads)
{
	const size_t n = m->n;

#pragma omp parallel for schedule(dynamic) num_threads(threads)
	for (size_t row = 0; row < w->rows; row += ROWS) {
		const size_t part = w->rows - row < ROWS ? w->rows - row : ROWS;
		const float *from = w->w + row * n;
		const float *t = m->out ? m->t + (w->first + row) * n : NULL;
		float *to = target + row * n;

		for (size_t i = 0; i < part * n; i++)
			to[i] = !t ? from[i]
				   : t[i] / w->unit + (m->settled ? 0 : m->lambda * from[i]);
		if (t && !m->settled)
			qc_solve_rows(part, n, c->u, c->diagonal, to);
		else if (m->has_d)
			qc_gemm_nn(part, n, n, 1, from, n, m->d, n, 1, to, n);
	}
}

/* What a part of the rows takes: [rows, n] each. */
struct part {
	float *a, *b; /* decoded */
	float *x, *product;
};

/* The sum for a less that for b is (a - b) ((a + b - 2 W) H - 2 W D)', and where there is T, with
 * T - W H for W D, (a - b) ((a + b) H - 2 T)'. Of rows [row, row + rows) of those given. */
static double part_gain(const struct qc_moments *m, const struct qc_weight_rows *w,
			const struct qc_two_rows *two, size_t row, size_t rows,
			const struct part *p)
{
	const size_t n = m->n, blocks = n / two->type->block_elems;
	const size_t at = row * blocks * two->type->block_bytes;
	const float *from = w->w + row * n, *t = m->out ? m->t + (w->first + row) * n : NULL;
	double sum = 0;

	two->dequantize(two->a + at, p->a, rows * blocks);
	two->dequantize(two->b + at, p->b, rows * blocks);
	for (size_t i = 0; i < rows * n; i++) {
		p->x[i] = p->a[i] + p->b[i] - (t ? 0 : 2 * from[i]);
		p->product[i] = t ? -2 * (t[i] / w->unit) : 0;
	}
	qc_gemm_nn(rows, n, n, 1, p->x, n, m->h, n, 1, p->product, n);
	if (!t && m->has_d)
		qc_gemm_nn(rows, n, n, -2, from, n, m->d, n, 1, p->product, n);
	for (size_t i = 0; i < rows * n; i++)
		sum += ((double)p->b[i] - (double)p->a[i]) * (double)p->product[i];
	return sum;
}

enum qc_status qc_moments_gain(const struct qc_moments *m, const struct qc_weight_rows *w,
			       const struct qc_two_rows *two, int threads, double *gain,
			       struct qc_err *err)
{
	const size_t n = m->n, parts = (w->rows + ROWS - 1) / ROWS;
	double *sums = calloc(parts, sizeof(*sums)), sum = 0;
	bool failed = !sums;

#pragma omp parallel for schedule(dynamic) num_threads(threads)
	for (size_t i = 0; i < parts; i++) {
		const size_t row = i * ROWS, rows = w->rows - row < ROWS ? w->rows - row : ROWS;
		float *room = malloc(4 * rows * n * sizeof(float));

		if (room && sums) {
			const struct part part = {room, room + rows * n, room + 2 * rows * n,
						  room + 3 * rows * n};

			sums[i] = part_gain(m, w, two, row, rows, &part);
		} else {
#pragma omp atomic write
			failed = true;
		}
		free(room);
	}
	for (size_t i = 0; !failed && i < parts; i++)
		sum += sums[i];
	free(sums);
	*gain = sum;
	return failed ? qc_no_memory(err) : QC_OK;
}
