#include "convert/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/strmap.h"
#include "convert/check_manifest.h"
#include "convert/compare.h"
#include "convert/step.h"
#include "formats/experts_split.h"
#include "formats/format.h"
#include "formats/hf.h"

/* One verification. */
struct check {
	struct qc_check_report *report;
	const struct qconv_options *options;
	struct qc_model *file, *source;
	struct qc_strmap names; /* of the file's tensors -> index */
	struct qc_compare_pair *pairs;
	size_t n_pairs;
	bool stored_names; /* of both, as one is a bag of tensors */
	struct qc_err *err;
};

static const char *name_of(const struct check *c, const struct qc_tensor *tensor)
{
	return c->stored_names ? tensor->stored_name : tensor->name;
}

static enum qc_status index_names(struct check *c)
{
	bool was_there;

	for (size_t i = 0; i < c->file->n_tensors; i++) {
		const char *name = name_of(c, &c->file->tensors[i]);

		if (qc_strmap_add(&c->names, name, strlen(name), i, &was_there, c->err))
			return c->err->status;
	}
	return QC_OK;
}

/* Equal shapes; trailing dimensions of 1 do not count (GGUF does not keep them). */
static bool same_shape(const struct qc_tensor *a, const struct qc_tensor *b)
{
	uint32_t most = a->n_dims > b->n_dims ? a->n_dims : b->n_dims;

	for (uint32_t i = 0; i < most; i++)
		if ((i < a->n_dims ? a->dims[i] : 1) != (i < b->n_dims ? b->dims[i] : 1))
			return false;
	return true;
}

/* A tensor of the source that the file's format has no type for is not missed: the plan has dropped
 * it. */
static bool may_be_absent(const struct check *c, const struct qc_tensor *tensor)
{
	return c->file->format->can_hold && tensor->source->type->is_integer &&
	       !c->file->format->can_hold(tensor->source->type);
}

/* Experts may be stored either way round: turn the one that is [experts, in, out]. */
static enum qc_status same_way_round(struct qc_model *model, struct qc_tensor *tensor,
				     const struct qc_tensor *other, struct qc_err *err)
{
	if (!tensor->transposed || other->transposed || tensor->n_dims < 2)
		return QC_OK;
	return qc_tensor_turn(tensor, &model->arena, err);
}

/* Find each tensor of the source in the file; pairs of equal shape are to be compared. */
static enum qc_status match_tensors(struct check *c, bool *found)
{
	struct qc_check_report *r = c->report;

	r->missing = qc_arena_array(&r->arena, c->source->n_tensors + 1, sizeof(*r->missing));
	r->mismatched = qc_arena_array(&r->arena, c->source->n_tensors + 1, sizeof(*r->mismatched));
	if (!r->missing || !r->mismatched)
		return qc_no_memory(c->err);
	for (size_t i = 0; i < c->source->n_tensors; i++) {
		struct qc_tensor *tensor = &c->source->tensors[i];
		const char *name = name_of(c, tensor);
		size_t len = strlen(name);
		const uint64_t *at = qc_strmap_find(&c->names, name, len);

		if (!at && may_be_absent(c, tensor))
			continue;
		name = qc_arena_copy(&r->arena, name, len);
		if (!name)
			return qc_no_memory(c->err);
		if (!at) {
			r->missing[r->n_missing++] = name;
			continue;
		}
		found[*at] = true;
		if (same_way_round(c->source, tensor, &c->file->tensors[*at], c->err) ||
		    same_way_round(c->file, &c->file->tensors[*at], tensor, c->err))
			return c->err->status;
		if (!same_shape(&c->file->tensors[*at], tensor) ||
		    !qc_compare_possible(&c->file->tensors[*at], tensor))
			r->mismatched[r->n_mismatched++] = name;
		else
			c->pairs[*at].source = tensor;
	}
	return QC_OK;
}

static enum qc_status list_extra(struct check *c, const bool *found)
{
	struct qc_check_report *r = c->report;

	r->extra = qc_arena_array(&r->arena, c->file->n_tensors + 1, sizeof(*r->extra));
	if (!r->extra)
		return qc_no_memory(c->err);
	for (size_t i = 0; i < c->file->n_tensors; i++) {
		const char *name = name_of(c, &c->file->tensors[i]);

		if (found[i])
			continue;
		name = qc_arena_copy(&r->arena, name, strlen(name));
		if (!name)
			return qc_no_memory(c->err);
		r->extra[r->n_extra++] = name;
	}
	return QC_OK;
}

static bool is_hf(const struct qc_model *model)
{
	return model->format && model->format->layout_kind == QC_LAYOUT_HF;
}

/* Gate and up projections of all experts in one tensor. */
static bool has_fused_experts(const struct qc_model *model)
{
	for (size_t i = 0; i < model->n_tensors; i++)
		if (strstr(model->tensors[i].name, ".ffn_gate_up_exps.weight"))
			return true;
	return false;
}

/* Both under the same names and in the same layout: GGUF's where one is a GGUF, but for files that
 * a GGUF cannot be compared with so: those without a config.json, those with experts one by one. */
static enum qc_status bring_together(struct check *c)
{
	const bool turn = c->source->layout == QC_LAYOUT_GGUF && c->file->layout == QC_LAYOUT_HF;
	enum qc_status s;

	/* a .safetensors made of a GGUF has Hugging Face's names, but no config.json beside it */
	if (is_hf(c->file) && c->file->layout == QC_LAYOUT_PLAIN &&
	    c->source->layout == QC_LAYOUT_GGUF) {
		c->stored_names = true;
		return qc_model_set_layout(c->source, QC_LAYOUT_HF, c->err);
	}
	if (is_hf(c->file) && qc_experts_are_single(c->file) && has_fused_experts(c->source)) {
		s = qc_model_set_layout(c->source, c->file->layout, c->err);
		return s ? s : qc_experts_split(c->source, true, c->err);
	}
	if (is_hf(c->file) && is_hf(c->source) && qc_experts_are_single(c->source) &&
	    has_fused_experts(c->file))
		return qc_experts_join(c->source, c->err);
	c->stored_names =
		is_hf(c->file) && is_hf(c->source) && c->file->layout != c->source->layout;
	if (!c->stored_names)
		return turn ? qc_model_set_layout(c->file, QC_LAYOUT_GGUF, c->err)
			    : qc_model_set_layout(c->source, c->file->layout, c->err);
	s = qc_hf_restore_dropped(c->file, c->err);
	return s ? s : qc_hf_restore_dropped(c->source, c->err);
}

static enum qc_status match(struct check *c)
{
	bool *found = calloc(c->file->n_tensors + 1, sizeof(*found));
	enum qc_status s = found ? match_tensors(c, found) : qc_no_memory(c->err);

	if (!s)
		s = list_extra(c, found);
	free(found);
	return s;
}

static struct qc_tensor_error error_of(const struct qc_compare_pair *pair)
{
	const struct qc_compare_sums *sums = &pair->sums;
	struct qc_tensor_error e = {
		.name = pair->file->name,
		.type = pair->file->source->type->name,
		.source_type = pair->source->source->type->name,
		.n = qc_tensor_elems(pair->file),
		.max_abs = sums->max_abs,
		.exact = !sums->differs,
	};

	e.rel_rmse = e.exact ? 0 : sums->x2 > 0 ? sqrt(sums->err2 / sums->x2) : (double)INFINITY;
	e.cosine = e.exact			  ? 1
		   : sums->x2 > 0 && sums->y2 > 0 ? sums->xy / (sqrt(sums->x2) * sqrt(sums->y2))
						  : 0;
	e.sqnr_db = e.exact ? (double)INFINITY : -20 * log10(e.rel_rmse);
	return e;
}

static enum qc_status fill_errors(struct check *c)
{
	struct qc_check_report *r = c->report;
	double err2 = 0, x2 = 0;

	r->errors = qc_arena_array(&r->arena, c->n_pairs + 1, sizeof(*r->errors));
	if (!r->errors)
		return qc_no_memory(c->err);
	for (size_t i = 0; i < c->n_pairs; i++) {
		struct qc_tensor_error *e = &r->errors[r->n_errors];

		if (!c->pairs[i].source)
			continue;
		*e = error_of(&c->pairs[i]);
		e->name = qc_arena_copy(&r->arena, e->name, strlen(e->name));
		if (!e->name)
			return qc_no_memory(c->err);
		r->n_exact += e->exact;
		r->n_errors++;
		if (e->exact) /* of 1e30, as rope factors have, nothing else would be seen */
			continue;
		err2 += c->pairs[i].sums.err2;
		x2 += c->pairs[i].sums.x2;
	}
	r->total_rel_rmse = err2 > 0 ? sqrt(err2 / x2) : 0;
	return QC_OK;
}

static enum qc_status verdict(struct check *c, const char *path)
{
	const struct qc_check_report *r = c->report;

	if (r->hashes == QC_HASH_DIFFERENT)
		return qc_fail(c->err, QC_DIFFERENT, "'%s': %s", path, r->first_difference);
	if (r->n_missing || r->n_extra || r->n_mismatched)
		return qc_fail(
			c->err, QC_DIFFERENT,
			"'%s': %zu tensors of the source are missing, %zu are not in the source, "
			"%zu have another shape (first: '%s')",
			path, r->n_missing, r->n_extra, r->n_mismatched,
			r->n_missing ? r->missing[0]
			: r->n_extra ? r->extra[0]
				     : r->mismatched[0]);
	return QC_OK;
}

/* Read what is open: the file, and the source when there is one. */
static enum qc_status read_all(struct check *c)
{
	enum qc_status s = c->source ? bring_together(c) : QC_OK;

	if (s)
		return s;
	c->report->n_tensors = c->n_pairs = c->file->n_tensors;
	for (size_t i = 0; i < c->file->n_files; i++)
		c->report->bytes += c->file->files[i]->size;
	c->pairs = calloc(c->n_pairs + 1, sizeof(*c->pairs));
	if (!c->pairs)
		return qc_no_memory(c->err);
	for (size_t i = 0; i < c->n_pairs; i++)
		c->pairs[i].file = &c->file->tensors[i];
	s = index_names(c);
	if (!s && c->source)
		s = match(c);
	if (!s)
		s = qc_compare(c->pairs, c->n_pairs, c->options, c->err);
	if (!s && c->source)
		s = fill_errors(c);
	if (!s)
		s = qc_model_unchanged(c->file, c->err);
	if (!s && c->source)
		s = qc_model_unchanged(c->source, c->err);
	free(c->pairs);
	qc_strmap_clear(&c->names);
	return s;
}

enum qc_status qc_check_models(struct qc_check_report *report, struct qc_model *file,
			       struct qc_model *source, const struct qconv_options *options,
			       struct qc_err *err)
{
	struct check c = {
		.report = report,
		.options = options,
		.file = file,
		.source = source,
		.err = err,
	};

	memset(report, 0, sizeof(*report));
	return read_all(&c);
}

enum qc_status qc_check(struct qc_check_report *report, const char *path, const char *against,
			const struct qconv_options *options, struct qc_err *err)
{
	struct qc_model file = {0}, source = {0};
	struct check c = {.report = report, .options = options, .file = &file, .err = err};
	enum qc_status s;

	memset(report, 0, sizeof(*report));
	s = qc_check_manifest(report, path, options, err);
	if (!s)
		s = qc_model_open(&file, path, err);
	if (!s && against) {
		c.source = &source;
		s = qc_model_open(&source, against, err);
	}
	if (!s)
		s = read_all(&c);
	if (!s || (s == QC_BAD_INPUT && report->hashes == QC_HASH_DIFFERENT))
		s = verdict(&c, path);
	qc_model_close(&source);
	qc_model_close(&file);
	return s;
}

void qc_check_report_clear(struct qc_check_report *report)
{
	qc_arena_clear(&report->arena);
	memset(report, 0, sizeof(*report));
}
