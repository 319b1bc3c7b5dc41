/*
 * How well a model predicts a text, and how far its predictions are from another model's.
 *
 * Losses are natural logarithms of a softmax over the whole vocabulary, in double over f32 logits.
 */
#ifndef QC_CALIB_EVAL_H
#define QC_CALIB_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "calib/forward.h"
#include "calib/windows.h"

struct qc_eval_options {
	size_t batch;	    /* windows that go through the model together; 0: all of them */
	double *per_window; /* mean loss of each window; NULL */
	/* As windows are scored; NULL. */
	void (*progress)(void *user, size_t windows_done, size_t n_windows);
	void *user;
};

/* A mean over scored tokens with the standard error of it. */
struct qc_estimate {
	double value, error;
};

struct qc_eval {
	size_t tokens; /* scored */
	struct qc_estimate nll, ppl;
};

/* Bytes that the losses themselves take, beside what the forward passes do. */
uint64_t qc_eval_bytes(const struct qc_windows *windows);

/* QC_BAD_INPUT also when a logit is NaN. */
QC_MUST_CHECK
enum qc_status qc_eval_windows(struct qc_forward *model, const struct qc_windows *windows,
			       const struct qc_eval_options *options, struct qc_eval *out,
			       struct qc_err *err);

/* Percentiles that are reported, from the largest down. */
#define QC_KLD_PERCENTILES 11
#define QC_DP_PERCENTILES  13
extern const double qc_kld_percentiles[QC_KLD_PERCENTILES];
extern const double qc_dp_percentiles[QC_DP_PERCENTILES];

/* A model against a reference on the same windows; names and definitions are those of
 * llama-perplexity --kl-divergence. Probabilities of the text's tokens as fractions. */
struct qc_comparison {
	size_t tokens;
	struct qc_eval model, reference;
	double correlation;				 /* of both models' losses */
	struct qc_estimate log_ratio, ratio, difference; /* of perplexities */
	struct qc_estimate kld;		   /* sum over the vocabulary of p_ref ln(p_ref / p) */
	double kld_at[QC_KLD_PERCENTILES]; /* 100 %: maximum, 0 %: minimum */
	struct qc_estimate dp;		   /* p - p_ref of the text's token */
	double dp_at[QC_DP_PERCENTILES];
	struct qc_estimate dp_rms;
	struct qc_estimate same_top; /* both have the same most probable token */
};

/* Run both in step. QC_USAGE when their vocabularies differ, in size or in the tokens of the
 * windows. */
QC_MUST_CHECK
enum qc_status qc_eval_against(struct qc_forward *model, struct qc_forward *reference,
			       const struct qc_windows *windows,
			       const struct qc_eval_options *options, struct qc_comparison *out,
			       struct qc_err *err);

#endif
