#include "convert/tune_plan.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "calib/awq.h"
#include "calib/paired.h"
#include "convert/adapters.h"
#include "convert/learn.h"
#include "convert/plan_layout.h"
#include "convert/tune_items.h"

#define DAMP 0.05f /* of the mean second moment: best on held-out text among .002 to .3 */

bool qc_tune_asked(const struct qconv_options *options)
{
	return options->calib && (!options->method || !strcasecmp(options->method, "gptq"));
}

void qc_tuning_free(struct qc_tuning *t)
{
	if (!t)
		return;
	for (int i = 0; i < 2; i++) {
		qc_forward_close(t->forwards[i]);
		qc_model_close(&t->models[i]);
	}
	qc_windows_clear(&t->windows);
	qc_strmap_clear(&t->by_name);
	qc_strmap_clear(&t->by_weight);
	qc_spill_close(&t->file);
	qc_tune_biases_free(t->biases);
	qc_arena_clear(&t->arena);
	free(t->items);
	free(t->parts);
	free(t);
}

static enum qc_status open_forward(struct qc_tuning *t, int i, struct qc_err *err)
{
	const struct qc_forward_options options = {
		.threads = t->options->threads,
		.stop = t->options->stop,
		.mem_limit = t->plan->calibration.share,
	};

	qc_forward_close(t->forwards[i]);
	t->forwards[i] = NULL;
	return qc_forward_open(&t->forwards[i], &t->models[i], &options, err);
}

enum qc_status qc_tune_supports(const struct qc_plan *plan, const struct qc_model *model,
				struct qc_err *err)
{
	if (plan->target->layout_kind != QC_LAYOUT_HF || model->layout != QC_LAYOUT_GGUF)
		return QC_OK;
	return qc_fail(err, QC_UNSUPPORTED,
		       "--calib: a directory made from a GGUF, '%s', cannot be calibrated: "
		       "take the checkpoint it was made from, or --method search",
		       model->path);
}

static enum qc_status open_model(struct qc_tuning *t, int i, struct qc_err *err)
{
	const struct qc_plan *plan = t->plan;
	struct qc_model *model = &t->models[i];
	enum qc_status s =
		qc_adapters_open(model, plan->model->path, plan->target, t->options, err);

	if (!s)
		s = qc_tune_supports(plan, model, err);
	/* what is quantized are the tensors as the output has them */
	if (!s)
		s = qc_plan_bring_to_layout(model, plan->target, t->options, err);
	if (!s && plan->scales)
		s = qc_channel_scales_apply(plan->scales, model, err);
	if (!s && i == 1)
		s = qc_tune_put_overlays(t, model, err);
	if (!s && i == 1 && !t->options->no_bias_correction)
		s = qc_tune_biases_open(&t->biases, t->plan, model, err);
	return s ? s : open_forward(t, i, err);
}

static bool wants(void *user, const struct qc_weight *weight)
{
	return qc_tune_part_of(user, weight->tensor->name, 0);
}

static enum qc_status solve(void *user, const struct qc_tune_job *job, struct qc_err *err)
{
	struct qc_tuning *t = user;

	const char *name = job->weight->tensor->name;
	enum qc_status s = qc_tune_matrix(t, qc_tune_part_of(t, name, job->index), job, err);

	return s ? s
		 : qc_tune_bias(t->biases, job, qc_model_find(&t->models[0], name),
				qc_forward_threads(t->forwards[1]), err);
}

static void show(void *user, uint32_t block, uint32_t n_blocks)
{
	const struct qc_tuning *t = user;
	const struct qconv_progress progress = {
		.phase = "calibrate",
		.bytes_done = block,
		.bytes_total = n_blocks,
	};

	if (t->options->progress)
		t->options->progress(&progress, t->options->user);
}

/* The divergence of the held-out windows, run anew: what the quantized model reads has changed. */
static enum qc_status run_held(struct qc_tuning *t, double *each, struct qc_err *err)
{
	const struct qc_windows *w = &t->windows;
	const size_t first = (w->n - t->n_held) * w->length;
	enum qc_status s = open_forward(t, 1, err); /* it keeps a decoded head */

	if (!s)
		s = qc_forward_windows(t->forwards[1], w->ids + first, t->n_held, w->length, err);
	return s ? s
		 : qc_tune_divergences(t->forwards[0], first, t->forwards[1], 0,
				       t->n_held * w->length, each, err);
}

static double mean_of(const double *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i];
	return sum / (double)n;
}

/* Corrected biases stay when the whole is better with them. tuned: what each token's divergence is
 * with them, then with what stays; other: room for as many. */
static enum qc_status compare_biases(struct qc_tuning *t, double *tuned, double *other,
				     struct qc_err *err)
{
	const size_t rows = t->n_held * t->windows.length;
	struct qc_calibrated *c = &t->plan->calibration;
	enum qc_status s;

	c->n_biases = t->biases ? qc_tune_biases_count(t->biases) : 0;
	if (!c->n_biases)
		return QC_OK;
	c->biased_kld = mean_of(tuned, rows);
	qc_tune_biases_show(t->biases, false);
	s = run_held(t, other, err);
	if (s)
		return s;
	c->unbiased_kld = mean_of(other, rows);
	c->biases_kept = qc_paired_below(tuned, other, t->n_held, t->windows.length);
	if (!c->biases_kept)
		memcpy(tuned, other, rows * sizeof(*tuned));
	return QC_OK;
}

/* The whole on the held-out windows, calibrated and as data-free search would have it. */
static enum qc_status compare(struct qc_tuning *t, struct qc_err *err)
{
	const struct qc_windows *w = &t->windows;
	const size_t first = (w->n - t->n_held) * w->length, rows = t->n_held * w->length;
	struct qc_calibrated *c = &t->plan->calibration;
	double *tuned = calloc(rows, 2 * sizeof(*tuned)), *other = tuned ? tuned + rows : NULL;
	enum qc_status s = tuned ? QC_OK : qc_no_memory(err);

	if (!s)
		s = qc_tune_divergences(t->forwards[0], first, t->forwards[1], first, rows, tuned,
					err);
	if (!s)
		s = compare_biases(t, tuned, other, err);
	for (size_t i = 0; i < t->n_items; i++)
		if (t->items[i].overlay && t->items[i].overlay->n_done)
			t->items[i].overlay->searches = true;
	if (!s)
		s = run_held(t, other, err);
	if (!s) {
		c->kld = mean_of(tuned, rows);
		c->searched_kld = mean_of(other, rows);
		c->kept = qc_paired_below(tuned, other, t->n_held, w->length);
	}
	free(tuned);
	return s;
}

static enum qc_status conclude(struct qc_tuning *t, struct qc_err *err)
{
	struct qc_calibrated *c = &t->plan->calibration;
	bool rounded = false;
	enum qc_status s = QC_OK;

	c->done = true;
	c->n_windows = t->windows.n;
	c->n_held = t->n_held;
	c->length = t->windows.length;
	for (size_t i = 0; !s && i < t->n_items; i++) {
		struct qc_tune_item *item = &t->items[i];

		if (!item->overlay || item->overlay->n_done < item->rows->rows)
			continue;
		c->n_tensors++;
		c->n_better += item->n_kept > 0;
		if (c->kept && item->n_kept) {
			s = qc_tune_finish(t, item, err);
			rounded = rounded || item->rounded != 0;
		}
	}
	if (!s && c->kept && c->biases_kept)
		qc_tune_biases_finish(t->biases);
	if (!c->kept)
		t->plan->method = "search";
	/* texts that hold numbers may have another length now */
	return s || !rounded ? s : qc_plan_lay_out(t->plan, err);
}

static enum qc_status tune(struct qc_tuning *t, struct qc_err *err)
{
	const struct qc_tune_options options = {
		.damp = DAMP,
		.wants = wants,
		.solve = solve,
		.progress = show,
		.user = t,
	};
	enum qc_status s = qc_tune_find_items(t, err);

	if (s || !t->n_items)
		return s;
	for (int i = 0; !s && i < 2; i++)
		s = open_model(t, i, err);
	if (!s)
		s = qc_learn_windows(&t->windows, &t->n_held, &t->models[0], t->options, err);
	if (!s)
		s = qc_tune(t->forwards[0], t->forwards[1], t->windows.ids, t->windows.n,
			    t->windows.length, t->n_held, &options, err);
	if (!s)
		s = compare(t, err);
	return s ? s : conclude(t, err);
}

enum qc_status qc_tune_plan(struct qc_plan *plan, const struct qconv_options *options,
			    struct qc_tuning **tuning, struct qc_err *err)
{
	struct qc_tuning *t;
	enum qc_status s;

	*tuning = NULL;
	if (!qc_tune_asked(options))
		return QC_OK;
	t = calloc(1, sizeof(*t));
	if (!t)
		return qc_no_memory(err);
	t->plan = plan;
	t->options = options;
	s = tune(t, err);
	if (s) {
		qc_tuning_free(t);
		return s;
	}
	/* only the rows are needed from now on */
	for (int i = 0; i < 2; i++) {
		qc_forward_close(t->forwards[i]);
		t->forwards[i] = NULL;
		qc_model_close(&t->models[i]);
	}
	*tuning = t;
	return QC_OK;
}

/* The moments of the widest input, twice and with what the solver makes of them, its rows, and what
 * is caught of `caught` rows of activations: inputs of both models, outputs, and what is wanted. */
static uint64_t solver_bytes(const struct qc_graph *g, uint64_t caught)
{
	enum { SQUARES = 8, ROW_FORMS = 3, CAUGHT_FORMS = 3 };
	uint64_t most = 0;

	for (uint32_t i = 0; i < g->n_blocks; i++)
		for (int slot = 0; slot < QC_SLOTS; slot++) {
			const struct qc_weight *w = &g->blocks[i].slots[slot];
			const uint64_t side = w->in > g->width ? w->in : g->width;
			const uint64_t rows = w->in * w->out < QC_TUNE_AT_A_TIME
						      ? w->in * w->out
						      : QC_TUNE_AT_A_TIME;
			const uint64_t n = SQUARES * w->in * side + ROW_FORMS * rows +
					   CAUGHT_FORMS * caught * (w->in + g->width);

			if (w->tensor && w->out > 1 && n > most)
				most = n;
		}
	return most * sizeof(float);
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

/* What it takes when each model's passes may take t->plan->calibration.share. */
static enum qc_status count(struct qc_tuning *t, bool tunes, uint64_t n_models,
			    struct qc_forward_plan *forward, uint64_t *fixed, struct qc_err *err)
{
	const struct qconv_options *o = t->options;
	enum qc_status s = open_forward(t, 0, err);
	const struct qc_graph *g;
	uint64_t all;

	if (s)
		return s;
	g = qc_forward_graph(t->forwards[0]);
	qc_forward_plan(t->forwards[0], qc_learn_most(o),
			o->calib_ctx ? o->calib_ctx : QC_WINDOW_LENGTH, forward);
	*fixed = tunes ? solver_bytes(g, forward->rows) + kept_bytes(o, g) : qc_awq_bytes(g);
	if (!qc_mul(n_models, forward->peak, &all) || !qc_add(all, *fixed, &all))
		return qc_fail(err, QC_UNSUPPORTED, "--calib: windows of %zu tokens are too long",
			       (size_t)o->calib_ctx);
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
	s = open_model(&t, 0, err);
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
