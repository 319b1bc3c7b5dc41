/* How far one model's predictions are from another's, from the states of both. */
#include <math.h>
#include <stdlib.h>

#include "calib/forward_parts.h"
#include "calib/tune.h"

/* The divergence of two rows of logits, natural logarithms. */
static double divergence(const float *p, const float *q, size_t n)
{
	double max_p = (double)p[0], max_q = (double)q[0], sum_p = 0, sum_q = 0, sum = 0, logs;

	for (size_t i = 1; i < n; i++) {
		max_p = (double)p[i] > max_p ? (double)p[i] : max_p;
		max_q = (double)q[i] > max_q ? (double)q[i] : max_q;
	}
	for (size_t i = 0; i < n; i++) {
		sum_p += exp((double)p[i] - max_p);
		sum_q += exp((double)q[i] - max_q);
	}
	logs = log(sum_q) + max_q - log(sum_p) - max_p;
	for (size_t i = 0; i < n; i++)
		sum += exp((double)p[i] - max_p) / sum_p * ((double)p[i] - (double)q[i] + logs);
	return sum;
}

enum qc_status qc_tune_divergence(struct qc_forward *a, size_t row_a, struct qc_forward *b,
				  size_t row_b, size_t n, double *mean, struct qc_err *err)
{
	const size_t vocab = a->graph.vocab, step = qc_forward_logit_rows(a, n);
	float *p = qc_floats(step, vocab, 1), *q = qc_floats(step, vocab, 1);
	double *sums = malloc(n * sizeof(*sums));
	enum qc_status s = p && q && sums ? QC_OK : qc_no_memory(err);

	*mean = 0;
	for (size_t at = 0; !s && at < n; at += step) {
		const size_t m = n - at < step ? n - at : step;

		s = qc_forward_logits(a, row_a + at, m, p, err);
		if (!s)
			s = qc_forward_logits(b, row_b + at, m, q, err);
		if (s)
			break;
#pragma omp parallel for schedule(static) num_threads(a->threads)
		for (size_t r = 0; r < m; r++)
			sums[at + r] = divergence(p + r * vocab, q + r * vocab, vocab);
	}
	for (size_t r = 0; !s && r < n; r++)
		*mean += sums[r] / (double)n;
	free(p);
	free(q);
	free(sums);
	return s;
}
