/*
 * gemma4: the text part of Gemma 4 (E2B, E4B, 12B, 26B-A4B, 31B), alone or inside the multimodal
 * model. Norms are plain weights. Blocks with a sliding window and with full attention differ in
 * head size, number of key and value heads and rotary embedding, so that much is one value a block:
 * layer_types tells which is which, and the last block always has full attention.
 *
 *   E2B, E4B   a second embedding, per block; the last blocks take keys and values from an earlier
 *              one (num_kv_shared_layers), in E2B with a feed-forward network twice as wide. Their
 *              own k and v, which nobody uses, are in some files.
 *   26B-A4B    experts beside a dense network; the router has scales of its own
 *   others     attention_k_eq_v: blocks with full attention have no v, k serves as both
 */
#include "formats/arch/arch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/arch/config_back.h"
#include "formats/tokenizer.h"

#define FIRST_FULL_PATTERN 6 /* transformers' default: every sixth block */

static const char *const classes[] = {"Gemma4ForConditionalGeneration", "Gemma4ForCausalLM",
				      "Gemma4UnifiedForConditionalGeneration", NULL};
static const char *const model_types[] = {"gemma4", "gemma4_text", "gemma4_unified",
					  "gemma4_unified_text", NULL};

static const struct qc_arch_drop drops[] = {
	{"vision_tower.", "vision tower: the text part only is converted"},
	{"vision_embedder.", "vision embedder: the text part only is converted"},
	{"embed_vision.", "vision projector: the text part only is converted"},
	{"audio_tower.", "audio tower: the text part only is converted"},
	{"audio_embedder.", "audio embedder: the text part only is converted"},
	{"embed_audio.", "audio projector: the text part only is converted"},
	{NULL, NULL},
};

/* Defaults are those of transformers' Gemma4TextConfig. key_length and value_length become those of
 * full attention in gemma4_finish(), feed_forward_length and head_count_kv arrays where needed. */
static const struct qc_arch_key keys[] = {
	{
		.key = "{a}.block_count",
		.type = QC_KV_U32,
		.paths = "num_hidden_layers",
		.fallback = 30,
		.min = 1,
		.max = QC_MAX_LAYERS,
	},
	{
		.key = "{a}.context_length",
		.type = QC_KV_U32,
		.paths = "max_position_embeddings",
		.fallback = 131072,
		.min = 1,
		.max = UINT32_MAX,
	},
	{
		.key = "{a}.embedding_length",
		.type = QC_KV_U32,
		.paths = "hidden_size",
		.fallback = 2304,
		.min = 1,
		.max = 1 << 20,
	},
	{
		.key = "{a}.feed_forward_length",
		.type = QC_KV_U32,
		.paths = "intermediate_size",
		.fallback = 9216,
		.min = 1,
		.max = 1 << 24,
	},
	{
		.key = "{a}.attention.head_count",
		.type = QC_KV_U32,
		.paths = "num_attention_heads",
		.fallback = 8,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.attention.head_count_kv",
		.type = QC_KV_U32,
		.paths = "num_key_value_heads",
		.fallback = 4,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.attention.layer_norm_rms_epsilon",
		.type = QC_KV_F32,
		.paths = "rms_norm_eps",
		.fallback = 1e-6,
		.min = 0,
		.max = 1,
	},
	{
		.key = "{a}.expert_count",
		.type = QC_KV_U32,
		.paths = "num_local_experts|num_experts",
		.absent = QC_ABSENT_OMIT,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.expert_used_count",
		.type = QC_KV_U32,
		.paths = "num_experts_per_tok|top_k_experts",
		.absent = QC_ABSENT_OMIT,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.attention.key_length",
		.type = QC_KV_U32,
		.paths = "head_dim",
		.fallback = 256,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.attention.value_length",
		.type = QC_KV_U32,
		.paths = "head_dim",
		.fallback = 256,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.final_logit_softcapping",
		.type = QC_KV_F32,
		.paths = "final_logit_softcapping",
		.absent = QC_ABSENT_OMIT,
		.min = 0,
		.max = 1e6,
	},
	{
		.key = "{a}.attention.sliding_window",
		.type = QC_KV_U32,
		.paths = "sliding_window",
		.fallback = 512,
		.min = 1,
		.max = UINT32_MAX,
	},
	{
		.key = "{a}.attention.shared_kv_layers",
		.type = QC_KV_U32,
		.paths = "num_kv_shared_layers",
		.fallback = 0,
		.min = 0,
		.max = QC_MAX_LAYERS,
	},
	{
		.key = "{a}.embedding_length_per_layer_input",
		.type = QC_KV_U32,
		.paths = "hidden_size_per_layer_input",
		.fallback = 256,
		.min = 0,
		.max = 1 << 20,
	},
	{
		.key = "{a}.attention.key_length_swa",
		.type = QC_KV_U32,
		.paths = "head_dim",
		.fallback = 256,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.attention.value_length_swa",
		.type = QC_KV_U32,
		.paths = "head_dim",
		.fallback = 256,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.expert_feed_forward_length",
		.type = QC_KV_U32,
		.paths = "expert_intermediate_size|moe_intermediate_size",
		.absent = QC_ABSENT_OMIT,
		.min = 1,
		.max = 1 << 24,
	},
	{.key = NULL},
};

static bool has_experts(const struct qc_model *model, uint32_t layer)
{
	bool enabled = true;

	(void)layer;
	(void)!qc_json_bool(&model->config, qc_config_get(model, "enable_moe_block"), &enabled);
	return enabled && qc_arch_u32(model, "{a}.expert_count", 0) > 0;
}

static bool has_own_embedding(const struct qc_model *model, uint32_t layer)
{
	(void)layer;
	return qc_arch_u32(model, "{a}.embedding_length_per_layer_input", 0) > 0;
}

/* The block computes keys and values itself. */
static bool has_kv(const struct qc_model *model, uint32_t layer)
{
	return layer + qc_arch_u32(model, "{a}.attention.shared_kv_layers", 0) <
	       qc_arch_u32(model, "{a}.block_count", 0);
}

static bool has_v(const struct qc_model *model, uint32_t layer)
{
	bool k_eq_v = false;

	(void)!qc_json_bool(&model->config, qc_config_get(model, "attention_k_eq_v"), &k_eq_v);
	return has_kv(model, layer) && !(k_eq_v && !qc_arch_is_sliding(model, layer));
}

#define BLOCK(suffix) "model.layers.{i}." suffix
static const struct qc_arch_tensor tensors[] = {
	{"model.embed_tokens.weight", "token_embd.weight", "ND", QC_ROWS_VOCAB, NULL},
	{"model.embed_tokens_per_layer.weight", "per_layer_token_embd.weight", "NL", QC_ROWS_VOCAB,
	 has_own_embedding},
	{"model.per_layer_model_projection.weight", "per_layer_model_proj.weight", "LD",
	 QC_ROWS_SAME, has_own_embedding},
	{"model.per_layer_projection_norm.weight", "per_layer_proj_norm.weight", "P", QC_ROWS_SAME,
	 has_own_embedding},
	{"model.norm.weight", "output_norm.weight", "D", QC_ROWS_SAME, NULL},
	{"lm_head.weight", "output.weight", "ND", QC_ROWS_VOCAB, qc_row_optional},
	{BLOCK("input_layernorm.weight"), "blk.{i}.attn_norm.weight", "D", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.q_proj.weight"), "blk.{i}.attn_q.weight", "QD", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.k_proj.weight"), "blk.{i}.attn_k.weight", "KD", QC_ROWS_SAME, has_kv},
	{BLOCK("self_attn.v_proj.weight"), "blk.{i}.attn_v.weight", "KD", QC_ROWS_SAME, has_v},
	{BLOCK("self_attn.o_proj.weight"), "blk.{i}.attn_output.weight", "DQ", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.q_norm.weight"), "blk.{i}.attn_q_norm.weight", "H", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.k_norm.weight"), "blk.{i}.attn_k_norm.weight", "H", QC_ROWS_SAME, has_kv},
	{BLOCK("post_attention_layernorm.weight"), "blk.{i}.post_attention_norm.weight", "D",
	 QC_ROWS_SAME, NULL},
	{BLOCK("pre_feedforward_layernorm.weight"), "blk.{i}.ffn_norm.weight", "D", QC_ROWS_SAME,
	 NULL},
	{BLOCK("post_feedforward_layernorm.weight"), "blk.{i}.post_ffw_norm.weight", "D",
	 QC_ROWS_SAME, NULL},
	{BLOCK("mlp.gate_proj.weight"), "blk.{i}.ffn_gate.weight", "FD", QC_ROWS_SAME, NULL},
	{BLOCK("mlp.up_proj.weight"), "blk.{i}.ffn_up.weight", "FD", QC_ROWS_SAME, NULL},
	{BLOCK("mlp.down_proj.weight"), "blk.{i}.ffn_down.weight", "DF", QC_ROWS_SAME, NULL},
	{BLOCK("layer_scalar"), "blk.{i}.layer_output_scale.weight", "S", QC_ROWS_SAME,
	 qc_row_optional},
	{BLOCK("per_layer_input_gate.weight"), "blk.{i}.inp_gate.weight", "PD", QC_ROWS_SAME,
	 has_own_embedding},
	{BLOCK("per_layer_projection.weight"), "blk.{i}.proj.weight", "DP", QC_ROWS_SAME,
	 has_own_embedding},
	{BLOCK("post_per_layer_input_norm.weight"), "blk.{i}.post_norm.weight", "D", QC_ROWS_SAME,
	 has_own_embedding},
	{BLOCK("router.proj.weight"), "blk.{i}.ffn_gate_inp.weight", "ED", QC_ROWS_SAME,
	 has_experts},
	{BLOCK("router.scale"), "blk.{i}.ffn_gate_inp.scale", "D", QC_ROWS_SAME, has_experts},
	{BLOCK("router.per_expert_scale"), "blk.{i}.ffn_down_exps.scale", "E", QC_ROWS_SAME,
	 has_experts},
	{BLOCK("moe.per_expert_scale"), "blk.{i}.ffn_down_exps.scale", "E", QC_ROWS_SAME,
	 qc_row_optional},
	{BLOCK("pre_feedforward_layernorm_2.weight"), "blk.{i}.pre_ffw_norm_2.weight", "D",
	 QC_ROWS_SAME, has_experts},
	{BLOCK("post_feedforward_layernorm_1.weight"), "blk.{i}.post_ffw_norm_1.weight", "D",
	 QC_ROWS_SAME, has_experts},
	{BLOCK("post_feedforward_layernorm_2.weight"), "blk.{i}.post_ffw_norm_2.weight", "D",
	 QC_ROWS_SAME, has_experts},
	/* gate and up: one tensor, or two made of one an expert; see gemma4_check_tensors() */
	{BLOCK("experts.gate_up_proj"), "blk.{i}.ffn_gate_up_exps.weight", "EGD", QC_ROWS_SAME,
	 qc_row_optional},
	{BLOCK("experts.gate_up_proj.weight"), "blk.{i}.ffn_gate_up_exps.weight", "EGD",
	 QC_ROWS_SAME, qc_row_optional},
	{BLOCK("moe.gate_up_proj"), "blk.{i}.ffn_gate_up_exps.weight", "EGD", QC_ROWS_SAME,
	 qc_row_optional},
	{BLOCK("experts.{e}.gate_proj.weight"), "blk.{i}.ffn_gate_exps.weight", "XD", QC_ROWS_SAME,
	 qc_row_optional},
	{BLOCK("experts.{e}.up_proj.weight"), "blk.{i}.ffn_up_exps.weight", "XD", QC_ROWS_SAME,
	 qc_row_optional},
	{BLOCK("experts.down_proj"), "blk.{i}.ffn_down_exps.weight", "EDX", QC_ROWS_SAME,
	 has_experts},
	{BLOCK("experts.down_proj.weight"), "blk.{i}.ffn_down_exps.weight", "EDX", QC_ROWS_SAME,
	 qc_row_optional},
	{BLOCK("moe.down_proj"), "blk.{i}.ffn_down_exps.weight", "EDX", QC_ROWS_SAME,
	 qc_row_optional},
	{BLOCK("experts.{e}.down_proj.weight"), "blk.{i}.ffn_down_exps.weight", "DX", QC_ROWS_SAME,
	 qc_row_optional},
	{NULL, NULL, NULL, QC_ROWS_SAME, NULL},
};

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
		values[i] = has_kv(model, i) ? width : 2 * width;
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

static enum qc_status gemma4_finish(struct qc_model *model, struct qc_err *err)
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

/* rope_freqs divides the frequencies of full attention: those that do not rotate by so much that
 * nothing is left. */
static enum qc_status gemma4_generate(struct qc_model *model, struct qc_err *err)
{
	const uint32_t head = qc_arch_head_size(model), n = head / 2;
	struct qc_tensor tensor = {
		.name = "rope_freqs.weight",
		.stored_name = "rope_freqs.weight",
		.n_dims = 1,
		.layer = -1,
		.generated = true,
	};
	uint64_t *dims = qc_arena_array(&model->arena, 1, sizeof(*dims));
	float *factors = qc_arena_array(&model->arena, n, sizeof(*factors));
	double partial;
	enum qc_status s =
		qc_config_number(model, "rope_parameters.full_attention.partial_rotary_factor",
				 false, 0.25, 0, 1, &partial, err);

	if (s)
		return s;
	if (!dims || !factors)
		return qc_no_memory(err);
	for (uint32_t i = 0; i < n; i++)
		factors[i] = i < (uint32_t)(head * partial / 2) ? 1.0f : 1e30f;
	dims[0] = n;
	tensor.dims = dims;
	tensor.source = qc_source_values(&model->arena, factors, n, 1);
	return tensor.source ? qc_model_add_tensor(model, &tensor, err) : qc_no_memory(err);
}

/* Experts have gate and up in one tensor or in one each; v may only be missing where k serves. */
static enum qc_status gemma4_check_tensors(const struct qc_model *model, struct qc_err *err)
{
	enum { FUSED = 1, GATE = 2, UP = 4 };
	const uint32_t n = qc_arch_u32(model, "{a}.block_count", 0);
	uint8_t *have;
	enum qc_status s = QC_OK;

	if (!has_experts(model, 0))
		return QC_OK;
	have = calloc(n, 1);
	if (!have)
		return qc_no_memory(err);
	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *t = &model->tensors[i];

		if (t->layer >= 0)
			have[t->layer] |= strstr(t->name, ".ffn_gate_up_exps.") ? FUSED
					  : strstr(t->name, ".ffn_gate_exps.")	? GATE
					  : strstr(t->name, ".ffn_up_exps.")	? UP
										: 0;
	}
	for (uint32_t i = 0; !s && i < n; i++)
		if (have[i] != FUSED && have[i] != (GATE | UP))
			s = qc_fail(err, QC_BAD_INPUT,
				    "block %u: its experts need either gate_up_proj or gate_proj "
				    "and up_proj",
				    i);
	free(have);
	return s;
}

const struct qc_arch qc_arch_gemma4 = {
	.name = "gemma4",
	.hf_classes = classes,
	.model_types = model_types,
	.drops = drops,
	.keys = keys,
	.tensors = tensors,
	.vocab_size = 262144,
	.rope_theta = 1e6,
	.rope_theta_swa = 1e4,
	.tied = true,
	.no_space_prefix = true,
	.proportional_rope = true,
	.tokenizer_model = "gemma4",
	.finish = gemma4_finish,
	.generate = gemma4_generate,
	.check_tensors = gemma4_check_tensors,
	.config = qc_gemma4_config,
};
