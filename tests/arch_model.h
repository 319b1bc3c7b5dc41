/* Models made of an architecture's own table: every tensor it asks for, of the right shape, without
 * files. */
#ifndef QC_TESTS_ARCH_MODEL_H
#define QC_TESTS_ARCH_MODEL_H

#include "base/bytes.h"
#include "formats/arch/arch.h"
#include "tests/test.h"

/* Gives a tensor its numbers, n_dims dimensions in GGUF order. */
typedef void am_values_fn(const char *name, float *values, uint32_t n_dims, const uint64_t *dims);

/* A model as a reader leaves it before the tensors. */
static inline enum qc_status am_config(struct qc_model *model, const char *text, struct qc_err *err)
{
	*model = (struct qc_model){.path = "m", .dir = "."};
	model->meta.arena = &model->arena;
	return qc_arch_from_config(model, strdup(text), strlen(text), err);
}

/* Add a tensor. Without `values` it has none: its rows must not be read. */
static inline struct qc_tensor *am_add(struct qc_model *model, const char *name, uint32_t n_dims,
				       const uint64_t *dims, am_values_fn *values)
{
	struct qc_tensor tensor = {.layer = -1, .n_dims = n_dims};
	uint64_t *copy = qc_arena_array(&model->arena, 4, sizeof(*copy)), rows, cols;
	float *numbers = NULL;
	struct qc_err err;

	NEED(copy, "no memory");
	memcpy(copy, dims, n_dims * sizeof(*dims));
	tensor.dims = copy;
	tensor.name = tensor.stored_name = qc_arena_copy(&model->arena, name, strlen(name));
	qc_source_shape(qc_qtype_find("f32"), n_dims, dims, &rows, &cols);
	if (values) {
		numbers = qc_arena_array(&model->arena, rows * cols, sizeof(*numbers));
		NEED(numbers, "no memory");
		values(name, numbers, n_dims, dims);
	}
	tensor.source = qc_source_values(&model->arena, numbers, rows, cols);
	NEED(tensor.source && !qc_model_add_tensor(model, &tensor, &err), "no memory");
	return &model->tensors[model->n_tensors - 1];
}

/* Values 0, 1, 2, ... */
static inline void am_count_up(const char *name, float *values, uint32_t n_dims,
			       const uint64_t *dims)
{
	(void)name;
	for (uint64_t i = 0; i < dims[0] * (n_dims > 1 ? dims[1] : 1); i++)
		values[i] = (float)i;
}

/* Add a matrix of these, or without `cols` a vector. */
static inline void am_add_counted(struct qc_model *model, const char *name, uint64_t rows,
				  uint64_t cols)
{
	am_add(model, name, cols ? 2 : 1, (uint64_t[]){cols ? cols : rows, rows}, am_count_up);
}

static inline void am_fill_name(char *name, size_t size, const char *pattern, const char *prefix,
				uint32_t layer, uint32_t expert)
{
	size_t at = 0;

	if (!strncmp(pattern, "model.", 6)) {
		at = (size_t)snprintf(name, size, "%s", prefix);
		pattern += 6;
	}
	while (*pattern && at + 12 < size) {
		if (!strncmp(pattern, "{i}", 3) || !strncmp(pattern, "{e}", 3)) {
			at += (size_t)snprintf(name + at, size - at, "%u",
					       pattern[1] == 'i' ? layer : expert);
			pattern += 3;
		} else {
			name[at++] = *pattern++;
		}
	}
	name[at] = 0;
}

/* Another row with the same GGUF name has one tensor an expert. */
static inline bool am_has_experts_row(const struct qc_arch *arch, const struct qc_arch_tensor *row)
{
	for (const struct qc_arch_tensor *r = arch->tensors; r->hf; r++)
		if (strstr(r->hf, "{e}") && !strcmp(r->gguf, row->gguf))
			return true;
	return false;
}

/* am_fill() of gpt-oss, one by one: as llm-compressor names its experts, below this ("mlp.experts."
 * or "mlp.experts.experts."); NULL: with gate and up in one. */
static const char *am_linear;

static inline bool am_is_other_form(const struct qc_arch_tensor *row)
{
	const char *at = strstr(row->hf, ".mlp.experts."), *number = strstr(row->hf, "{e}.");
	const size_t n = at && number ? (size_t)(number - at) - 1 : 0;

	if (strstr(row->hf, "_projs.{e}."))
		return am_linear != NULL;
	return n && (!am_linear || strlen(am_linear) != n || strncmp(am_linear, at + 1, n) != 0);
}

static inline bool am_wants(const struct qc_model *model, const struct qc_arch_tensor *row,
			    uint32_t layer, bool one_by_one)
{
	if (!*row->hf)
		return false;
	if (strstr(row->hf, "{e}"))
		return one_by_one && qc_arch_shape_letter(model, 'E', 0) && !am_is_other_form(row);
	if (one_by_one && am_has_experts_row(model->arch, row))
		return false;
	return !row->needed || row->needed(model, layer);
}

/* All tensors that the table must have, experts in one or `one_by_one`; `prefix` stands for
 * "model.". */
static inline void am_fill(struct qc_model *model, const char *prefix, bool one_by_one,
			   am_values_fn *values)
{
	const uint32_t n_layers = qc_arch_u32(model, "{a}.block_count", 0);
	const uint32_t n_experts = qc_arch_u32(model, "{a}.expert_count", 0);

	for (const struct qc_arch_tensor *row = model->arch->tensors; row->hf; row++)
		for (uint32_t i = 0; i < (strstr(row->hf, "{i}") ? n_layers : 1); i++)
			for (uint32_t e = 0; e < (strstr(row->hf, "{e}") ? n_experts : 1); e++) {
				const uint32_t rank = (uint32_t)strlen(row->shape);
				uint64_t dims[4], first;
				char name[160];

				if (!am_wants(model, row, i, one_by_one))
					continue;
				for (uint32_t d = 0; d < rank; d++)
					dims[d] = qc_arch_shape_letter(model,
								       row->shape[rank - 1 - d], i);
				first = dims[0];
				if (row->op == QC_ROWS_TRANSPOSE) {
					dims[0] = dims[1];
					dims[1] = first;
				}
				am_fill_name(name, sizeof(name), row->hf, prefix, i, e);
				am_add(model, name, rank, dims, values);
			}
}

/* The number of tensors under a stored name that contains `part`, taken away. */
static inline size_t am_remove(struct qc_model *model, const char *part)
{
	const size_t before = model->n_tensors;
	size_t kept = 0;

	for (size_t i = 0; i < before; i++)
		if (!strstr(model->tensors[i].stored_name, part))
			model->tensors[kept++] = model->tensors[i];
	model->n_tensors = kept;
	return before - kept;
}

static inline void am_check_u32(const struct qc_model *model, const char *key, uint32_t want)
{
	const struct qc_kv *kv = qc_meta_find(&model->meta, key);

	CHECK(kv && kv->type == QC_KV_U32 && qc_le32(kv->data) == want, "%s is %s %u, not u32 %u",
	      key, kv ? qc_kv_type_name(kv->type) : "absent",
	      kv && kv->bytes >= 4 ? qc_le32(kv->data) : 0, want);
}

static inline void am_check_f32(const struct qc_model *model, const char *key, float want)
{
	const struct qc_kv *kv = qc_meta_find(&model->meta, key);

	CHECK(kv && kv->type == QC_KV_F32 && qc_bits_f32(qc_le32(kv->data)) == want,
	      "%s is %s, not f32 %g", key, kv ? qc_kv_type_name(kv->type) : "absent", (double)want);
}

static inline void am_check_string(const struct qc_model *model, const char *key, const char *want)
{
	const char *have = "(absent)";
	size_t len = 8;

	(void)!qc_meta_string(&model->meta, key, &have, &len);
	CHECK(len == strlen(want) && !memcmp(have, want, len), "%s is '%.*s', not '%s'", key,
	      (int)len, have, want);
}

static inline void am_check_absent(const struct qc_model *model, const char *key)
{
	CHECK(!qc_meta_find(&model->meta, key), "%s is there", key);
}

/* A key of an architecture, without its name, and what it must be. */
struct am_key {
	const char *name;
	enum qc_kv_type type; /* QC_KV_U32, QC_KV_F32, QC_KV_STRING */
	double number;
	const char *string;
};

/* The model is of the architecture `arch` and has these keys; the last one has no name. */
static inline void am_check_keys(const struct qc_model *model, const char *arch,
				 const struct am_key *keys)
{
	char key[128];

	am_check_string(model, "general.architecture", arch);
	for (; keys->name; keys++) {
		snprintf(key, sizeof(key), "%s.%s", arch, keys->name);
		if (keys->type == QC_KV_STRING)
			am_check_string(model, key, keys->string);
		else if (keys->type == QC_KV_F32)
			am_check_f32(model, key, (float)keys->number);
		else
			am_check_u32(model, key, (uint32_t)keys->number);
	}
}

/* An array of i32 or bool: `text` is "8 8 2" (or "1 1 0"). */
static inline void am_check_array(const struct qc_model *model, const char *key,
				  enum qc_kv_type elem, const char *text)
{
	const struct qc_kv *kv = qc_meta_find(&model->meta, key);
	char have[1024] = "";
	size_t at = 0;

	NEED(kv && kv->type == QC_KV_ARRAY && kv->elem == elem, "%s is no array of %s", key,
	     qc_kv_type_name(elem));
	for (uint64_t i = 0; i < kv->n && at + 16 < sizeof(have); i++)
		at += (size_t)snprintf(have + at, sizeof(have) - at, "%s%u", i ? " " : "",
				       elem == QC_KV_BOOL ? kv->data[i]
							  : qc_le32(kv->data + 4 * i));
	CHECK(!strcmp(have, text), "%s is '%s', not '%s'", key, have, text);
}

/* The tensor `name` with its dimensions "256 64" in GGUF order. */
static inline const struct qc_tensor *am_check_tensor(const struct qc_model *model,
						      const char *name, const char *dims)
{
	const struct qc_tensor *tensor = qc_model_find(model, name);
	char have[96] = "";
	size_t at = 0;

	NEED(tensor, "no tensor '%s'", name);
	for (uint32_t i = 0; i < tensor->n_dims; i++)
		at += (size_t)snprintf(have + at, sizeof(have) - at, "%s%llu", i ? " " : "",
				       (unsigned long long)tensor->dims[i]);
	CHECK(!strcmp(have, dims), "%s has dims '%s', not '%s'", name, have, dims);
	return tensor;
}

/* All rows of a tensor as floats (malloc). */
static inline float *am_read(const struct qc_tensor *tensor)
{
	const struct qc_source *source = tensor->source;
	struct qc_scratch scratch = {.size = qc_source_scratch(source, source->rows)};
	float *values = malloc((size_t)(source->rows * source->cols) * sizeof(*values) + 1);
	struct qc_err err = {0};

	scratch.base = aligned_alloc(64, (scratch.size + 127) / 64 * 64);
	NEED(values && scratch.base, "no memory");
	NEED(!qc_source_read_f32(source, 0, source->rows, values, &scratch, &err), "%s: %s",
	     tensor->name, err.text);
	free(scratch.base);
	return values;
}

/* The same as stored blocks. */
static inline uint8_t *am_read_raw(const struct qc_tensor *tensor, size_t *size)
{
	const struct qc_source *source = tensor->source;
	struct qc_scratch scratch = {.size = qc_source_scratch(source, source->rows)};
	struct qc_err err = {0};
	uint8_t *bytes;

	*size = (size_t)qc_tensor_stored_bytes(tensor);
	bytes = malloc(*size + 1);
	scratch.base = aligned_alloc(64, (scratch.size + 127) / 64 * 64);
	NEED(bytes && scratch.base && source->ops->read_raw, "%s: no raw rows", tensor->name);
	NEED(!qc_source_read_raw(source, 0, source->rows, bytes, &scratch, &err), "%s: %s",
	     tensor->name, err.text);
	free(scratch.base);
	return bytes;
}

#endif
