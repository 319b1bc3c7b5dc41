#include "calib/means.h"

#include <stdlib.h>
#include <string.h>

enum qc_status qc_means_init(struct qc_means *m, size_t n, size_t out, struct qc_err *err)
{
	*m = (struct qc_means){.n = n, .out = out};
	m->x = calloc(n + 1, sizeof(*m->x));
	m->d = calloc(n + 1, sizeof(*m->d));
	m->wanted = out ? calloc(out, sizeof(*m->wanted)) : NULL;
	if (m->x && m->d && (m->wanted || !out))
		return QC_OK;
	qc_means_clear(m);
	return qc_no_memory(err);
}

void qc_means_clear(struct qc_means *m)
{
	free(m->x);
	free(m->d);
	free(m->wanted);
	memset(m, 0, sizeof(*m));
}

static void add_row(double *to, const float *x, size_t n, double weight)
{
	for (size_t i = 0; i < n; i++)
		to[i] += weight * (double)x[i];
}

void qc_means_add(struct qc_means *m, const float *x, const float *d, const float *wanted,
		  size_t rows, const float *weights)
{
	for (size_t r = 0; r < rows; r++) {
		const double c = weights ? (double)weights[r] : 1;

		add_row(m->x, x + r * m->n, m->n, c);
		if (d)
			add_row(m->d, d + r * m->n, m->n, c);
		if (wanted)
			add_row(m->wanted, wanted + r * m->out, m->out, c);
		m->weight += c * c;
	}
	m->tokens += rows;
}

void qc_means_lack(const struct qc_means *m, size_t first, size_t rows, const float *w,
		   const float *q, double *e)
{
	for (size_t r = 0; r < rows; r++) {
		const float *w_row = w + r * m->n, *q_row = q + r * m->n;
		double sum = m->wanted ? m->wanted[first + r] : 0;

		for (size_t i = 0; i < m->n; i++) {
			sum -= (double)q_row[i] * m->x[i];
			if (!m->wanted)
				sum += (double)w_row[i] * (m->x[i] + m->d[i]);
		}
		e[r] = m->weight > 0 ? sum / m->weight : 0;
	}
}
