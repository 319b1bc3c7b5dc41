#include "convert/awq_plan.h"

#include <math.h>
#include <stdlib.h>

#include "calib/stats.h"
#include "convert/adapters.h"
#include "convert/awq_items.h"
#include "convert/budget.h"
#include "convert/jobs.h"
#include "convert/learn.h"

enum qc_status qc_awq_check(const struct qconv_options *options, struct qc_err *err)
{
	const char *other = options->act	       ? "--act"
			    : options->lora_only       ? "--lora-only"
			    : options->prune_layers    ? "--prune-layers"
			    : qc_budget_asked(options) ? "--target-bpw and --target-size"
						       : NULL;

	if (!options->awq)
		return QC_OK;
	if (!options->calib)
		return qc_fail(err, QC_USAGE, "--awq learns from a text: give one with --calib");
	if (other)
		return qc_fail(err, QC_USAGE, "--awq does not go with %s", other);
	return QC_OK;
}

static enum qc_status open_original(struct qc_awq *a, struct qc_err *err)
{
	const struct qc_forward_options options = {
		.threads = a->options->threads,
		.stop = a->options->stop,
		.mem_limit = a->plan->calibration.share,
	};
	enum qc_status s =
		qc_adapters_open(&a->model, a->plan->model->path, a->plan->target, a->options, err);

	if (!s)
		s = qc_tune_supports(a->plan, &a->model, err);
	if (!s)
		s = qc_forward_open(&a->forward, &a->model, &options, err);
	return s ? s : qc_learn_windows(&a->windows, &a->n_held, &a->model, a->options, err);
}

static void close_original(struct qc_awq *a)
{
	qc_forward_close(a->forward);
	qc_model_close(&a->model);
	qc_windows_clear(&a->windows);
	qc_strmap_clear(&a->steps);
	qc_arena_clear(&a->arena);
	free(a->results);
}

static enum qc_status choose_scales(struct qc_awq *a, struct qc_err *err)
{
	struct qc_awq_options options = {
		.wants = qc_awq_wants,
		.solve = qc_awq_solve,
		.user = a,
	};
	enum qc_status s = qc_awq_name_steps(a, err);

	if (!s)
		s = open_original(a, err);
	options.n_held = a->n_held;
	return s ? s
		 : qc_awq_run(a->forward, a->windows.ids, a->windows.n, a->windows.length, &options,
			      err);
}

/* What the plan has come to on the held-out windows. */
static enum qc_status divergence(struct qc_awq *a, struct qc_plan *plan, double *kld,
				 struct qc_tuning **tuning, struct qc_err *err)
{
	enum qc_status s;

	if (!qc_tune_asked(a->options))
		return qc_awq_divergence(a, plan, kld, err);
	s = qc_tune_plan(plan, a->options, tuning, err);
	*kld = plan->calibration.kept ? plan->calibration.kld : plan->calibration.searched_kld;
	return s;
}

static void free_scales(struct qc_channel_scales *scales)
{
	if (scales)
		qc_channel_scales_clear(scales);
	free(scales);
}

/* The plan for the model with these kinds of inputs scaled; its model and scales are its own. */
static enum qc_status build_scaled(struct qc_awq *a, struct qc_plan *plain, unsigned kinds,
				   struct qc_plan *plan, struct qc_err *err)
{
	struct qc_model *model = calloc(1, sizeof(*model));
	struct qc_channel_scales *scales = calloc(1, sizeof(*scales));
	struct qc_imatrix weights = {0};
	const struct qc_plan_given given = {plain->learnt ? &weights : NULL, scales};
	enum qc_status s = model && scales ? qc_awq_fold(a, kinds, scales, err) : qc_no_memory(err);

	if (!s)
		s = qc_adapters_open(model, plain->model->path, plain->target, a->options, err);
	if (!s && plain->learnt)
		s = qc_imatrix_merge(&weights, &plain->imatrix, 0, err);
	if (!s)
		s = qc_plan_build_given(plan, model, plain->target, a->options, &given, err);
	qc_imatrix_clear(&weights);
	if (!s) {
		plan->own_model = model;
		plan->calibration.bytes = plain->calibration.bytes;
		plan->calibration.share = plain->calibration.share;
		return qc_jobs_measure(plan, a->options, err);
	}
	if (model)
		qc_model_close(model);
	free(model);
	free_scales(scales);
	return s;
}

/* Kinds of inputs one after the other, each kept when the predictions of the held-out windows come
 * nearer to the model's with it, all matrices quantized without calibration. */
static enum qc_status choose_kinds(struct qc_awq *a, struct qc_plan *plain, unsigned *kinds,
				   double *kld, struct qc_err *err)
{
	unsigned found = 0;
	double least;
	enum qc_status s = qc_awq_divergence(a, plain, &least, err);

	for (size_t i = 0; i < a->n_results; i++)
		found |= 1u << a->results[i].group.kind;
	*kinds = 0;
	for (unsigned k = 0; !s && k < QC_AWQ_KINDS; k++) {
		struct qc_plan plan = {0};
		double with = INFINITY;

		if (!(found & (1u << k)))
			continue;
		s = build_scaled(a, plain, *kinds | 1u << k, &plan, err);
		if (!s)
			s = qc_awq_divergence(a, &plan, &with, err);
		if (!s && with < least) {
			least = with;
			*kinds |= 1u << k;
		}
		qc_plan_clear(&plan);
	}
	*kld = least;
	return s;
}

static void swap(struct qc_plan *a, struct qc_plan *b)
{
	const struct qc_plan kept = *a;

	*a = *b;
	*b = kept;
}

/* With the scales the whole is calibrated anew; what is better then stays in *plan. */
static enum qc_status compare(struct qc_awq *a, struct qc_plan *plan, unsigned kinds,
			      struct qc_scaling *result, struct qc_tuning **tuning,
			      struct qc_err *err)
{
	struct qc_plan scaled = {0};
	struct qc_tuning *other = NULL, *worse;
	enum qc_status s = divergence(a, plan, &result->plain_kld, tuning, err);

	if (!s)
		s = build_scaled(a, plan, kinds, &scaled, err);
	if (!s) {
		swap(plan, &scaled); /* a tuning keeps its plan's address */
		s = divergence(a, plan, &result->kld, &other, err);
		result->kept = !s && result->kld < result->plain_kld;
		if (!result->kept)
			swap(plan, &scaled);
	}
	worse = result->kept ? *tuning : other;
	*tuning = result->kept ? other : *tuning;
	qc_tuning_free(worse);
	qc_plan_clear(&scaled);
	return s;
}

static enum qc_status scale(struct qc_awq *a, struct qc_plan *plan, struct qc_tuning **tuning,
			    struct qc_err *err)
{
	struct qc_scaling result = {.done = true};
	unsigned kinds = 0;
	enum qc_status s = choose_scales(a, err);

	if (!s)
		s = choose_kinds(a, plan, &kinds, &result.kld, err);
	result.n_groups = a->n_groups;
	for (size_t i = 0; i < a->n_results; i++)
		result.n_scaled += kinds >> a->results[i].group.kind & 1;
	if (!s && kinds)
		s = compare(a, plan, kinds, &result, tuning, err);
	else if (!s)
		s = qc_tune_plan(plan, a->options, tuning, err);
	plan->awq = result;
	return s;
}

enum qc_status qc_awq_plan(struct qc_plan *plan, const struct qconv_options *options,
			   struct qc_tuning **tuning, struct qc_err *err)
{
	struct qc_awq a = {.plan = plan, .options = options};
	enum qc_status s = qc_jobs_measure(plan, options, err);

	*tuning = NULL;
	if (s || !options->awq)
		return s ? s : qc_tune_plan(plan, options, tuning, err);
	s = scale(&a, plan, tuning, err);
	close_original(&a);
	return s;
}
