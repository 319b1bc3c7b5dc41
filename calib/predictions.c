#include "calib/predictions.h"

#include <math.h>

double qc_log_sum(const float *logits, size_t n, size_t *top)
{
	double sum = 0;
	float max = logits[0];

	*top = 0;
	for (size_t i = 1; i < n; i++)
		if (logits[i] > max) {
			max = logits[i];
			*top = i;
		}
	for (size_t i = 0; i < n; i++)
		sum += exp((double)logits[i] - max);
	return max + log(sum);
}

double qc_kl_divergence(const float *p, double p_log_sum, const float *q, double q_log_sum,
			size_t n)
{
	double kld = 0;

	for (size_t i = 0; i < n; i++) {
		const double lp = p[i] - p_log_sum;

		kld += exp(lp) * (lp - (q[i] - q_log_sum));
	}
	return kld;
}
