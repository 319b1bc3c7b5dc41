/*
 * What a Hugging Face checkpoint made of a GGUF would become if it were converted again: read from
 * the texts in memory, named, and brought to GGUF's layout by the code that does so with any
 * checkpoint, then compared with what there was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/arch/arch.h"
#include "formats/hf.h"
#include "formats/hf_back.h"
#include "formats/hf_sampling.h"
#include "formats/tokenizer.h"

/* A key that the texts do not say, for model->unsaid. */
static enum qc_status add_unsaid(struct qc_model *model, const char *key, const char *why,
				 struct qc_err *err)
{
	struct qc_unsaid *unsaid = qc_arena_alloc(&model->arena, sizeof(*unsaid)), **end;

	if (!unsaid)
		return qc_no_memory(err);
	unsaid->key = qc_arena_copy(&model->arena, key, strlen(key));
	unsaid->why = qc_arena_copy(&model->arena, why, strlen(why));
	if (!unsaid->key || !unsaid->why)
		return qc_no_memory(err);
	for (end = &model->unsaid; *end; end = &(*end)->next)
		;
	*end = unsaid;
	return QC_OK;
}

static const struct qc_side_text *find_side(const struct qc_model *model, const char *name)
{
	for (size_t i = 0; i < model->n_sides; i++)
		if (!strcmp(model->sides[i].name, name))
			return &model->sides[i];
	return NULL;
}

static enum qc_status read_config(struct qc_model *again, const struct qc_model *model,
				  struct qc_err *err)
{
	const struct qc_side_text *config = find_side(model, "config.json");
	char *text = strndup(config->text, config->size);
	enum qc_status s =
		text ? qc_arch_from_config(again, text, config->size, err) : qc_no_memory(err);

	if (!s && again->arch != model->arch)
		s = qc_fail(err, QC_UNSUPPORTED, "its config.json would be of another model");
	return s ? qc_fail_in(err, "config.json") : QC_OK;
}

/* The tensors as a reader of the files would find them. */
static enum qc_status read_tensors(struct qc_model *again, const struct qc_model *model,
				   struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < model->n_tensors; i++) {
		struct qc_tensor tensor = model->tensors[i];

		tensor.name = tensor.stored_name;
		tensor.row = NULL;
		tensor.layer = -1;
		tensor.expert = 0;
		if (!tensor.source->type->is_float && !tensor.encoding)
			tensor.encoding = "blocks";
		s = qc_model_add_tensor(again, &tensor, err);
	}
	return s ? s : qc_arch_name_tensors(again, err);
}

/* The tokenizer; a refusal takes its files back. */
static enum qc_status read_tokenizer(struct qc_model *again, struct qc_model *model,
				     struct qc_err *err)
{
	struct qc_err why = {0};
	enum qc_status s = qc_tokenizer_load(again, &why);
	size_t kept = 0;

	if (!s)
		return QC_OK;
	if (s != QC_UNSUPPORTED && s != QC_BAD_INPUT) {
		*err = why;
		return s;
	}
	for (size_t i = again->meta.n; i-- > 0;)
		if (!strncmp(again->meta.kvs[i].key, "tokenizer.", strlen("tokenizer.")))
			qc_meta_remove(&again->meta, again->meta.kvs[i].key);
	for (size_t i = 0; i < model->n_sides; i++)
		if (strncmp(model->sides[i].name, "tokenizer", strlen("tokenizer")) != 0)
			model->sides[kept++] = model->sides[i];
	model->n_sides = kept;
	model->tokenizer_note =
		qc_arena_printf(&model->arena, "the tokenizer cannot be written: %s", why.text);
	return model->tokenizer_note ? QC_OK : qc_no_memory(err);
}

/* A generated tensor has the values of the one that was there. */
static enum qc_status same_values(const struct qc_tensor *a, const struct qc_tensor *b, bool *same,
				  struct qc_err *err)
{
	const uint64_t n = a->source->rows * a->source->cols;
	const size_t need = qc_source_scratch(a->source, a->source->rows) +
			    qc_source_scratch(b->source, b->source->rows);
	struct qc_scratch scratch = {.base = aligned_alloc(64, (need + 127) & ~(size_t)63),
				     .size = need};
	float *values = malloc((2 * n + 1) * sizeof(*values));
	enum qc_status s = scratch.base && values ? QC_OK : qc_no_memory(err);

	if (!s)
		s = qc_source_read_f32(a->source, 0, a->source->rows, values, &scratch, err);
	if (!s)
		s = qc_source_read_f32(b->source, 0, b->source->rows, values + n, &scratch, err);
	*same = !s && !memcmp(values, values + n, n * sizeof(*values));
	free(values);
	free(scratch.base);
	return s;
}

static bool same_shape(const struct qc_tensor *a, const struct qc_tensor *b)
{
	return a->n_dims == b->n_dims && !memcmp(a->dims, b->dims, a->n_dims * sizeof(*a->dims));
}

static enum qc_status compare_tensor(const struct qc_tensor *was, const struct qc_tensor *is,
				     struct qc_err *err)
{
	bool same = true;
	enum qc_status s = QC_OK;

	if (!same_shape(was, is))
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%s' would have another shape when it is converted again",
			       was->name);
	if (is->generated)
		s = same_values(was, is, &same, err);
	if (!s && !same)
		s = qc_fail(err, QC_UNSUPPORTED,
			    "tensor '%s' would have other values when it is made from config.json",
			    was->name);
	return s;
}

/* The same tensors in both, in any order. */
static enum qc_status compare_tensors(const struct qc_model *again, const struct qc_tensor *before,
				      size_t n, struct qc_err *err)
{
	struct qc_strmap names = {0};
	bool was_there;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < again->n_tensors; i++) {
		const char *name = again->tensors[i].name;

		s = qc_strmap_add(&names, name, strlen(name), i, &was_there, err);
	}
	for (size_t i = 0; !s && i < n; i++) {
		const uint64_t *at = qc_strmap_find(&names, before[i].name, strlen(before[i].name));

		s = at ? compare_tensor(&before[i], &again->tensors[*at], err)
		       : qc_fail(err, QC_UNSUPPORTED,
				 "tensor '%s' would not be there when it is converted again",
				 before[i].name);
	}
	if (!s && again->n_tensors != n)
		s = qc_fail(err, QC_UNSUPPORTED, "%zu tensors would be %zu when converted again", n,
			    again->n_tensors);
	qc_strmap_clear(&names);
	return s;
}

/* Keys that are made anew whatever the source is. */
static bool is_made_anew(const char *key)
{
	static const char *const keys[] = {"general.file_type", "general.quantization_version",
					   NULL};

	for (const char *const *k = keys; *k; k++)
		if (!strcmp(*k, key))
			return true;
	return false;
}

/* A value, in a few characters. */
static void value_text(const struct qc_kv *kv, char *buf, size_t size)
{
	if (kv->type == QC_KV_STRING)
		snprintf(buf, size, "'%.*s%s'", kv->bytes > 40 ? 40 : (int)kv->bytes,
			 (const char *)kv->data, kv->bytes > 40 ? "..." : "");
	else if (kv->type == QC_KV_ARRAY)
		snprintf(buf, size, "another list of %llu", (unsigned long long)kv->n);
	else if (kv->type == QC_KV_F32)
		snprintf(buf, size, "%g", (double)qc_bits_f32(qc_le32(kv->data)));
	else if (kv->type == QC_KV_U32)
		snprintf(buf, size, "%u", qc_le32(kv->data));
	else if (kv->type == QC_KV_BOOL)
		snprintf(buf, size, "%s", *kv->data ? "true" : "false");
	else
		snprintf(buf, size, "another %s", qc_kv_type_name(kv->type));
}

static enum qc_status compare_meta(const struct qc_model *again, struct qc_model *model,
				   struct qc_err *err)
{
	char value[96], why[160];
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < model->meta.n; i++) {
		const struct qc_kv *kv = &model->meta.kvs[i];
		const struct qc_kv *other = qc_meta_find(&again->meta, kv->key);

		if (is_made_anew(kv->key) || (other && qc_kv_same(kv, other)))
			continue;
		if (other)
			value_text(other, value, sizeof(value));
		snprintf(why, sizeof(why),
			 other ? "converting the output again would give %s"
			       : "converting the output again would not bring it back",
			 value);
		s = add_unsaid(model, kv->key, why, err);
	}
	for (size_t i = 0; !s && i < again->meta.n; i++) {
		const struct qc_kv *kv = &again->meta.kvs[i];

		if (qc_meta_find(&model->meta, kv->key))
			continue;
		value_text(kv, value, sizeof(value));
		snprintf(why, sizeof(why),
			 "not there, but converting the output again would give %s", value);
		s = add_unsaid(model, kv->key, why, err);
	}
	return s;
}

enum qc_status qc_hf_back_check(struct qc_model *model, const struct qc_tensor *before, size_t n,
				struct qc_err *err)
{
	struct qc_model again = {
		.path = model->path,
		.dir = model->dir,
		.format = &qc_format_hf,
		.sides = model->sides,
		.n_sides = model->n_sides,
	};
	enum qc_status s;

	again.meta.arena = &again.arena;
	s = read_config(&again, model, err);
	if (!s)
		s = read_tensors(&again, model, err);
	if (!s)
		s = read_tokenizer(&again, model, err);
	if (!s)
		s = qc_hf_read_sampling(&again, err);
	if (!s)
		s = qc_model_set_layout(&again, QC_LAYOUT_GGUF, err);
	if (!s)
		s = compare_tensors(&again, before, n, err);
	if (!s)
		s = compare_meta(&again, model, err);
	qc_model_note_reading(model, again.reading_bytes + again.arena.bytes);
	qc_model_close(&again);
	return s;
}
