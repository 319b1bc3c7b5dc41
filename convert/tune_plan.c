#include "convert/tune_plan.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
	qc_fisher_clear(&t->fisher);
	qc_arena_clear(&t->arena);
	free(t->items);
	free(t->parts);
	free(t);
}

enum qc_status qc_tune_open_forward(struct qc_tuning *t, int i, struct qc_err *err)
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

enum qc_status qc_tune_open_model(struct qc_tuning *t, int i, struct qc_err *err)
{
	const struct qc_plan *plan = t->plan;
	struct qc_model *model = &t->models[i];
	enum qc_status s =
		qc_adapters_open(model, plan->model->path, plan->target, t->options, err);

	if (!s)
		s = qc_tune_supports(plan, model, err);
	/* what is quantized are the tensors as the output has them */
	if (!s)
		s = qc_plan_bring_text_to_layout(model, plan->target, t->options, err);
	if (!s && plan->scales)
		s = qc_channel_scales_apply(plan->scales, model, err);
	if (!s && i == 1)
		s = qc_tune_put_overlays(t, model, err);
	if (!s && i == 1 && !t->options->no_bias_correction)
		s = qc_tune_biases_open(&t->biases, t->plan, model, err);
	return s ? s : qc_tune_open_forward(t, i, err);
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

/* Where the held-out windows begin in the original model. */
static size_t original_row(const struct qc_tuning *t)
{
	const struct qc_windows *w = &t->windows;

	return w->length *
	       qc_tune_shared(qc_forward_graph(t->forwards[0]), w->n - t->n_held, w->length);
}

/* The divergence of the held-out windows, run anew: what the quantized model reads has changed. */
static enum qc_status run_held(struct qc_tuning *t, double *each, struct qc_err *err)
{
	const struct qc_windows *w = &t->windows;
	const size_t first = (w->n - t->n_held) * w->length;
	enum qc_status s = qc_tune_open_forward(t, 1, err); /* it keeps a decoded head */

	if (!s)
		s = qc_forward_windows(t->forwards[1], w->ids + first, t->n_held, w->length, err);
	return s ? s
		 : qc_tune_divergences(t->forwards[0], original_row(t), t->forwards[1], 0,
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
		s = qc_tune_divergences(t->forwards[0], original_row(t), t->forwards[1], first,
					rows, tuned, err);
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
	c->n_gradients = t->fisher.n_tokens;
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
		s = qc_tune_open_model(t, i, err);
	if (!s)
		s = qc_learn_windows(&t->windows, &t->n_held, &t->models[0], t->options, err);
	if (!s && t->options->calib_gradients)
		s = qc_fisher_learn(&t->fisher, t->forwards[0], t->windows.ids,
				    t->windows.n - t->n_held, t->windows.length, err);
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
