#include "convert/plan.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "convert/awq_plan.h"
#include "convert/budget.h"
#include "convert/gguf_options.h"
#include "convert/hf_choice.h"
#include "convert/importance.h"
#include "convert/input_scales.h"
#include "convert/learn.h"
#include "convert/plan_cost.h"
#include "convert/plan_layout.h"
#include "convert/plan_steps.h"
#include "convert/recipe.h"
#include "convert/recipe_site.h"
#include "convert/tune_plan.h"
#include "formats/experts_split.h"
#include "formats/hf.h"

#define QUANTIZATION_VERSION 2 /* ggml.h: GGML_QNT_VERSION */

static enum qc_status update_metadata(struct qc_model *model, uint32_t file_type,
				      struct qc_err *err)
{
	static const char unknown[] =
		"unknown"; /* GGUF requires the key; llama.cpp then says why it cannot run it */
	struct qc_meta *meta = &model->meta;
	enum qc_status s = QC_OK;

	qc_meta_remove(meta, "split.no");
	qc_meta_remove(meta, "split.count");
	qc_meta_remove(meta, "split.tensors.count");
	if (!qc_meta_find(meta, "general.architecture"))
		s = qc_meta_set_string(meta, "general.architecture", unknown, sizeof(unknown) - 1,
				       err);
	if (!s)
		s = qc_meta_set_u32(meta, "general.quantization_version", QUANTIZATION_VERSION,
				    err);
	if (!s)
		s = qc_meta_set_u32(meta, "general.file_type", file_type, err);
	return s;
}

static enum qc_status check_limits(const struct qc_plan *plan, const struct qconv_options *options,
				   struct qc_err *err)
{
	const struct qc_model *model = plan->model;

	if (options->strict && model->n_drops)
		return qc_fail(err, QC_REFUSED,
			       "--strict: %zu tensor%s would be dropped, first '%s': %s",
			       model->n_drops, model->n_drops == 1 ? "" : "s", model->drops[0].name,
			       model->drops[0].reason);
	if (options->mem_limit && plan->peak_bytes > options->mem_limit)
		return qc_fail(err, QC_UNSUPPORTED,
			       "--mem-limit: %llu bytes of memory are needed with %u thread%s, "
			       "%llu are allowed%s",
			       (unsigned long long)plan->peak_bytes, plan->threads,
			       plan->threads == 1 ? "" : "s",
			       (unsigned long long)options->mem_limit,
			       plan->threads > 1 ? "; fewer --threads need less" : "");
	return QC_OK;
}

static enum qc_status bring_to_layout(struct qc_model *model, const struct qc_format *target,
				      const struct qconv_options *options, bool whole,
				      struct qc_err *err)
{
	const struct qc_packing *packing =
		options->quant ? qc_packing_find(options->quant, options->layout) : NULL;
	enum qc_status s;

	if (target->layout_kind != QC_LAYOUT_HF)
		return qc_model_set_layout(model, target->layout_kind, err);
	model->single_experts = packing && packing->splits_turned;
	s = model->layout == QC_LAYOUT_GGUF ? qc_model_set_layout(model, QC_LAYOUT_HF, err)
	    : whole			    ? qc_hf_restore_dropped(model, err)
					    : QC_OK;
	if (s || (packing && packing->splits_turned))
		return s ? s : qc_experts_split(model, true, err);
	s = qc_experts_join(model, err);
	return s || !packing || !packing->splits_experts ? s : qc_experts_split(model, false, err);
}

enum qc_status qc_plan_bring_to_layout(struct qc_model *model, const struct qc_format *target,
				       const struct qconv_options *options, struct qc_err *err)
{
	return bring_to_layout(model, target, options, true, err);
}

enum qc_status qc_plan_bring_text_to_layout(struct qc_model *model, const struct qc_format *target,
					    const struct qconv_options *options, struct qc_err *err)
{
	return bring_to_layout(model, target, options, false, err);
}

/* Every tensor moves as it is. */
static enum qc_status choose_stored(const struct qc_model *model, struct qc_choice *choices)
{
	for (size_t i = 0; i < model->n_tensors; i++) {
		choices[i].type = model->tensors[i].source->type;
		choices[i].why = "moved";
	}
	return QC_OK;
}

/* Where types are chosen for a size the recipe only tells which tensors are quantized. */
static enum qc_status choose(struct qc_plan *plan, const struct qconv_options *options,
			     struct qc_choice *choices, uint32_t *file_type, struct qc_err *err)
{
	struct qconv_options base = *options;
	enum qc_status s;

	if (plan->verbatim)
		return choose_stored(plan->model, choices);
	if (plan->target->layout_kind == QC_LAYOUT_HF)
		return qc_budget_asked(options) ? qc_budget_choose(plan, options, choices, err)
						: qc_hf_choose(plan, options, choices, err);
	if (qc_budget_asked(options) && !base.quant)
		base.quant = "q4_K";
	plan->search = !options->method || strcasecmp(options->method, "reference");
	s = qc_recipe_choose(plan->model, plan->target, &base, &plan->arena, choices, file_type,
			     err);
	if (!s && qc_budget_asked(options))
		s = qc_budget_choose(plan, options, choices, err);
	return s;
}

/* The method matters where something is searched. */
static void name_method(struct qc_plan *plan)
{
	for (size_t i = 0; i < plan->n_steps; i++)
		if (plan->steps[i].search)
			plan->method = "search";
}

static int by_module(const void *a, const void *b)
{
	return qc_hf_name_order(((const struct qc_step *)a)->name,
				((const struct qc_step *)b)->name);
}

static int by_visit(const void *a, const void *b)
{
	return qc_visit_order(((const struct qc_step *)a)->name, ((const struct qc_step *)b)->name);
}

/* A GGUF without a recipe keeps its order; everything else comes in llama-quantize's, so that the
 * file is the same as its, whatever the order of the source's shards. */
static bool keeps_order(const struct qc_plan *plan, const struct qconv_options *options)
{
	const struct qc_format *source = plan->model->format;

	return plan->verbatim || (source && source->layout_kind == QC_LAYOUT_GGUF &&
				  !options->quant && !qc_budget_asked(options));
}

static bool is_any_starved(const struct qc_choice *choices, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (choices[i].starved)
			return true;
	return false;
}

static enum qc_status plan_fill(struct qc_plan *plan, const struct qconv_options *options,
				struct qc_err *err)
{
	struct qc_model *model = plan->model;
	struct qc_choice *choices;
	uint32_t file_type = 0;
	enum qc_status s = qc_plan_bring_to_layout(model, plan->target, options, err);

	if (!s && plan->scales)
		s = qc_channel_scales_apply(plan->scales, model, err);
	if (s)
		return s;
	choices = calloc(model->n_tensors + 1, sizeof(*choices));
	if (!choices)
		return qc_no_memory(err);
	s = qc_importance_read(plan, options, err);
	if (!s && qc_learn_asked(options))
		s = qc_learn_expect(plan, options, err);
	if (!s && plan->scales)
		qc_importance_scale(plan);
	if (!s)
		s = qc_prune_blocks(plan, options, err);
	if (!s)
		s = qc_input_scales_set(plan, options, err);
	if (!s)
		s = choose(plan, options, choices, &file_type, err);
	if (!s && options->calib && is_any_starved(choices, model->n_tensors))
		s = qc_learn_expect(plan, options, err);
	if (!s)
		s = qc_plan_fill_steps(plan, choices, options, err);
	for (size_t i = 0; !s && plan->scales && i < plan->n_steps; i++)
		plan->steps[i].exact &=
			!qc_channel_scales_touch(plan->scales, plan->steps[i].tensor);
	if (!s)
		s = qc_input_scales_check(plan, options, err);
	free(choices);
	name_method(plan);
	if (!s && plan->target->layout_kind == QC_LAYOUT_GGUF && !plan->verbatim)
		s = update_metadata(model, file_type, err);
	if (!s && plan->target->layout_kind == QC_LAYOUT_GGUF)
		s = qc_importance_keys(plan, &model->meta, err);
	if (!s)
		s = qc_prune_metadata(plan, err);
	if (!s)
		s = qc_override_kv(plan, options, err);
	if (!s && plan->target->layout_kind == QC_LAYOUT_HF)
		qsort(plan->steps, plan->n_steps, sizeof(*plan->steps), by_module);
	if (!s && plan->target->layout_kind == QC_LAYOUT_GGUF && !keeps_order(plan, options))
		qsort(plan->steps, plan->n_steps, sizeof(*plan->steps), by_visit);
	if (!s)
		s = qc_plan_lay_out(plan, err);
	if (!s)
		s = qc_plan_order(plan, err);
	if (!s)
		s = qc_plan_count_cost(plan, options, err);
	return s ? s : check_limits(plan, options, err);
}

static enum qc_status plan_build(struct qc_plan *plan, struct qc_model *model,
				 const struct qc_format *target, bool verbatim,
				 const struct qconv_options *options,
				 const struct qc_plan_given *given, struct qc_err *err)
{
	enum qc_status s;

	memset(plan, 0, sizeof(*plan));
	plan->scales = given->scales;
	if (given->weights) {
		plan->imatrix = *given->weights;
		plan->imatrix_path = options->calib;
		plan->learnt = true;
		memset(given->weights, 0, sizeof(*given->weights));
	}
	plan->model = model;
	plan->target = target;
	plan->verbatim = verbatim;
	plan->recipe = options->quant		  ? options->quant
		       : qc_budget_asked(options) ? "types for the size"
						  : "source precision";
	plan->method = "reference";
	plan->shard_bytes = options->shard_bytes;
	plan->split = (struct qc_split){options->split_bytes, options->split_tensors};
	if (target->layout_kind != QC_LAYOUT_GGUF &&
	    (plan->split.max_bytes || plan->split.max_tensors))
		return qc_fail(err, QC_USAGE,
			       "--split-max-size and --split-max-tensors are for GGUF: the output "
			       "must end in .gguf");
	if (!target->layout)
		return qc_fail(err, QC_UNSUPPORTED, "qconv does not write %s files", target->name);
	if (!qc_isa_detect(&plan->isa))
		return qc_fail(err, QC_USAGE,
			       "QCONV_CPU: not a level that this CPU has (it has %s)",
			       qc_isa_name(plan->isa));
	s = qc_gguf_options_check(target, options, err);
	if (!s)
		s = qc_awq_check(options, err);
	if (!s && options->calib_gradients && !qc_tune_asked(options))
		s = qc_fail(err, QC_USAGE,
			    "--calib-gradients is a part of --method gptq: it needs --calib TEXT");
	if (!s)
		s = plan_fill(plan, options, err);
	if (!s && qc_tune_asked(options) && !strcmp(plan->method, "search"))
		plan->method = "gptq";
	if (!s && !verbatim)
		s = qc_tune_memory(plan, options, err);
	if (s)
		qc_plan_clear(plan);
	return s;
}

enum qc_status qc_plan_build(struct qc_plan *plan, struct qc_model *model,
			     const struct qc_format *target, const struct qconv_options *options,
			     struct qc_err *err)
{
	static const struct qc_plan_given nothing;

	return plan_build(plan, model, target, false, options, &nothing, err);
}

enum qc_status qc_plan_build_given(struct qc_plan *plan, struct qc_model *model,
				   const struct qc_format *target,
				   const struct qconv_options *options,
				   const struct qc_plan_given *given, struct qc_err *err)
{
	return plan_build(plan, model, target, false, options, given, err);
}

enum qc_status qc_plan_move(struct qc_plan *plan, struct qc_model *model,
			    const struct qconv_options *options, struct qc_err *err)
{
	static const struct qc_plan_given nothing;

	return plan_build(plan, model, qc_format_find("gguf"), true, options, &nothing, err);
}

enum qc_status qc_plan_settle(struct qc_plan *plan, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	if (!plan->measure)
		return QC_OK;
	for (size_t i = 0; !s && i < plan->n_steps; i++) {
		struct qc_step *step = &plan->steps[i];

		if (step->measured_bytes && !step->copy)
			s = step->packing->settle(plan, step, err);
	}
	return s ? s : qc_plan_lay_out(plan, err);
}

void *qc_plan_group(struct qc_plan *plan, const char *key, size_t size)
{
	struct qc_err err;
	size_t len = strlen(key);
	const uint64_t *index = qc_strmap_find(&plan->groups, key, len);
	void **data;
	bool was_there;
	char *own;

	if (index)
		return plan->group_data[*index];
	data = realloc(plan->group_data, (plan->n_groups + 1) * sizeof(*data));
	own = qc_arena_copy(&plan->arena, key, len);
	if (data)
		plan->group_data = data;
	if (!data || !own ||
	    qc_strmap_add(&plan->groups, own, len, plan->n_groups, &was_there, &err))
		return NULL;
	data[plan->n_groups] = qc_arena_alloc(&plan->arena, size);
	return data[plan->n_groups] ? data[plan->n_groups++] : NULL;
}

void qc_plan_clear(struct qc_plan *plan)
{
	for (size_t i = 0; i < plan->n_side_files; i++)
		qc_file_close(&plan->side_files[i]);
	free(plan->side_files);
	free(plan->group_data);
	qc_strmap_clear(&plan->groups);
	qc_imatrix_clear(&plan->imatrix);
	qc_out_clear(&plan->out);
	qc_arena_clear(&plan->arena);
	if (plan->own_model) {
		qc_model_close(plan->own_model);
		free(plan->own_model);
		qc_channel_scales_clear(plan->scales);
		free(plan->scales);
	}
	memset(plan, 0, sizeof(*plan));
}

double qc_plan_bpw(const struct qc_plan *plan)
{
	return plan->n_weights ? (double)plan->tensor_bytes * 8 / (double)plan->n_weights : 0;
}
