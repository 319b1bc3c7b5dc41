#include "convert/plan.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "convert/budget.h"
#include "convert/exact.h"
#include "convert/gguf_options.h"
#include "convert/hf_choice.h"
#include "convert/importance.h"
#include "convert/input_scales.h"
#include "convert/plan_layout.h"
#include "convert/recipe.h"
#include "convert/source_hash.h"
#include "convert/step.h"
#include "convert/tune_plan.h"
#include "formats/arch/arch.h"
#include "formats/experts_split.h"
#include "formats/hf.h"

#define MAX_THREADS 256
/* The program, its libraries, their heap, the stacks; measured with some room. */
#define PROGRAM_BYTES	     (12u << 20)
#define THREAD_BYTES	     (256u << 10)
#define QUANTIZATION_VERSION 2 /* ggml.h: GGML_QNT_VERSION */

static uint64_t at_least_one(uint64_t n)
{
	return n ? n : 1;
}

/* Experts that transformers keeps [experts, in, out] when they are floats, and that were stored the
 * other way round because they were quantized. */
static bool is_turned_by_encoding(const struct qc_tensor *tensor)
{
	return tensor->encoding && tensor->row && tensor->row->op == QC_ROWS_TRANSPOSE &&
	       !tensor->transposed && tensor->n_dims == 3;
}

/* One piece: rows of step->to. */
static enum qc_status plain_fill(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	struct qc_piece *piece = qc_arena_alloc(&plan->arena, sizeof(*piece));
	uint64_t elems, bytes;

	if (!piece)
		return qc_no_memory(err);
	if (plan->target->layout_kind == QC_LAYOUT_HF && is_turned_by_encoding(step->tensor) &&
	    qc_step_turn(plan, step, err))
		return err->status;
	step->copy = step->from == step->to && step->source->ops->read_raw && !step->tensor->scale;
	step->unit_elems = step->cols;
	step->n_units = step->rows;
	if (!qc_mul(step->rows, step->cols, &elems) || step->cols % step->to->block_elems ||
	    !qc_qtype_bytes(step->to, elems, &bytes))
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%s': %llu x %llu elements are not whole blocks of %s",
			       step->name, (unsigned long long)step->rows,
			       (unsigned long long)step->cols, step->to->name);
	*piece = (struct qc_piece){
		.name = step->name,
		.type = step->to,
		.n_dims = step->tensor->n_dims,
		.dims = step->tensor->dims,
		.bytes = bytes,
		.unit_bytes = step->cols / step->to->block_elems * step->to->block_bytes,
	};
	step->pieces = piece;
	step->n_pieces = 1;
	return QC_OK;
}

static enum qc_status step_fill(struct qc_plan *plan, struct qc_step *step,
				const struct qc_tensor *tensor, const struct qc_choice *choice,
				const struct qconv_options *options, struct qc_err *err)
{
	bool hf = plan->target->layout_kind == QC_LAYOUT_HF;

	step->tensor = tensor;
	step->name = hf ? tensor->stored_name : tensor->name;
	step->source = tensor->source;
	step->from = tensor->source->type;
	step->to = choice->type;
	step->packing = choice->packing;
	step->to_name = choice->packing ? choice->packing->name : choice->type->name;
	step->rows = tensor->source->rows;
	step->cols = tensor->source->cols;
	step->why = choice->why;
	step->fallback = choice->fallback;
	step->starved = choice->starved;
	return step->packing ? step->packing->plan(plan, step, options, err)
			     : plain_fill(plan, step, err);
}

/* What can be said when all steps are there. */
static enum qc_status finish_step(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	step->exact = step->exact || qc_step_is_exact(step);
	if (step->packing && step->packing->agree)
		s = step->packing->agree(plan, step, err);
	step->search = plan->search && !step->copy && (step->packing || step->to->search);
	if (!s)
		s = qc_step_watch_lattice(plan, step, err);
	/* raw rows are without the tensor's scale */
	step->raw = step->source->ops->read_raw && (step->copy || !step->tensor->scale);
	plan->measure = plan->measure || (step->measured_bytes && !step->copy);
	if (step->n_pieces > plan->max_pieces)
		plan->max_pieces = step->n_pieces;
	for (size_t i = 0; i < step->n_pieces; i++)
		step->pieces[i].number = plan->n_pieces++;
	return s;
}

static enum qc_status add_total(uint64_t *total, uint64_t value, struct qc_err *err)
{
	return qc_add(*total, value, total)
		       ? QC_OK
		       : qc_fail(err, QC_UNSUPPORTED, "the model has more than 2^64 bytes");
}

/* Steps for all tensors that stay, drops for the others. */
static enum qc_status fill_steps(struct qc_plan *plan, const struct qc_choice *choices,
				 const struct qconv_options *options, struct qc_err *err)
{
	struct qc_model *model = plan->model;
	enum qc_status s = QC_OK;

	plan->steps = qc_arena_array(&plan->arena, model->n_tensors + 1, sizeof(*plan->steps));
	if (!plan->steps)
		return qc_no_memory(err);
	for (size_t i = 0; !s && i < model->n_tensors; i++) {
		const struct qc_tensor *tensor = &model->tensors[i];
		uint64_t stored = qc_tensor_stored_bytes(tensor);
		struct qc_step *step = &plan->steps[plan->n_steps];

		if (!choices[i].type && !choices[i].packing) {
			s = qc_model_add_drop(model, tensor->stored_name, stored, choices[i].why,
					      err);
			continue;
		}
		s = step_fill(plan, step, tensor, &choices[i], options, err);
		if (!s)
			s = add_total(&plan->source_bytes, stored, err);
		if (s)
			break;
		plan->n_weights += step->rows * step->cols;
		plan->n_fallbacks += step->fallback;
		plan->n_steps++;
	}
	for (size_t i = 0; !s && i < plan->n_steps; i++)
		s = finish_step(plan, &plan->steps[i], err);
	return s ? s : qc_importance_attach(plan, err);
}

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

static enum qc_status choose_threads(struct qc_plan *plan, const struct qconv_options *options,
				     struct qc_err *err)
{
	uint64_t n_ranges = 0;
	int n = options->threads ? options->threads : omp_get_num_procs();

	if (options->threads < 0)
		return qc_fail(err, QC_USAGE, "%d threads: at least 1 is needed", options->threads);
	for (size_t i = 0; i < plan->n_steps; i++)
		n_ranges += plan->steps[i].n_ranges;
	n = n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
	plan->threads = (uint64_t)n > n_ranges ? (unsigned)at_least_one(n_ranges) : (unsigned)n;
	plan->n_slots = 2 * plan->threads;
	return QC_OK;
}

#define PEAK_STEP ((uint64_t)1 << 20)

/* What is in memory at the same time, while the input is read or while jobs run; whole MiB, so
 * that the length of a path does not show. */
static uint64_t peak_memory(const struct qc_plan *plan)
{
	const struct qc_model *model = plan->model;
	uint64_t floats = plan->n_weighted ? 2 * plan->range_f32_bytes : plan->range_f32_bytes;
	uint64_t thread = floats + plan->range_scratch_bytes;
	uint64_t slot = plan->range_raw_bytes + plan->range_out_bytes;
	uint64_t tables = model->cap_tensors * sizeof(*model->tensors) +
			  model->cap_drops * sizeof(*model->drops) +
			  model->meta.cap * sizeof(*model->meta.kvs) + model->config.size +
			  model->config.n_nodes * (uint64_t)16;

	uint64_t headers = 0, running, larger;

	for (size_t i = 0; i < plan->out.n_files; i++)
		headers += plan->out.files[i].header_bytes;
	running = plan->arena.bytes + plan->imatrix.arena.bytes + headers +
		  plan->threads * (thread + THREAD_BYTES) + plan->n_slots * slot +
		  QC_SOURCE_HASH_BYTES;
	/* what reading took is given back before jobs run */
	larger = model->reading_bytes > running ? model->reading_bytes : running;

	return (PROGRAM_BYTES + model->arena.bytes + tables + larger + PEAK_STEP - 1) / PEAK_STEP *
	       PEAK_STEP;
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

/* The model as the target has it. */
static enum qc_status bring_to_layout(struct qc_plan *plan, const struct qconv_options *options,
				      struct qc_err *err)
{
	const struct qc_packing *packing =
		options->quant ? qc_packing_find(options->quant, options->layout) : NULL;
	struct qc_model *model = plan->model;
	enum qc_status s;

	if (plan->target->layout_kind != QC_LAYOUT_HF)
		return qc_model_set_layout(model, plan->target->layout_kind, err);
	s = model->layout == QC_LAYOUT_GGUF ? qc_model_set_layout(model, QC_LAYOUT_HF, err)
					    : qc_hf_restore_dropped(model, err);
	return s || !packing || !packing->splits_experts ? s : qc_experts_split(model, err);
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
		return qc_budget_asked(options)
			       ? qc_budget_choose(plan, options, choices, err)
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

static enum qc_status plan_fill(struct qc_plan *plan, const struct qconv_options *options,
				struct qc_err *err)
{
	struct qc_model *model = plan->model;
	struct qc_choice *choices;
	uint32_t file_type = 0;
	enum qc_status s = bring_to_layout(plan, options, err);

	if (s)
		return s;
	choices = calloc(model->n_tensors + 1, sizeof(*choices));
	if (!choices)
		return qc_no_memory(err);
	s = qc_importance_read(plan, options, err);
	if (!s)
		s = qc_prune_blocks(plan, options, err);
	if (!s)
		s = qc_input_scales_set(plan, options, err);
	if (!s)
		s = choose(plan, options, choices, &file_type, err);
	if (!s)
		s = fill_steps(plan, choices, options, err);
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
	if (!s)
		s = qc_plan_lay_out(plan, err);
	if (!s)
		s = qc_plan_order(plan, err);
	if (!s)
		s = choose_threads(plan, options, err);
	if (s)
		return s;
	plan->peak_bytes = peak_memory(plan);
	return check_limits(plan, options, err);
}

static enum qc_status plan_build(struct qc_plan *plan, struct qc_model *model,
				 const struct qc_format *target, bool verbatim,
				 const struct qconv_options *options, struct qc_err *err)
{
	enum qc_status s;

	memset(plan, 0, sizeof(*plan));
	plan->model = model;
	plan->target = target;
	plan->verbatim = verbatim;
	plan->recipe = options->quant		    ? options->quant
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
		s = plan_fill(plan, options, err);
	if (!s && qc_tune_asked(options) && !strcmp(plan->method, "search"))
		plan->method = "gptq";
	if (s)
		qc_plan_clear(plan);
	return s;
}

enum qc_status qc_plan_build(struct qc_plan *plan, struct qc_model *model,
			     const struct qc_format *target, const struct qconv_options *options,
			     struct qc_err *err)
{
	return plan_build(plan, model, target, false, options, err);
}

enum qc_status qc_plan_move(struct qc_plan *plan, struct qc_model *model,
			    const struct qconv_options *options, struct qc_err *err)
{
	return plan_build(plan, model, qc_format_find("gguf"), true, options, err);
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
	memset(plan, 0, sizeof(*plan));
}

double qc_plan_bpw(const struct qc_plan *plan)
{
	return plan->n_weights ? (double)plan->tensor_bytes * 8 / (double)plan->n_weights : 0;
}
