/*
 * The walk that folds encodings, and what encodings share: finding a companion, checking it,
 * replacing the weight.
 *
 * Every stored tensor's name is compared with every encoding's list of endings, once: linear, with
 * no look-up unless an ending matches.
 */
#include "formats/fold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "quant/fast.h"

struct qc_tensor *qc_fold_find(const struct qc_fold *fold, const char *base, const char *suffix)
{
	size_t base_len = strlen(base), suffix_len = strlen(suffix);
	struct qc_tensor *tensor;
	const uint64_t *index;

	if (base_len >= fold->key_size || suffix_len >= fold->key_size - base_len)
		return NULL; /* longer than any name there is */
	memcpy(fold->key, base, base_len);
	memcpy(fold->key + base_len, suffix, suffix_len + 1);
	index = qc_strmap_find(&fold->names, fold->key, base_len + suffix_len);
	if (!index || fold->consumed[*index])
		return NULL;
	tensor = &fold->model->tensors[*index];
	return strcmp(tensor->stored_name, fold->key) ? NULL : tensor; /* it was given a new name */
}

static bool type_in_list(const struct qc_qtype *type, const struct qc_qtype *const *types)
{
	while (*types && *types != type)
		types++;
	return *types;
}

/* "f32 or u8 4096x16" */
static void wanted_text(const struct qc_qtype *const *types, int n_dims, const uint64_t *dims,
			char *buf, size_t size)
{
	size_t at = 0;

	for (const struct qc_qtype *const *t = types; t && *t && at < size; t++)
		at += (size_t)snprintf(buf + at, size - at, "%s%s", t == types ? "" : " or ",
				       (*t)->name);
	if (n_dims >= 0 && at < size) {
		struct qc_tensor shape = {.n_dims = (uint32_t)n_dims, .dims = dims};

		at += (size_t)snprintf(buf + at, size - at, at ? " " : "");
		if (at < size)
			qc_tensor_shape_text(&shape, buf + at, size - at);
	}
}

enum qc_status qc_fold_need(const struct qc_fold *fold, const char *base, const char *suffix,
			    const struct qc_qtype *const *types, int n_dims, const uint64_t *dims,
			    struct qc_tensor **out, struct qc_err *err)
{
	struct qc_tensor *tensor = qc_fold_find(fold, base, suffix);
	char have[96], wanted[192] = "";
	bool good;

	if (!tensor)
		return qc_fail(err, QC_BAD_INPUT,
			       "quantized weight '%.160s': its tensor '%.160s%s' is missing", base,
			       base, suffix);
	good = !types || type_in_list(tensor->source->type, types);
	good = good && (n_dims < 0 || tensor->n_dims == (uint32_t)n_dims);
	for (int i = 0; good && i < n_dims; i++)
		good = tensor->dims[i] == dims[i];
	*out = tensor;
	if (good)
		return QC_OK;
	qc_tensor_shape_text(tensor, have, sizeof(have));
	wanted_text(types, n_dims, dims, wanted, sizeof(wanted));
	return qc_fail(err, QC_BAD_INPUT,
		       "quantized weight '%.160s': its tensor '%.160s' is %s %s, %s is needed",
		       base, tensor->stored_name, tensor->source->type->name, have, wanted);
}

void qc_fold_consume(struct qc_fold *fold, const struct qc_tensor *companion)
{
	bool *consumed = &fold->consumed[companion - fold->model->tensors];

	fold->bytes += *consumed ? 0 : qc_tensor_stored_bytes(companion);
	*consumed = true;
}

/* From now on `name` means the tensor of this index. */
static enum qc_status take_name(struct qc_fold *fold, const char *name, uint64_t index,
				struct qc_err *err)
{
	bool was_there;
	enum qc_status s = qc_strmap_add(&fold->names, name, strlen(name), index, &was_there, err);

	if (!s && was_there)
		*qc_strmap_find(&fold->names, name, strlen(name)) = index;
	return s;
}

enum qc_status qc_fold_replace(struct qc_fold *fold, struct qc_tensor *tensor, const char *name,
			       uint32_t n_dims, const uint64_t *dims,
			       const struct qc_source *source, const char *encoding,
			       struct qc_err *err)
{
	struct qc_arena *arena = &fold->model->arena;
	const struct qc_tensor *twin = qc_fold_find(fold, name, "");
	uint64_t *own_dims = qc_arena_array(arena, n_dims, sizeof(*dims));
	const char *own_name = tensor->stored_name;
	enum qc_status s = QC_OK;

	if (twin && twin != tensor)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.160s' is a quantized form of '%.160s', which is stored "
			       "too",
			       tensor->stored_name, name);
	if (strcmp(own_name, name)) {
		own_name = qc_arena_copy(arena, name, strlen(name));
		if (own_name)
			s = take_name(fold, own_name, (uint64_t)(tensor - fold->model->tensors),
				      err);
	}
	if (s)
		return s;
	if (!own_dims || !own_name || !source || !encoding)
		return qc_no_memory(err);
	memcpy(own_dims, dims, n_dims * sizeof(*dims));
	fold->bytes += qc_tensor_stored_bytes(tensor);
	fold->result = tensor;
	tensor->name = tensor->stored_name = own_name;
	tensor->n_dims = n_dims;
	tensor->dims = own_dims;
	tensor->source = source;
	tensor->encoding = encoding;
	fold->last = source;
	return QC_OK;
}

/* Read all of a source (malloc), as floats or as stored bytes, `bytes` of them. */
static enum qc_status load(const struct qc_source *source, bool raw, size_t bytes, void **out,
			   struct qc_err *err)
{
	size_t scratch_bytes = qc_source_scratch(source, source->rows);
	struct qc_scratch scratch = {.base = aligned_alloc(64, qc_scratch_need(scratch_bytes + 1)),
				     .size = scratch_bytes};
	enum qc_status s;

	*out = malloc(bytes + 1);
	if (!*out || !scratch.base)
		s = qc_no_memory(err);
	else if (raw)
		s = qc_source_read_raw(source, 0, source->rows, *out, &scratch, err);
	else
		s = qc_source_read_f32(source, 0, source->rows, *out, &scratch, err);
	free(scratch.base);
	if (s) {
		free(*out);
		*out = NULL;
	}
	return s;
}

static enum qc_status too_many(const struct qc_tensor *companion, uint64_t n, const char *what,
			       uint64_t max, struct qc_err *err)
{
	return qc_fail(err, QC_BAD_INPUT, "tensor '%.160s' has %llu %s, at most %llu are allowed",
		       companion->stored_name, (unsigned long long)n, what,
		       (unsigned long long)max);
}

enum qc_status qc_fold_load_f32(const struct qc_tensor *companion, uint64_t max, float **values,
				struct qc_err *err)
{
	uint64_t n = qc_tensor_elems(companion);
	enum qc_status s;
	void *data = NULL;
	size_t bad;

	*values = NULL;
	if (n > max)
		return too_many(companion, n, "values", max, err);
	s = load(companion->source, false, (size_t)n * sizeof(float), &data, err);
	if (s)
		return qc_fail_in(err, "tensor '%.160s'", companion->stored_name);
	bad = qc_first_nonfinite(data, (size_t)n);
	if (bad < n) {
		s = qc_fail(err, QC_BAD_INPUT, "tensor '%.160s': value %zu is %s",
			    companion->stored_name, bad,
			    isnan(((float *)data)[bad]) ? "nan" : "infinite");
		free(data);
		return s;
	}
	*values = data;
	return QC_OK;
}

enum qc_status qc_fold_load_bytes(const struct qc_tensor *companion, uint64_t max, uint8_t **bytes,
				  size_t *size, struct qc_err *err)
{
	uint64_t n = qc_tensor_stored_bytes(companion);
	void *data = NULL;

	*bytes = NULL;
	*size = (size_t)n;
	if (n > max)
		return too_many(companion, n, "bytes", max, err);
	if (load(companion->source, true, (size_t)n, &data, err))
		return qc_fail_in(err, "tensor '%.160s'", companion->stored_name);
	*bytes = data;
	return QC_OK;
}

static enum qc_status fold_begin(struct qc_fold *fold, struct qc_err *err)
{
	const struct qc_model *model = fold->model;
	size_t longest = 0;

	fold->consumed = calloc(model->n_tensors + 1, sizeof(*fold->consumed));
	if (!fold->consumed)
		return qc_no_memory(err);
	for (size_t i = 0; i < model->n_tensors; i++) {
		const char *name = model->tensors[i].stored_name;
		size_t len = strlen(name);
		bool was_there;
		enum qc_status s = qc_strmap_add(&fold->names, name, len, i, &was_there, err);

		if (s)
			return s;
		if (len > longest)
			longest = len;
	}
	/* a renamed weight may be longer than any stored name: "x_blocks" becomes "x.weight" */
	fold->key_size = longest + 64;
	fold->key = malloc(fold->key_size);
	return fold->key ? QC_OK : qc_no_memory(err);
}

/* Ask every encoding that has an ending of this tensor's name among its triggers. */
static enum qc_status fold_tensor(struct qc_fold *fold, size_t index, char *base,
				  struct qc_err *err)
{
	const struct qc_tensor *tensor = &fold->model->tensors[index];
	size_t len = strlen(tensor->stored_name);
	bool taken = false;

	for (const struct qc_encoding *const *e = qc_encodings; *e; e++)
		for (const char *const *t = (*e)->triggers; *t; t++) {
			enum qc_status s;

			if (!qc_text_ends(tensor->stored_name, *t))
				continue;
			memcpy(base, tensor->stored_name, len - strlen(*t));
			base[len - strlen(*t)] = 0;
			fold->result = NULL;
			fold->bytes = 0;
			s = (*e)->fold(fold, tensor, base, &taken, err);
			if (!s && taken && fold->result) {
				fold->result->folded_bytes = fold->bytes;
				fold->result->folded_elems = qc_tensor_elems(fold->result);
			}
			if (s || taken)
				return s;
		}
	return QC_OK;
}

/* A companion that nothing has used: the weight or the tensor that tells the encoding is missing.
 */
static enum qc_status check_leftover(const struct qc_tensor *tensor, struct qc_err *err)
{
	for (const struct qc_encoding *const *e = qc_encodings; *e; e++)
		for (const char *const *end = (*e)->leftovers; end && *end; end++)
			if (qc_text_ends(tensor->stored_name, *end))
				return qc_fail(err, QC_BAD_INPUT,
					       "tensor '%.160s' is a part of a %s weight whose "
					       "other parts ('...%s') are missing",
					       tensor->stored_name, (*e)->name, (*e)->triggers[0]);
	return QC_OK;
}

static enum qc_status fold_all(struct qc_fold *fold, struct qc_err *err)
{
	struct qc_model *model = fold->model;
	char *base = malloc(fold->key_size);
	enum qc_status s = base ? QC_OK : qc_no_memory(err);
	size_t kept = 0;

	for (size_t i = 0; !s && i < model->n_tensors; i++)
		if (!fold->consumed[i] && !model->tensors[i].encoding)
			s = fold_tensor(fold, i, base, err);
	free(base);
	for (size_t i = 0; !s && i < model->n_tensors; i++)
		if (!fold->consumed[i] && !model->tensors[i].encoding)
			s = check_leftover(&model->tensors[i], err);
	if (s)
		return s;
	for (size_t i = 0; i < model->n_tensors; i++)
		if (!fold->consumed[i])
			model->tensors[kept++] = model->tensors[i];
	model->n_tensors = kept;
	return QC_OK;
}

enum qc_status qc_fold_encodings(struct qc_model *model, struct qc_err *err)
{
	struct qc_fold fold = {.model = model};
	enum qc_status s = fold_begin(&fold, err);

	if (!s)
		s = fold_all(&fold, err);
	qc_model_note_reading(model, fold.names.n_slots * sizeof(*fold.names.slots) +
					     model->cap_tensors * sizeof(*fold.consumed));
	qc_strmap_clear(&fold.names);
	free(fold.consumed);
	free(fold.key);
	return s;
}
