/* Rows of logits as predictions of the next token: softmax over the vocabulary, in double. */
#ifndef QC_CALIB_PREDICTIONS_H
#define QC_CALIB_PREDICTIONS_H

#include <stddef.h>

/* ln of the sum of e^logit over `n` > 0 logits, which is what a logit lacks to be a log
 * probability; *top: the largest of them, the first among equals. NaN when one is. */
double qc_log_sum(const float *logits, size_t n, size_t *top);

/* Sum over the vocabulary of p ln(p / q), in nats, of two rows and their qc_log_sum(). */
double qc_kl_divergence(const float *p, double p_log_sum, const float *q, double q_log_sum,
			size_t n);

#endif
