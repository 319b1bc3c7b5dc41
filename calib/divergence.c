/* How far one model's predictions are from another's, from the states of both. */
#include <stdlib.h>

#include "calib/forward_parts.h"
#include "calib/predictions.h"
#include "calib/tune.h"

static double divergence(const float *p, const float *q, size_t n)
{
	size_t top;

	return qc_kl_divergence(p, qc_log_sum(p, n, &top), q, qc_log_sum(q, n, &top), n);
}

enum qc_status qc_tune_divergences(struct qc_forward *a, size_t row_a, struct qc_forward *b,
				   size_t row_b, size_t n, double *each, struct qc_err *err)
{
	const size_t vocab = a->graph.vocab, step = qc_forward_logit_rows(a, n);
	float *p = qc_floats(step, vocab, 1), *q = qc_floats(step, vocab, 1);
	enum qc_status s = p && q ? QC_OK : qc_no_memory(err);

	for (size_t at = 0; !s && at < n; at += step) {
		const size_t m = n - at < step ? n - at : step;

		s = qc_forward_logits(a, row_a + at, m, p, err);
		if (!s)
			s = qc_forward_logits(b, row_b + at, m, q, err);
		if (s)
			break;
#pragma omp parallel for schedule(static) num_threads(a->threads)
		for (size_t r = 0; r < m; r++)
			each[at + r] = divergence(p + r * vocab, q + r * vocab, vocab);
	}
	free(p);
	free(q);
	return s;
}

enum qc_status qc_tune_divergence(struct qc_forward *a, size_t row_a, struct qc_forward *b,
				  size_t row_b, size_t n, double *mean, struct qc_err *err)
{
	double *each = malloc(n * sizeof(*each));
	enum qc_status s =
		each ? qc_tune_divergences(a, row_a, b, row_b, n, each, err) : qc_no_memory(err);

	*mean = 0;
	for (size_t r = 0; !s && r < n; r++)
		*mean += each[r] / (double)n;
	free(each);
	return s;
}
