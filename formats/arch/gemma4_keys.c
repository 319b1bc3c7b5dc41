/* gemma4: the keys that no table row can express, most of them one value a block, and what GGUF
 * cannot express at all. */
#include "formats/arch/gemma4.h"

#include <math.h>
#include <stdlib.h>

#include "formats/tokenizer.h"

#define FIRST_FULL_PATTERN 6 /* transformers' default: every sixth block */

/* A block of per_layer_config ({"5": {"head_dim", "num_key_value_heads"}}), where newer
 * transformers keep what full attention has of its own; `fallback` when no block says. */
static double per_layer_number(const struct qc_model *model, const char *name, double fallback)
{
	const struct qc_json *json = &model->config;
	const qc_json_value blocks = qc_config_get(model, "per_layer_config");
	double value = fallback;

	if (qc_json_type_of(json, blocks) != QC_JSON_OBJECT)
		return fallback;
	for (qc_json_value v = qc_json_first(json, blocks); v; v = qc_json_next(json, v))
		if (qc_json_f64(json, qc_json_get(json, v, name), &value))
			return value;
	return fallback;
}

/* Where each block stands: sliding[0 .. n). */
static enum qc_status read_pattern(const struct qc_model *model, bool *sliding, uint32_t n,
				   struct qc_err *err)
{
	const struct qc_json *json = &model->config;
	const qc_json_value types = qc_config_get(model, "layer_types");
	qc_json_value v = qc_json_first(json, types);

	if (types &&
	    (qc_json_type_of(json, types) != QC_JSON_ARRAY || qc_json_count(json, types) != n))
		return qc_fail(err, QC_BAD_INPUT, "'layer_types' has %u entries, %u are needed",
			       qc_json_count(json, types), n);
	for (uint32_t i = 0; i < n; i++, v = qc_json_next(json, v)) {
		sliding[i] = v ? qc_json_equals(json, v, "sliding_attention")
			       : (i + 1) % FIRST_FULL_PATTERN && i + 1 < n;
		if (v && !sliding[i] && !qc_json_equals(json, v, "full_attention"))
			return qc_fail(err, QC_BAD_INPUT,
				       "layer_types[%u] is neither sliding_attention nor "
				       "full_attention",
				       i);
	}
	return QC_OK;
}

/* llama.cpp takes the keys and values of shared blocks from the last two blocks that have their
 * own: sliding from the last but one, full from the last. */
static enum qc_status check_sharing(const bool *sliding, uint32_t n, uint32_t shared,
				    struct qc_err *err)
{
	const uint32_t own = n - shared;
	bool any_sliding = false, any_full = false;

	for (uint32_t i = own; i < n; i++) {
		any_sliding |= sliding[i];
		any_full |= !sliding[i];
	}
	if ((any_sliding && (own < 2 || !sliding[own - 2])) ||
	    (any_full && (!own || sliding[own - 1])))
		return qc_fail(err, QC_UNSUPPORTED,
			       "the last blocks with keys and values of their own (%u of %u) are "
			       "not one of sliding_attention and one of full_attention, which "
			       "GGUF's gemma4 takes the others' from",
			       own, n);
	return QC_OK;
}

static enum qc_status set_u32(struct qc_model *model, const char *key, uint32_t value,
			      struct qc_err *err)
{
	char name[96];

	return qc_meta_set_u32(&model->meta, qc_arch_key_name(model, key, name), value, err);
}

/* Sizes that full attention has of its own. */
static enum qc_status full_sizes(struct qc_model *model, const bool *sliding, uint32_t n,
				 struct qc_err *err)
{
	const uint32_t kv = qc_arch_u32(model, "{a}.attention.head_count_kv", 0);
	const double fallback = per_layer_number(model, "head_dim", 512);
	double head, full_kv;
	uint32_t *values;
	enum qc_status s =
		qc_config_number(model, "global_head_dim", true, fallback, 1, 1 << 16, &head, err);

	if (!s)
		s = qc_config_number(model, "num_global_key_value_heads", true,
				     per_layer_number(model, "num_key_value_heads", NAN), 1,
				     1 << 16, &full_kv, err);
	if (!s)
		s = set_u32(model, "{a}.attention.key_length", (uint32_t)head, err);
	if (!s)
		s = set_u32(model, "{a}.attention.value_length", (uint32_t)head, err);
	if (!s && !isnan(full_kv) &&
	    qc_arch_u32(model, "{a}.attention.head_count", 0) % (uint32_t)full_kv)
		s = qc_fail(err, QC_BAD_INPUT,
			    "num_attention_heads %u is not a multiple of "
			    "num_global_key_value_heads %g",
			    qc_arch_u32(model, "{a}.attention.head_count", 0), full_kv);
	if (s || isnan(full_kv))
		return s;
	values = calloc(n, sizeof(*values));
	if (!values)
		return qc_no_memory(err);
	for (uint32_t i = 0; i < n; i++)
		values[i] = sliding[i] ? kv : (uint32_t)full_kv;
	s = qc_arch_set_i32s(model, "{a}.attention.head_count_kv", values, err);
	free(values);
	return s;
}

/* Blocks without keys and values of their own may have networks twice as wide. */
static enum qc_status wide_sizes(struct qc_model *model, uint32_t n, struct qc_err *err)
{
	const uint32_t width = qc_arch_u32(model, "{a}.feed_forward_length", 0);
	uint32_t *values;
	bool wide = false;
	enum qc_status s;

	if (!qc_json_bool(&model->config, qc_config_get(model, "use_double_wide_mlp"), &wide) ||
	    !wide)
		return QC_OK;
	values = calloc(n, sizeof(*values));
	if (!values)
		return qc_no_memory(err);
	for (uint32_t i = 0; i < n; i++)
		values[i] = qc_gemma4_has_kv(model, i) ? width : 2 * width;
	s = qc_arch_set_i32s(model, "{a}.feed_forward_length", values, err);
	free(values);
	return s;
}

/* How many dimensions of a head rotate: all of them; the tensor rope_freqs holds those of full
 * attention still that do not. */
static enum qc_status rope_sizes(struct qc_model *model, struct qc_err *err)
{
	const uint32_t full = qc_arch_u32(model, "{a}.attention.key_length", 0);
	const uint32_t swa = qc_arch_u32(model, "{a}.attention.key_length_swa", 0);
	double partial;
	enum qc_status s = qc_config_expect(model, "rope_parameters.full_attention.rope_type",
					    "proportional", err);

	if (!s)
		s = qc_config_expect(model, "rope_parameters.sliding_attention.rope_type",
				     "default", err);
	if (!s)
		s = qc_config_number(model,
				     "rope_parameters.sliding_attention.partial_rotary_factor",
				     false, 1, 0, 1, &partial, err);
	if (!s && partial != 1)
		s = qc_fail(err, QC_UNSUPPORTED,
			    "sliding_attention rotates %g of a head, GGUF's gemma4 all of it",
			    partial);
	if (!s && (full % 2 || swa % 2))
		s = qc_fail(err, QC_BAD_INPUT, "heads of %u and %u columns are not whole pairs",
			    full, swa);
	if (!s)
		s = set_u32(model, "{a}.rope.dimension_count", full, err);
	return s ? s : set_u32(model, "{a}.rope.dimension_count_swa", swa, err);
}

static enum qc_status check_experts(struct qc_model *model, struct qc_err *err)
{
	const uint32_t n = qc_arch_u32(model, "{a}.expert_count", 0);
	const uint32_t used = qc_arch_u32(model, "{a}.expert_used_count", 0);

	if (!n)
		return QC_OK;
	if (!used || used > n)
		return qc_fail(err, QC_BAD_INPUT, "top_k_experts is %u, but there are %u experts",
			       used, n);
	if (!qc_arch_u32(model, "{a}.expert_feed_forward_length", 0))
		return qc_fail(err, QC_BAD_INPUT,
			       "lacks 'moe_intermediate_size', which %u experts "
			       "need",
			       n);
	return QC_OK;
}

static enum qc_status pattern_keys(struct qc_model *model, bool *sliding, uint32_t n,
				   struct qc_err *err)
{
	const uint32_t shared = qc_arch_u32(model, "{a}.attention.shared_kv_layers", 0);
	enum qc_status s = read_pattern(model, sliding, n, err);

	if (!s && shared > n)
		s = qc_fail(err, QC_BAD_INPUT, "num_kv_shared_layers is %u, num_hidden_layers %u",
			    shared, n);
	if (!s)
		s = check_sharing(sliding, n, shared, err);
	if (!s)
		s = qc_arch_set_bools(model, "{a}.attention.sliding_window_pattern", sliding, err);
	return s ? s : full_sizes(model, sliding, n, err);
}

/* null means that there is no second embedding; only where nothing stands is the default 256. */
static enum qc_status own_embedding(struct qc_model *model, struct qc_err *err)
{
	const struct qc_json *json = &model->config;
	const qc_json_value text = qc_json_get(json, QC_JSON_ROOT, "text_config");
	const qc_json_value value =
		qc_json_get(json, text ? text : QC_JSON_ROOT, "hidden_size_per_layer_input");

	if (qc_json_type_of(json, value) != QC_JSON_NULL)
		return QC_OK;
	return set_u32(model, "{a}.embedding_length_per_layer_input", 0, err);
}

/* Attention to what comes later exists inside of images only. */
static enum qc_status check_causal(const struct qc_model *model, struct qc_err *err)
{
	const struct qc_json *json = &model->config;
	const qc_json_value value = qc_config_get(model, "use_bidirectional_attention");

	if (!value || qc_json_type_of(json, value) == QC_JSON_FALSE ||
	    qc_json_equals(json, value, "vision"))
		return QC_OK;
	return qc_fail(err, QC_UNSUPPORTED,
		       "use_bidirectional_attention is set, GGUF's gemma4 is causal");
}

/* The unified model must not produce the tokens that end images and sounds. */
static enum qc_status suppressed(struct qc_model *model, struct qc_err *err)
{
	const struct qc_json *json = &model->config;
	const qc_json_value class = qc_json_first(json, qc_config_get(model, "architectures"));

	return qc_json_equals(json, class, "Gemma4UnifiedForConditionalGeneration")
		       ? qc_tokenizer_suppress(model, err)
		       : QC_OK;
}

enum qc_status qc_gemma4_finish(struct qc_model *model, struct qc_err *err)
{
	const uint32_t n = qc_arch_u32(model, "{a}.block_count", 0);
	enum qc_status s =
		qc_config_expect(model, "hidden_activation|hidden_act", "gelu_pytorch_tanh", err);
	bool *sliding;

	if (!s)
		s = check_causal(model, err);
	if (!s)
		s = own_embedding(model, err);
	if (!s && qc_config_get(model, "attn_logit_softcapping"))
		s = qc_fail(err, QC_UNSUPPORTED,
			    "attn_logit_softcapping is set, GGUF's gemma4 has none");
	if (s)
		return s;
	sliding = calloc(n, sizeof(*sliding));
	if (!sliding)
		return qc_no_memory(err);
	s = pattern_keys(model, sliding, n, err);
	free(sliding);
	if (!s)
		s = wide_sizes(model, n, err);
	if (!s)
		s = rope_sizes(model, err);
	if (!s)
		s = check_experts(model, err);
	return s ? s : suppressed(model, err);
}
