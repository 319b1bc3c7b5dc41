/* The memory of --calib, counted before it starts. */
#include "convert/tune_plan.h"

#include <string.h>

#include "base/checked.h"
#include "calib/awq.h"
#include "calib/coupled.h"
#include "convert/learn.h"
#include "convert/tune_items.h"

/* Bytes for the passes of each model where no limit was named: the states of a 4B model stay in
 * memory, what is larger goes to a file. */
static const uint64_t default_share = 3ull << 30;

/* What it takes to solve a matrix, on `threads` threads, where `caught` rows of activations are
 * caught at a time and the outputs join a stream of `width` channels, or do not. */
static uint64_t matrix_bytes(const struct qc_weight *w, bool joins, uint64_t width, uint64_t caught,
			     int threads)
{
	/* H of the windows to learn from and of those held out, u; with D of both; T */
	const uint64_t squares = (joins ? 3 : 5) * w->in * w->in + (joins ? 2 * w->out * w->in : 0);
	const uint64_t all = w->in * w->out;
	const uint64_t rows = all < QC_TUNE_AT_A_TIME ? all : QC_TUNE_AT_A_TIME;
	/* rows as they are and as they should be, and two of blocks, which take up to 9 bits */
	const uint64_t forms = 3 * rows;
	const uint64_t inputs = caught * (w->in + (joins ? 2 * width : 0));

	return (squares + forms + inputs + (uint64_t)threads * QC_GPTQ_WORK(w->in)) * sizeof(float);
}

/* Of the matrix that takes most, and of what the BLAS packs on every thread. */
static uint64_t solver_bytes(const struct qc_graph *g, uint64_t caught, int threads)
{
	const uint64_t packed = (uint64_t)threads * (12ull << 20);
	uint64_t most = matrix_bytes(&g->head, false, g->width, caught, threads), n;

	for (uint32_t i = 0; i < g->n_blocks; i++)
		for (int slot = 0; slot < QC_SLOTS; slot++) {
			const struct qc_weight *w = &g->blocks[i].slots[slot];

			if (!w->tensor || w->out == 1)
				continue;
			n = matrix_bytes(w, qc_tune_joins(g, slot), g->width, caught, threads);
			most = n > most ? n : most;
		}
	return most + packed;
}

/* Of the widest input of all windows, where it is kept in memory. */
static uint64_t kept_bytes(const struct qconv_options *o, const struct qc_graph *g)
{
	const uint64_t length = o->calib_ctx ? o->calib_ctx : QC_WINDOW_LENGTH;
	uint64_t most = 0, bytes;

	for (uint32_t i = 0; i < g->n_blocks; i++)
		for (int slot = 0; slot < QC_SLOTS; slot++)
			if (g->blocks[i].slots[slot].in > most)
				most = g->blocks[i].slots[slot].in;
	if (o->mem_limit || !qc_mul(most, length, &bytes) ||
	    !qc_mul(bytes, qc_learn_most(o) * sizeof(float), &bytes))
		return 0;
	return bytes < QC_TUNE_KEPT_BYTES ? bytes : QC_TUNE_KEPT_BYTES;
}

/* Of what gradients, and rows that make up for each other, take. */
static enum qc_status count_gradients(struct qc_tuning *t, const struct qc_graph *g,
				      uint64_t *fixed, struct qc_err *err)
{
	const struct qconv_options *o = t->options;
	const int threads = qc_forward_threads(t->forwards[0]);
	const size_t length = o->calib_ctx ? o->calib_ctx : QC_WINDOW_LENGTH;
	enum qc_status s = qc_fisher_supports(g, err);

	if (s)
		return qc_fail_in(err, "--calib-gradients");
	if (!qc_add(*fixed, qc_fisher_bytes(g, qc_learn_most(o), length, threads), fixed) ||
	    !qc_add(*fixed, qc_coupled_bytes(g, threads), fixed))
		return qc_fail(err, QC_UNSUPPORTED, "--calib: windows of %zu tokens are too long",
			       length);
	return QC_OK;
}

/* What the original's passes take, which may go through fewer windows than those of the other
 * model, which take `all`. */
static uint64_t original_peak(const struct qc_tuning *t, uint64_t all)
{
	const struct qconv_options *o = t->options;
	const size_t length = o->calib_ctx ? o->calib_ctx : QC_WINDOW_LENGTH;
	const size_t most = qc_learn_most(o);
	const size_t held = most / QC_LEARN_HELD_OUT + 1;
	const size_t n = held + qc_tune_shared(qc_forward_graph(t->forwards[0]), most, length);
	struct qc_forward_plan forward;

	qc_forward_plan(t->forwards[0], n < most ? n : most, length, &forward);
	/* gradients are those of all windows */
	return o->calib_gradients && forward.peak < all ? all : forward.peak;
}

/* What it takes when each model's passes may take t->plan->calibration.share. */
static enum qc_status count(struct qc_tuning *t, bool tunes, uint64_t n_models,
			    struct qc_forward_plan *forward, uint64_t *fixed, struct qc_err *err)
{
	const struct qconv_options *o = t->options;
	enum qc_status s = qc_tune_open_forward(t, 0, err);
	const struct qc_graph *g;
	uint64_t all, last;

	if (s)
		return s;
	g = qc_forward_graph(t->forwards[0]);
	qc_forward_plan(t->forwards[0], qc_learn_most(o),
			o->calib_ctx ? o->calib_ctx : QC_WINDOW_LENGTH, forward);
	*fixed = tunes ? solver_bytes(g, forward->rows, qc_forward_threads(t->forwards[0])) +
				 kept_bytes(o, g)
		       : qc_awq_bytes(g);
	if (tunes && o->calib_gradients) {
		s = count_gradients(t, g, fixed, err);
		if (s)
			return s;
	}
	/* predictions are made when all matrices are done */
	last = forward->head + forward->logits;
	if (!qc_mul(n_models, forward->peak, &all) || !qc_add(all, *fixed, &all))
		return qc_fail(err, QC_UNSUPPORTED, "--calib: windows of %zu tokens are too long",
			       (size_t)o->calib_ctx);
	if (tunes)
		all -= n_models * last < *fixed ? n_models * last : *fixed;
	if (tunes)
		all = all - forward->peak + original_peak(t, forward->peak);
	t->plan->calibration.bytes = all;
	return QC_OK;
}

/* Divide --mem-limit between the models, and refuse what is too little with what would do. */
static enum qc_status share_memory(struct qc_tuning *t, bool tunes, uint64_t n_models,
				   uint64_t fixed, struct qc_err *err)
{
	enum { TRIES = 50, LEAST = 64 };
	struct qc_calibrated *c = &t->plan->calibration;
	const uint64_t limit = t->options->mem_limit, rest = t->plan->peak_bytes;
	struct qc_forward_plan forward;
	uint64_t least;
	enum qc_status s = QC_OK;

	fixed += rest;
	c->share = limit > fixed + n_models * LEAST ? (limit - fixed) / n_models : LEAST;
	s = count(t, tunes, n_models, &forward, &fixed, err);
	if (s || rest + c->bytes <= limit)
		return s;
	/* more memory lets more logits be made at a time: up to where it is enough */
	c->share = LEAST;
	for (int i = 0; !s && i < TRIES; i++) {
		s = count(t, tunes, n_models, &forward, &fixed, err);
		if (forward.peak <= c->share)
			break;
		c->share = forward.peak;
	}
	least = rest + c->bytes;
	return s ? s
		 : qc_fail(err, QC_UNSUPPORTED,
			   "--mem-limit: calibration needs at least %llu bytes of memory, %llu are "
			   "allowed; a smaller --calib-ctx needs less",
			   (unsigned long long)least, (unsigned long long)limit);
}

enum qc_status qc_tune_memory(struct qc_plan *plan, const struct qconv_options *options,
			      struct qc_err *err)
{
	struct qc_tuning t = {.plan = plan, .options = options};
	const bool tunes = qc_tune_asked(options) && !strcmp(plan->method, "gptq");
	/* the model with which channel scales were chosen is there all the time */
	const uint64_t n_models = options->awq && tunes ? 3 : 2;
	struct qc_forward_plan forward;
	uint64_t fixed = 0;
	enum qc_status s;

	if (!options->awq && !tunes)
		return QC_OK;
	plan->calibration.share = options->mem_limit ? 0 : default_share;
	s = qc_tune_open_model(&t, 0, err);
	if (!s)
		s = count(&t, tunes, n_models, &forward, &fixed, err);
	if (!s && options->mem_limit)
		s = share_memory(&t, tunes, n_models, fixed, err);
	if (!s)
		plan->peak_bytes += plan->calibration.bytes;
	qc_forward_close(t.forwards[0]);
	qc_model_close(&t.models[0]);
	return s;
}
