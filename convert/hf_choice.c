#include "convert/hf_choice.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "convert/hf_fused.h"
#include "convert/method.h"
#include "convert/user_rules.h"
#include "quant/types.h"

struct chooser {
	struct qc_plan *plan;
	const struct qconv_options *options;
	const struct qc_qtype *plain; /* --q bf16, f16, f32; NULL */
	struct qc_user_rules rules, skips;
};

/* Why a weight of two or more dimensions is no linear layer's, or is better left alone: a part of
 * its module's name. */
static const struct {
	const char *part, *why;
	bool last; /* of the last component only, and all of it */
	bool list; /* it may be a linear layer that loaders would take for a packed one */
} kept[] = {
	{"vision", "of a vision tower", false, true},
	{"visual", "of a vision tower", false, true},
	{"audio", "of an audio tower", false, true},
	{"multi_modal_projector", "projects from another modality", false, true},
	{"mm_projector", "projects from another modality", false, true},
	{"lm_head", "output head", true, true},
	{"embed_out", "output head", true, true},
	{"score", "output head", true, true},
	{"classifier", "output head", true, true},
	{"embed", "embedding", false, false},
	{"wte", "embedding", true, false},
	{"wpe", "embedding", true, false},
	{"norm", "norm", false, false},
	{"conv", "convolution", false, false},
	{"router", "router of experts", false, true},
	{"gate", "router of experts", true, true},
	{"shared_expert_gate", "router of experts", true, true},
};

/* The name without ".weight", in the plan's arena; NULL when it has no such end (or memory is out).
 */
static const char *module_of(const struct chooser *c, const struct qc_tensor *tensor)
{
	static const char end[] = ".weight";
	size_t len = strlen(tensor->stored_name), n = sizeof(end) - 1;

	if (len <= n || strcmp(tensor->stored_name + len - n, end))
		return NULL;
	return qc_arena_copy(&c->plan->arena, tensor->stored_name, len - n);
}

/* Experts in one tensor: [experts, in, out] or [experts, out, in], without ".weight". */
static bool is_fused_experts(const struct qc_tensor *tensor)
{
	return tensor->n_dims == 3 && strstr(tensor->stored_name, "experts.") &&
	       qc_text_ends(tensor->stored_name, "_proj");
}

/* Why the tensor is no weight to be packed; NULL when it is one. *list as above. */
static const char *why_kept(const struct qc_tensor *tensor, const char *module, bool *list)
{
	*list = false;
	if (is_fused_experts(tensor))
		return NULL;
	if (tensor->n_dims < 2)
		return "one dimension";
	if (!module)
		return "name does not end in '.weight'";
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		bool found = kept[i].last ? !strcmp(qc_text_behind(module, '.'), kept[i].part)
					  : strstr(module, kept[i].part) != NULL;

		if (!found)
			continue;
		*list = kept[i].list && tensor->n_dims == 2;
		return kept[i].why;
	}
	return tensor->n_dims == 2 ? NULL : "more than two dimensions";
}

static struct qc_choice chosen(const struct qc_qtype *type, const char *why)
{
	return (struct qc_choice){.type = type, .why = why};
}

/* The tensor in its own precision. */
static enum qc_status keep(const struct chooser *c, const struct qc_tensor *tensor, const char *why,
			   struct qc_choice *choice, struct qc_err *err)
{
	const struct qc_qtype *from = tensor->source->type;
	const char *layout = "";

	*choice = chosen(from, why);
	if (c->plan->target->can_hold(from))
		return QC_OK;
	if (c->options->quant) {
		*choice = chosen(&qc_bf16, why);
		return QC_OK;
	}
	if (!qc_packing_find(from->name, NULL))
		return qc_fail(err, QC_USAGE,
			       "tensor '%.160s' is stored as %s, which safetensors cannot hold: "
			       "say --q bf16, f16 or f32 to decode it",
			       tensor->stored_name, from->name);
	/* another layout would pack more than the experts */
	if (is_fused_experts(tensor) && qc_packing_find(from->name, "gpt-oss"))
		layout = " --layout gpt-oss";
	return qc_fail(err, QC_USAGE,
		       "tensor '%.160s' is stored as %s: say --q %s%s to keep it so, or --q bf16 "
		       "to decode it",
		       tensor->stored_name, from->name, from->name, layout);
}

static enum qc_status skip_module(struct chooser *c, const char *module, struct qc_err *err)
{
	struct qc_plan *plan = c->plan;

	if (!module)
		return QC_OK;
	if (!plan->skipped) {
		plan->skipped = qc_arena_array(&plan->arena, plan->model->n_tensors + 1,
					       sizeof(*plan->skipped));
		if (!plan->skipped)
			return qc_no_memory(err);
	}
	plan->skipped[plan->n_skipped++] = module;
	return QC_OK;
}

static enum qc_status choose_packed(struct chooser *c, const struct qc_tensor *tensor,
				    const struct qc_qtype *rule, const char *why,
				    struct qc_choice *choice, struct qc_err *err)
{
	const struct qc_packing *packing = c->plan->packing;
	const char *module = module_of(c, tensor), *kept_why, *skip = NULL;
	bool list;

	kept_why = why_kept(tensor, module, &list);
	if (!kept_why && packing->experts_only && !is_fused_experts(tensor))
		kept_why = "only experts are packed";
	(void)qc_user_rules_match(&c->skips, tensor->stored_name, &skip);
	/* bitsandbytes' users have towers packed, too */
	if (list && packing->stored_so && packing->stored_so(tensor->source, c->options))
		kept_why = NULL;
	if (rule || kept_why || skip) {
		if ((!kept_why || list) && skip_module(c, module, err))
			return err->status;
		if (rule) {
			*choice = chosen(rule, why);
			return QC_OK;
		}
		return keep(c, tensor, skip ? skip : kept_why, choice, err);
	}
	if (packing->experts && is_fused_experts(tensor))
		packing = packing->experts;
	kept_why = packing->unfit(c->plan->model, tensor);
	if (!kept_why) {
		*choice = (struct qc_choice){
			.type = packing->type, .packing = packing, .why = packing->name};
		return QC_OK;
	}
	if (skip_module(c, module, err) || keep(c, tensor, kept_why, choice, err))
		return err->status;
	choice->fallback = true;
	choice->why =
		qc_arena_printf(&c->plan->arena, "fallback: %s (%s)", kept_why, packing->name);
	return choice->why ? QC_OK : qc_no_memory(err);
}

static enum qc_status choose_one(struct chooser *c, const struct qc_tensor *tensor,
				 struct qc_choice *choice, struct qc_err *err)
{
	const struct qc_source *source = tensor->source;
	const struct qc_qtype *rule;
	const char *why = NULL;

	if (source->type->is_integer || (source->ops->read_raw && !source->type->dequantize)) {
		if (!c->plan->target->can_hold(source->type))
			return qc_fail(err, QC_UNSUPPORTED,
				       "tensor '%.160s': %s can be copied but not decoded by this "
				       "version, and safetensors cannot hold it",
				       tensor->stored_name, source->type->name);
		*choice = chosen(source->type, "integers are kept");
		return QC_OK;
	}
	rule = qc_user_rules_match(&c->rules, tensor->stored_name, &why);
	if (rule && (!rule->is_float || !c->plan->target->can_hold(rule)))
		return qc_fail(
			err, QC_USAGE,
			"%s: single tensors of a safetensors output can be bf16, f16, f32 or "
			"f64; '%.160s' is one",
			why, tensor->stored_name);
	if (c->plan->packing && source->rows && source->cols)
		return choose_packed(c, tensor, rule, why, choice, err);
	if (rule)
		*choice = chosen(rule, why);
	else if (c->plain)
		*choice = chosen(c->plain, c->plain->name);
	else
		return keep(c, tensor, "source precision", choice, err);
	return QC_OK;
}

static enum qc_status unknown_quant(const struct qconv_options *options, struct qc_err *err)
{
	char names[256] = "bf16 f16 f32";
	size_t used = strlen(names);
	const char *last = "";

	for (const struct qc_packing *const *p = qc_packings; *p; p++) {
		size_t len = strlen((*p)->name);

		if (!strcmp(last, (*p)->name) || used + len + 2 > sizeof(names))
			continue;
		last = (*p)->name;
		names[used++] = ' ';
		memcpy(names + used, last, len + 1);
		used += len;
	}
	return qc_fail(err, QC_USAGE, "'%s' is not what a safetensors output can be (types: %s)",
		       options->quant, names);
}

/* "a, b" of the layouts that --q NAME has. */
static enum qc_status unknown_layout(const struct qconv_options *options, struct qc_err *err)
{
	char names[256] = "";
	size_t used = 0;

	for (const struct qc_packing *const *p = qc_packings; *p; p++) {
		size_t len = (*p)->layout ? strlen((*p)->layout) : 0;

		if (strcasecmp((*p)->name, options->quant) || !len ||
		    used + len + 3 > sizeof(names))
			continue;
		if (used) {
			memcpy(names + used, ", ", 2);
			used += 2;
		}
		memcpy(names + used, (*p)->layout, len + 1);
		used += len;
	}
	if (!used)
		return qc_fail(err, QC_USAGE, "--layout: %s has one layout only", options->quant);
	return qc_fail(err, QC_USAGE, "--layout '%s': %s has the layouts %s", options->layout,
		       options->quant, names);
}

static enum qc_status find_quant(struct chooser *c, struct qc_err *err)
{
	const struct qconv_options *options = c->options;
	struct qc_plan *plan = c->plan;

	if (options->quant) {
		c->plain = qc_qtype_find(options->quant);
		if (c->plain && (!c->plain->is_float || c->plain->block_bytes > 4))
			c->plain = NULL;
		if (!c->plain) {
			plan->packing = qc_packing_find(options->quant, NULL);
			if (!plan->packing)
				return unknown_quant(options, err);
		}
	}
	if (options->layout && !plan->packing)
		return qc_fail(err, QC_USAGE,
			       "--layout is for outputs with packed weights (--q "
			       "nvfp4, mxfp4, fp8)");
	if (options->layout) {
		plan->packing = qc_packing_find(options->quant, options->layout);
		if (!plan->packing)
			return unknown_layout(options, err);
	}
	if ((options->blocksize || options->double_quant) &&
	    !(plan->packing && plan->packing->has_blocksize))
		return qc_fail(err, QC_USAGE,
			       "--blocksize and --double-quant are for --q nf4 and "
			       "--q fp4");
	if (options->n_skips && !plan->packing)
		return qc_fail(err, QC_USAGE, "--skip is for outputs with packed weights");
	if (options->pure)
		return qc_fail(err, QC_USAGE, "--pure is for GGUF outputs");
	return QC_OK;
}

static enum qc_status find_method(struct chooser *c, struct qc_err *err)
{
	bool search;

	if (qc_method(c->options, &search, err))
		return err->status;
	if (!c->plan->packing)
		return QC_OK;
	c->plan->search = search;
	c->plan->method = c->plan->search ? "search" : "reference";
	return QC_OK;
}

/* A directory that claims a packing but has no packed weight would mislead its loader. */
static enum qc_status check_any_packed(const struct qc_plan *plan, const struct qc_choice *choices,
				       struct qc_err *err)
{
	const struct qc_packing *packing = plan->packing;

	if (!packing)
		return QC_OK;
	for (size_t i = 0; i < plan->model->n_tensors; i++)
		if (choices[i].packing)
			return QC_OK;
	return qc_fail(err, QC_UNSUPPORTED, "'%s': nothing in this model can be packed as %s%s%s%s",
		       plan->model->path, packing->name, packing->layout ? " --layout " : "",
		       packing->layout ? packing->layout : "",
		       packing->experts_only ? ", which packs the experts of gpt-oss models" : "");
}

enum qc_status qc_hf_choose(struct qc_plan *plan, const struct qconv_options *options,
			    struct qc_choice *choices, struct qc_err *err)
{
	struct chooser c = {.plan = plan, .options = options};
	enum qc_status s = find_quant(&c, err);

	if (!s)
		s = find_method(&c, err);
	if (!s)
		s = qc_user_rules_load(&c.rules, options, &plan->arena, err);
	if (!s)
		s = qc_user_rules_load_skips(&c.skips, options, &plan->arena, err);
	for (size_t i = 0; !s && i < plan->model->n_tensors; i++)
		s = choose_one(&c, &plan->model->tensors[i], &choices[i], err);
	if (!s)
		s = check_any_packed(plan, choices, err);
	if (!s)
		s = qc_hf_check_fused(plan, choices, err);
	qc_user_rules_clear(&c.rules);
	qc_user_rules_clear(&c.skips);
	return s;
}
