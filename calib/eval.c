/* Perplexity of a model, and its divergence from another. */
#include "calib/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/predictions.h"

const double qc_kld_percentiles[QC_KLD_PERCENTILES] = {100, 99.9, 99, 95, 90, 50, 10, 5, 1, 0.1, 0};
const double qc_dp_percentiles[QC_DP_PERCENTILES] = {100, 99.9, 99, 95, 90,  75, 50,
						     25,  10,	5,  1,	0.1, 0};

/* Sums of a quantity and of its square. */
struct sums {
	double sum, squares;
};

static void add(struct sums *s, double value)
{
	s->sum += value;
	s->squares += value * value;
}

static struct qc_estimate estimate(const struct sums *s, size_t n)
{
	struct qc_estimate e = {s->sum / (double)n, 0};
	const double variance = s->squares / (double)n - e.value * e.value;

	if (variance > 0 && n > 1)
		e.error = sqrt(variance / (double)(n - 1));
	return e;
}

static struct qc_eval evaluation(const struct sums *nll, size_t n)
{
	struct qc_eval e = {.tokens = n, .nll = estimate(nll, n)};

	e.ppl.value = exp(e.nll.value);
	e.ppl.error = e.ppl.value * e.nll.error;
	return e;
}

/* What one scored token contributes. */
struct score {
	double nll, reference_nll, kld;
	bool same_top;
};

static struct score score_row(const float *logits, const float *reference, size_t n, uint32_t id)
{
	size_t top, reference_top;
	const double all = qc_log_sum(logits, n, &top);
	struct score s = {.nll = all - logits[id]};
	double reference_all;

	if (!reference)
		return s;
	reference_all = qc_log_sum(reference, n, &reference_top);
	s.reference_nll = reference_all - reference[id];
	s.same_top = top == reference_top;
	s.kld = qc_kl_divergence(reference, reference_all, logits, all, n);
	return s;
}

struct evaluator {
	struct qc_forward *model, *reference; /* reference NULL: none */
	const struct qc_windows *windows;
	const struct qc_eval_options *options;
	size_t per_window;    /* scored tokens in each */
	struct score *scores; /* of all scored tokens, in order */
	float *logits, *reference_logits;
	size_t rows; /* of logits made at a time */
};

/* Where row `row` (of all windows) is among the scores; false when it is not scored. */
static bool score_index(const struct evaluator *e, size_t row, size_t *index)
{
	const size_t window = row / e->windows->length, at = row % e->windows->length;

	*index = window * e->per_window + at - e->windows->first;
	return at >= e->windows->first && at + 1 < e->windows->length;
}

/* Score rows [row, row + n) of the batch that begins at row `base`. */
static enum qc_status score_rows(struct evaluator *e, size_t base, size_t row, size_t n,
				 struct qc_err *err)
{
	const struct qc_graph *g = qc_forward_graph(e->model);
	const size_t vocab = g->vocab;
	const int threads = qc_forward_threads(e->model);
	enum qc_status s = qc_forward_logits(e->model, row, n, e->logits, err);

	if (!s && e->reference)
		s = qc_forward_logits(e->reference, row, n, e->reference_logits, err);
	if (s)
		return s;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
	for (size_t i = 0; i < n; i++) {
		size_t index;

		if (score_index(e, base + row + i, &index))
			e->scores[index] =
				score_row(e->logits + i * vocab,
					  e->reference ? e->reference_logits + i * vocab : NULL,
					  vocab, e->windows->ids[base + row + i + 1]);
	}
	for (size_t i = 0, index; i < n; i++)
		if (score_index(e, base + row + i, &index) &&
		    !(isfinite(e->scores[index].nll) && isfinite(e->scores[index].kld)))
			return qc_fail(err, QC_BAD_INPUT,
				       "'%s': NaN or infinite logits, window %zu, position %zu",
				       g->model->path, (base + row + i) / e->windows->length,
				       (base + row + i) % e->windows->length);
	return QC_OK;
}

/* `n` windows from window `first` on through the models, and their scores. */
static enum qc_status run_batch(struct evaluator *e, size_t first, size_t n, struct qc_err *err)
{
	const size_t length = e->windows->length, scored = e->windows->first;
	const uint32_t *ids = e->windows->ids + first * length;
	enum qc_status s = qc_forward_windows(e->model, ids, n, length, err);

	if (!s && e->reference)
		s = qc_forward_windows(e->reference, ids, n, length, err);
	/* logits of scored rows alone; where all are, of as many windows at a time as fit */
	for (size_t row = scored; !s && row + 1 < n * length;) {
		const size_t end = scored ? row / length * length + length - 1 : n * length - 1;
		const size_t m = end - row < e->rows ? end - row : e->rows;

		s = score_rows(e, first * length, row, m, err);
		row += m;
		if (!s && e->options->progress)
			e->options->progress(e->options->user, first + (row + 1) / length,
					     e->windows->n);
		if (scored && row == end)
			row += scored + 1;
	}
	return s;
}

uint64_t qc_eval_bytes(const struct qc_windows *w)
{
	const uint64_t scored = (uint64_t)w->n * (w->length - 1 - w->first);

	return scored * (sizeof(struct score) + sizeof(double)) +
	       (uint64_t)w->n * w->length * sizeof(*w->ids);
}

static enum qc_status open_evaluator(struct evaluator *e, struct qc_err *err)
{
	const struct qc_windows *w = e->windows;
	const size_t vocab = qc_forward_graph(e->model)->vocab;

	e->per_window = w->length - 1 - w->first;
	e->rows = qc_forward_logit_rows(e->model, w->n * w->length);
	e->scores = calloc(w->n * e->per_window, sizeof(*e->scores));
	e->logits = malloc(e->rows * vocab * sizeof(float));
	e->reference_logits = e->reference ? malloc(e->rows * vocab * sizeof(float)) : NULL;
	if (!e->scores || !e->logits || (e->reference && !e->reference_logits))
		return qc_no_memory(err);
	return QC_OK;
}

static void close_evaluator(struct evaluator *e)
{
	free(e->scores);
	free(e->logits);
	free(e->reference_logits);
}

static enum qc_status run(struct evaluator *e, struct qc_err *err)
{
	const struct qc_eval_options *options = e->options;
	enum qc_status s = open_evaluator(e, err);
	const size_t total = e->windows->n;
	const size_t batch = options->batch && options->batch < total ? options->batch : total;

	for (size_t w = 0; !s && w < total; w += batch) {
		const size_t n = total - w < batch ? total - w : batch;

		s = run_batch(e, w, n, err);
	}
	for (size_t w = 0; !s && options->per_window && w < total; w++) {
		double sum = 0;

		for (size_t i = 0; i < e->per_window; i++)
			sum += e->scores[w * e->per_window + i].nll;
		options->per_window[w] = sum / (double)e->per_window;
	}
	return s;
}

enum qc_status qc_eval_windows(struct qc_forward *model, const struct qc_windows *windows,
			       const struct qc_eval_options *options, struct qc_eval *out,
			       struct qc_err *err)
{
	struct evaluator e = {.model = model, .windows = windows, .options = options};
	struct sums nll = {0, 0};
	enum qc_status s = run(&e, err);
	const size_t n = windows->n * e.per_window;

	for (size_t i = 0; !s && i < n; i++)
		add(&nll, e.scores[i].nll);
	if (!s)
		*out = evaluation(&nll, n);
	close_evaluator(&e);
	return s;
}

static int compare_doubles(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Sorts `values`; between two of them linearly. */
static void percentiles(double *values, size_t n, const double *percents, size_t n_percents,
			double *out)
{
	qsort(values, n, sizeof(*values), compare_doubles);
	for (size_t i = 0; i < n_percents; i++) {
		const double at = percents[i] / 100 * (double)(n - 1);
		const size_t low = (size_t)at;

		out[i] = low + 1 < n ? values[low] +
					       (at - (double)low) * (values[low + 1] - values[low])
				     : values[n - 1];
	}
}

/* Perplexities of both and how they go together: errors take the covariance into account, as the
 * same tokens are hard for both. */
static void compare_losses(const struct score *scores, size_t n, struct qc_comparison *out)
{
	struct sums nll = {0, 0}, reference = {0, 0};
	double products = 0, covariance, a, b, ppl, reference_ppl, variance;

	for (size_t i = 0; i < n; i++) {
		add(&nll, scores[i].nll);
		add(&reference, scores[i].reference_nll);
		products += scores[i].nll * scores[i].reference_nll;
	}
	out->tokens = n;
	out->model = evaluation(&nll, n);
	out->reference = evaluation(&reference, n);
	a = out->model.nll.error;
	b = out->reference.nll.error;
	ppl = out->model.ppl.value;
	reference_ppl = out->reference.ppl.value;
	covariance =
		n > 1 ? (products / (double)n - out->model.nll.value * out->reference.nll.value) /
				(double)(n - 1)
		      : 0;
	out->correlation = a * b > 0 ? covariance / (a * b) : 1;
	variance = a * a + b * b - 2 * covariance;
	out->log_ratio = (struct qc_estimate){out->model.nll.value - out->reference.nll.value,
					      variance > 0 ? sqrt(variance) : 0};
	out->ratio.value = exp(out->log_ratio.value);
	out->ratio.error = out->ratio.value * out->log_ratio.error;
	variance = ppl * ppl * a * a + reference_ppl * reference_ppl * b * b -
		   2 * ppl * reference_ppl * covariance;
	out->difference =
		(struct qc_estimate){ppl - reference_ppl, variance > 0 ? sqrt(variance) : 0};
}

/* Divergences and changes of probability; `values` has room for n. */
static void compare_probabilities(const struct score *scores, size_t n, double *values,
				  struct qc_comparison *out)
{
	struct sums kld = {0, 0}, dp = {0, 0}, dp2 = {0, 0}, same = {0, 0};
	struct qc_estimate mean_square;

	for (size_t i = 0; i < n; i++) {
		add(&kld, scores[i].kld);
		values[i] = scores[i].kld;
		add(&same, scores[i].same_top);
	}
	out->kld = estimate(&kld, n);
	out->same_top = estimate(&same, n);
	percentiles(values, n, qc_kld_percentiles, QC_KLD_PERCENTILES, out->kld_at);
	for (size_t i = 0; i < n; i++) {
		values[i] = exp(-scores[i].nll) - exp(-scores[i].reference_nll);
		add(&dp, values[i]);
		add(&dp2, values[i] * values[i]);
	}
	out->dp = estimate(&dp, n);
	mean_square = estimate(&dp2, n);
	out->dp_rms.value = sqrt(mean_square.value);
	out->dp_rms.error = out->dp_rms.value > 0 ? mean_square.error / (2 * out->dp_rms.value) : 0;
	percentiles(values, n, qc_dp_percentiles, QC_DP_PERCENTILES, out->dp_at);
}

enum qc_status qc_eval_against(struct qc_forward *model, struct qc_forward *reference,
			       const struct qc_windows *windows,
			       const struct qc_eval_options *options, struct qc_comparison *out,
			       struct qc_err *err)
{
	struct evaluator e = {model, reference, windows, options, 0, NULL, NULL, NULL, 0};
	const struct qc_graph *a = qc_forward_graph(model), *b = qc_forward_graph(reference);
	double *values;
	size_t n;
	enum qc_status s;

	if (a->vocab != b->vocab)
		return qc_fail(err, QC_USAGE,
			       "'%s' has %u tokens, '%s' %u: only models with the same vocabulary "
			       "can be compared",
			       a->model->path, a->vocab, b->model->path, b->vocab);
	s = qc_windows_check(windows, a->model, b->model, err);
	if (!s)
		s = run(&e, err);
	n = windows->n * e.per_window;
	values = s ? NULL : calloc(n, sizeof(*values));
	if (!s && !values)
		s = qc_no_memory(err);
	if (!s) {
		compare_losses(e.scores, n, out);
		compare_probabilities(e.scores, n, values, out);
	}
	free(values);
	close_evaluator(&e);
	return s;
}
