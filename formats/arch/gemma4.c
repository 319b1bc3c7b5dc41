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
#include "formats/arch/gemma4.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/arch/config_back.h"

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
 * full attention in arch/gemma4_keys.c, feed_forward_length and head_count_kv arrays where needed.
 */
static const struct qc_arch_key keys[] = {
	{&qc_block_count, "num_hidden_layers", 30},
	{&qc_context_length, "max_position_embeddings", 131072},
	{&qc_embedding_length, "hidden_size", 2304},
	{&qc_feed_forward_length, "intermediate_size", 9216},
	{&qc_head_count, "num_attention_heads", 8},
	{&qc_head_count_kv, "num_key_value_heads", 4},
	{&qc_rms_epsilon, "rms_norm_eps", 1e-6},
	{&qc_expert_count, "num_local_experts|num_experts", NAN},
	{&qc_expert_used_count, "num_experts_per_tok|top_k_experts", NAN},
	{&qc_key_length, "head_dim", 256},
	{&qc_value_length, "head_dim", 256},
	{&qc_logit_softcap, "final_logit_softcapping", NAN},
	{&qc_sliding_window, "sliding_window", 512},
	{&qc_shared_kv_layers, "num_kv_shared_layers", 0},
	{&qc_embedding_length_per_layer, "hidden_size_per_layer_input", 256},
	{&qc_key_length_swa, "head_dim", 256},
	{&qc_value_length_swa, "head_dim", 256},
	{&qc_expert_feed_forward_length, "expert_intermediate_size|moe_intermediate_size", NAN},
	{0},
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

bool qc_gemma4_has_kv(const struct qc_model *model, uint32_t layer)
{
	return layer + qc_arch_u32(model, "{a}.attention.shared_kv_layers", 0) <
	       qc_arch_u32(model, "{a}.block_count", 0);
}

static bool has_v(const struct qc_model *model, uint32_t layer)
{
	bool k_eq_v = false;

	(void)!qc_json_bool(&model->config, qc_config_get(model, "attention_k_eq_v"), &k_eq_v);
	return qc_gemma4_has_kv(model, layer) && !(k_eq_v && !qc_arch_is_sliding(model, layer));
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
	{BLOCK("self_attn.k_proj.weight"), "blk.{i}.attn_k.weight", "KD", QC_ROWS_SAME,
	 qc_gemma4_has_kv},
	{BLOCK("self_attn.v_proj.weight"), "blk.{i}.attn_v.weight", "KD", QC_ROWS_SAME, has_v},
	{BLOCK("self_attn.o_proj.weight"), "blk.{i}.attn_output.weight", "DQ", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.q_norm.weight"), "blk.{i}.attn_q_norm.weight", "H", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.k_norm.weight"), "blk.{i}.attn_k_norm.weight", "H", QC_ROWS_SAME,
	 qc_gemma4_has_kv},
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

/* rope_freqs divides the frequencies of full attention: those that do not rotate by so much that
 * nothing is left. */
static enum qc_status gemma4_generate(struct qc_model *model, struct qc_err *err)
{
	const uint32_t head = qc_arch_head_size(model), n = head / 2;
	float *factors = qc_arena_array(&model->arena, n, sizeof(*factors));
	double partial;
	enum qc_status s =
		qc_config_number(model, "rope_parameters.full_attention.partial_rotary_factor",
				 false, 0.25, 0, 1, &partial, err);

	if (s)
		return s;
	if (!factors)
		return qc_no_memory(err);
	for (uint32_t i = 0; i < n; i++)
		factors[i] = i < (uint32_t)(head * partial / 2) ? 1.0f : 1e30f;
	return qc_arch_add_rope_freqs(model, factors, n, err);
}

/* Experts have gate and up in one tensor or in one each; v may only be missing where k serves. */
static enum qc_status gemma4_check_tensors(const struct qc_model *model, struct qc_err *err)
{
	return has_experts(model, 0) ? qc_arch_check_gate_up(model, ".weight", err) : QC_OK;
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
	.finish = qc_gemma4_finish,
	.generate = gemma4_generate,
	.check_tensors = gemma4_check_tensors,
	.config = qc_gemma4_config,
};
