/* From the tables of recipes.c, the user's rules and the model's shape to one type for every
 * tensor. */
#include "convert/recipe.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "convert/method.h"
#include "convert/recipe_ends.h"
#include "convert/recipe_keep.h"
#include "convert/recipe_site.h"
#include "convert/recipes.h"
#include "convert/target_gguf.h"
#include "convert/user_rules.h"

#define MAX_RULES	  256
#define FILE_TYPE_UNNAMED 1024 /* llama.h: LLAMA_FTYPE_GUESSED */

/* The state of one decision for a whole model. */
struct chooser {
	const struct qc_model *model;
	const struct qc_format *target;
	const struct qconv_options *options;
	struct qc_arena *arena;
	struct qc_user_rules user;
	struct qc_recipe_ends ends;
	struct qc_recipe recipe;
	const struct qc_qtype *normal; /* the recipe's default type; NULL keeps the source's */
	const struct qc_qtype *f32, *f16, *bf16;
	bool from_hf; /* a known architecture that did not come from GGUF: the converter's F32 rule
			 holds */
	const char *why_normal;
	/* the rows of qc_recipe_rules that this recipe has, their types and texts */
	const struct qc_recipe_rule *rules[MAX_RULES];
	const struct qc_qtype *rule_types[MAX_RULES];
	const char *rule_whys[MAX_RULES];
	size_t n_rules;
	struct qc_survey survey;
};

const char *qc_recipe_name(unsigned i, const char **about)
{
	const struct qc_recipe *r;

	for (r = qc_recipes; r->name; r++) {
		if (i-- == 0) {
			*about = r->about;
			return r->name;
		}
	}
	for (r = qc_recipes; r->name; r++) {
		if (r->alias && i-- == 0) {
			*about = r->name;
			return r->alias;
		}
	}
	return NULL;
}

static enum qc_status unknown_recipe(const char *asked, struct qc_err *err)
{
	char names[480];
	size_t used = 0;
	const char *name, *about;

	names[0] = 0;
	for (unsigned i = 0; (name = qc_recipe_name(i, &about)); i++) {
		size_t len = strlen(name);

		if (used + len + 2 > sizeof(names))
			break;
		if (used)
			names[used++] = ' ';
		memcpy(names + used, name, len + 1);
		used += len;
	}
	return qc_fail(err, QC_USAGE,
		       "'%s' is neither a recipe nor a type that can be made (recipes: %s)", asked,
		       names);
}

/* A type can be written: the target has it, and we can make it. */
static enum qc_status check_type(const struct chooser *c, const struct qc_qtype *type,
				 struct qc_err *err)
{
	if (!c->target->can_hold(type))
		return qc_fail(err, QC_UNSUPPORTED, "%s cannot hold %s", c->target->name,
			       type->name);
	if (!type->quantize)
		return qc_fail(err, QC_UNSUPPORTED, "%s can be copied but not made by this version",
			       type->name);
	return QC_OK;
}

/* Whether the tensor's new type is useless, or cannot be made, without weights of importance. What
 * is multiplied with embedding and head llama-imatrix does not see, so those may go without. */
static bool is_starved(const struct chooser *c, const char *name, const struct qc_qtype *type)
{
	const struct qc_recipe_starved *row = qc_recipe_starved;

	if (type->needs_imatrix)
		return true;
	if (qc_recipe_category(name) & (QC_CAT_HEAD | QC_CAT_TOKEN_EMBD))
		return false;
	while (row->type && strcmp(row->type, type->name))
		row++;
	return row->type &&
	       (!row->recipe || (c->recipe.name && !strcmp(row->recipe, c->recipe.name)));
}

static enum qc_status check_starved(const struct chooser *c, const struct qc_tensor *tensor,
				    struct qc_choice *choice, struct qc_err *err)
{
	choice->starved = is_starved(c, tensor->name, choice->type);
	if (choice->starved && !c->options->imatrix && !c->options->calib)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%s': %s needs weights of importance: make them with 'qconv "
			       "calibrate %s --text FILE -o imatrix.gguf' and give them with "
			       "--imatrix imatrix.gguf, or give the text itself with --calib",
			       tensor->name, choice->type->name, c->model->path);
	return QC_OK;
}

static bool name_in_list(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = list; *p;) {
		size_t n = strcspn(p, " ");

		if (n == len && !memcmp(p, name, n))
			return true;
		p += n;
		p += *p == ' ';
	}
	return false;
}

static bool is_quantized(const struct qc_qtype *type)
{
	return type->block_elems > 1;
}

/* The rows of the rule table that hold for the recipe, with the texts that the plan prints. */
static enum qc_status take_rules(struct chooser *c, struct qc_err *err)
{
	if (!is_quantized(c->normal) || c->options->pure)
		return QC_OK;
	for (const struct qc_recipe_rule *rule = qc_recipe_rules; rule->recipes; rule++) {
		const struct qc_qtype *type = *rule->type ? qc_qtype_find(rule->type) : c->normal;

		if (strcmp(rule->recipes, "*") && !name_in_list(rule->recipes, c->recipe.name))
			continue;
		if (!type)
			return qc_fail(err, QC_UNSUPPORTED,
				       "recipe '%s' needs %s, which this version lacks",
				       c->recipe.name, rule->type);
		if (check_type(c, type, err))
			return qc_fail_in(err, "recipe '%s'", c->recipe.name);
		if (c->n_rules == MAX_RULES)
			return qc_fail(err, QC_UNSUPPORTED,
				       "recipe '%s' has more than %d exceptions", c->recipe.name,
				       MAX_RULES);
		c->rules[c->n_rules] = rule;
		c->rule_types[c->n_rules] = type;
		c->rule_whys[c->n_rules] =
			rule->why ? qc_arena_printf(c->arena, "%s: %s", c->recipe.name, rule->why)
				  : c->recipe.name;
		if (!c->rule_whys[c->n_rules++])
			return qc_no_memory(err);
	}
	return QC_OK;
}

/* --q NAME: a recipe's row, or a plain type as a recipe of its own that has only the rules common
 * to all. */
static enum qc_status find_recipe(struct chooser *c, struct qc_err *err)
{
	const char *asked = c->options->quant;
	const struct qc_qtype *type;

	for (const struct qc_recipe *r = qc_recipes; r->name; r++)
		if (!strcasecmp(r->name, asked) || (r->alias && !strcasecmp(r->alias, asked)))
			c->recipe = *r;
	if (!c->recipe.name) {
		type = qc_qtype_find(asked);
		if (!type || !type->quantize)
			return unknown_recipe(asked, err);
		c->recipe = (struct qc_recipe){type->name, type->name, FILE_TYPE_UNNAMED, NULL, ""};
	}
	c->normal = qc_qtype_find(c->recipe.type);
	if (!c->normal)
		return qc_fail(err, QC_UNSUPPORTED,
			       "recipe '%s' needs %s, which this version lacks", c->recipe.name,
			       c->recipe.type);
	c->why_normal = c->options->pure && is_quantized(c->normal) ? "pure" : c->recipe.name;
	if (check_type(c, c->normal, err))
		return err->status;
	return take_rules(c, err);
}

static struct qc_choice chosen(const struct qc_qtype *type, const char *why)
{
	return (struct qc_choice){.type = type, .why = why};
}

/* Whether whoever reads the output multiplies the tensor by a scale stored beside it. */
static bool takes_scale(const struct chooser *c, const struct qc_tensor *tensor)
{
	struct qc_recipe_site site = c->survey.site;

	site.name = tensor->name;
	return qc_recipe_takes_scale(&site);
}

/* A type may be stored as several tensors. A scale goes beside the weight where that is read, or
 * where the input has it under the same name. */
static void attach_packing(const struct chooser *c, const struct qc_tensor *tensor,
			   struct qc_choice *choice)
{
	bool scaled = takes_scale(c, tensor) || (tensor->scale && !c->from_hf);

	choice->packing = qc_gguf_packing(tensor, choice->type, scaled);
}

/* The type of a tensor that nobody wants to change. */
static struct qc_choice keep_source(const struct chooser *c, const struct qc_tensor *tensor,
				    const char *why)
{
	const struct qc_qtype *from = tensor->source->type;
	const char *reason = c->from_hf ? qc_recipe_why_f32(tensor) : NULL;

	if (reason)
		return chosen(c->f32, reason);
	if (c->from_hf && from->is_float && from->block_bytes > 4)
		return chosen(c->f32, "llama.cpp computes with no wider floats");
	if (tensor->scale && c->from_hf && !takes_scale(c, tensor))
		return chosen(c->bf16, "llama.cpp would not multiply the tensor scale");
	if (c->target->can_hold(from))
		return chosen(from, why);
	return chosen(c->bf16, "bf16 holds every value of the source's type");
}

/* An integer tensor, or blocks that this build cannot decode: the bytes stay or go. */
static enum qc_status choose_opaque(const struct chooser *c, const struct qc_tensor *tensor,
				    struct qc_choice *choice, struct qc_err *err)
{
	const struct qc_qtype *from = tensor->source->type;

	if (is_quantized(from) && c->normal && from != c->normal && !qc_recipe_why_kept(tensor))
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%s': %s can be copied but not decoded by this version",
			       tensor->name, from->name);
	if (c->target->can_hold(from)) {
		*choice = chosen(from, from->is_integer ? "integers are kept" : "kept");
		return QC_OK;
	}
	*choice = chosen(
		NULL, qc_arena_printf(c->arena, "%s cannot hold %s", c->target->name, from->name));
	return choice->why ? QC_OK : qc_no_memory(err);
}

/* The recipe's own decision for a tensor that may be quantized. */
static struct qc_choice choose_by_recipe(struct chooser *c, const struct qc_tensor *tensor)
{
	const struct qc_recipe_site *site = &c->survey.site;
	struct qc_choice choice = chosen(c->normal, c->why_normal);

	if (!is_quantized(c->normal) || c->options->pure)
		return choice;
	qc_survey_enter(&c->survey, tensor);
	for (size_t i = 0; i < c->n_rules; i++) {
		const struct qc_recipe_rule *rule = c->rules[i];

		if ((rule->categories & site->category) && (!rule->when || rule->when(site))) {
			choice = chosen(c->rule_types[i], c->rule_whys[i]);
			break;
		}
	}
	if (site->category == QC_CAT_HEAD && c->ends.head) /* tied */
		choice = chosen(c->ends.head, "--output-type");
	qc_survey_leave(&c->survey);
	return choice;
}

/* Rows that are not whole blocks: llama-quantize's replacement, else F16. */
static enum qc_status fit(const struct chooser *c, const struct qc_tensor *tensor,
			  struct qc_choice *choice, struct qc_err *err)
{
	const struct qc_qtype *asked = choice->type, *instead = NULL;
	uint64_t cols = tensor->n_dims ? tensor->dims[0] : 1;

	if (cols % asked->block_elems == 0)
		return QC_OK;
	for (const struct qc_recipe_fallback *row = qc_recipe_fallbacks; row->type; row++)
		if (!strcmp(row->type, asked->name))
			instead = qc_qtype_find(row->instead);
	if (!instead || cols % instead->block_elems || !c->target->can_hold(instead))
		instead = c->f16;
	choice->type = instead;
	choice->fallback = true;
	choice->why =
		qc_arena_printf(c->arena, "fallback: %llu columns are not whole blocks of %u (%s)",
				(unsigned long long)cols, asked->block_elems, asked->name);
	return choice->why ? QC_OK : qc_no_memory(err);
}

static enum qc_status choose_one(struct chooser *c, const struct qc_tensor *tensor,
				 struct qc_choice *choice, struct qc_err *err)
{
	const struct qc_source *source = tensor->source;
	const char *kept = qc_recipe_why_kept(tensor), *why = NULL;
	enum qc_category category = qc_recipe_category(tensor->name);
	const struct qc_qtype *asked = NULL;
	bool plain_recipe = c->normal && !is_quantized(c->normal);
	bool bag = !c->model->arch && !c->survey.site.arch[0];

	if (source->type->is_integer || (source->ops->read_raw && !source->type->dequantize))
		return choose_opaque(c, tensor, choice, err);
	if (!source->rows || !source->cols) {
		*choice = keep_source(c, tensor, "empty");
		return QC_OK;
	}
	if (c->ends.leave_head && category == QC_CAT_HEAD)
		kept = "--leave-output-tensor";
	if (!kept || (bag && qc_recipe_dims(tensor) >= 2)) {
		asked = qc_recipe_ends_match(&c->ends, category, &why);
		if (!asked)
			asked = qc_user_rules_match(&c->user, tensor->name, &why);
	}
	if (asked) {
		*choice = chosen(asked, why);
	} else if (!c->normal) {
		*choice = keep_source(c, tensor, kept && !bag ? kept : "source precision");
	} else if (plain_recipe && c->from_hf) {
		why = qc_recipe_why_f32(tensor);
		*choice = why ? chosen(c->f32, why) : chosen(c->normal, c->why_normal);
	} else if (kept) {
		*choice = keep_source(c, tensor, kept);
	} else {
		*choice = choose_by_recipe(c, tensor);
	}
	if (fit(c, tensor, choice, err))
		return err->status;
	if (choice->type != source->type && check_type(c, choice->type, err))
		return qc_fail_in(err, "tensor '%s'", tensor->name);
	if (choice->type != source->type && check_starved(c, tensor, choice, err))
		return err->status;
	attach_packing(c, tensor, choice);
	return QC_OK;
}

/* Without a recipe: what GGUF already says, else the recipe whose type most of the matrices'
 * elements have. */
static uint32_t observed_file_type(const struct chooser *c, const struct qc_choice *choices)
{
	uint64_t best = 0;
	uint32_t file_type;

	if (!c->user.n && qc_meta_u32(&c->model->meta, "general.file_type", &file_type))
		return file_type;
	file_type = FILE_TYPE_UNNAMED;
	for (const struct qc_recipe *r = qc_recipes; r->name; r++) {
		uint64_t elems = 0;

		for (size_t i = 0; i < c->model->n_tensors; i++)
			if (choices[i].type && c->model->tensors[i].n_dims >= 2 &&
			    !strcmp(choices[i].type->name, r->type))
				elems += qc_tensor_elems(&c->model->tensors[i]);
		if (elems > best) {
			best = elems;
			file_type = r->file_type;
		}
	}
	return file_type;
}

static enum qc_status choose_all(struct chooser *c, struct qc_choice *choices, struct qc_err *err)
{
	struct qc_visit *visits = qc_visiting_order(c->model);
	enum qc_status s = visits ? qc_survey_model(&c->survey, c->model, c->normal, c->arena, err)
				  : qc_no_memory(err);

	c->survey.site.imatrix = c->options->imatrix || c->options->calib;
	for (size_t i = 0; !s && i < c->model->n_tensors; i++) {
		size_t at = visits[i].index;

		s = choose_one(c, &c->model->tensors[at], &choices[at], err);
	}
	free(visits);
	return s;
}

static enum qc_status check_method(const struct chooser *c, struct qc_err *err)
{
	bool search;

	return qc_method(c->options, &search, err);
}

enum qc_status qc_recipe_choose(const struct qc_model *model, const struct qc_format *target,
				const struct qconv_options *options, struct qc_arena *arena,
				struct qc_choice *choices, uint32_t *file_type, struct qc_err *err)
{
	struct chooser *c = calloc(1, sizeof(*c));
	enum qc_status s;

	if (!c)
		return qc_no_memory(err);
	c->model = model;
	c->target = target;
	c->options = options;
	c->arena = arena;
	c->f32 = qc_qtype_find("f32");
	c->f16 = qc_qtype_find("f16");
	c->bf16 = qc_qtype_find("bf16");
	c->from_hf =
		model->arch && !(model->format && model->format->layout_kind == QC_LAYOUT_GGUF);
	s = check_method(c, err);
	if (!s)
		s = qc_recipe_ends_load(&c->ends, options, err);
	if (!s)
		s = qc_user_rules_load(&c->user, options, arena, err);
	if (!s && options->quant)
		s = find_recipe(c, err);
	if (!s)
		s = choose_all(c, choices, err);
	if (!s)
		*file_type = options->quant ? c->recipe.file_type : observed_file_type(c, choices);
	qc_user_rules_clear(&c->user);
	free(c);
	return s;
}
