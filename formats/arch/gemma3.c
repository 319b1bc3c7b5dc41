/*
 * gemma3: the text part of Gemma 3, alone (Gemma3ForCausalLM) or inside the multimodal model. All
 * RMS norms are stored as w - 1; the head is tied. Five sliding-window blocks, then one with full
 * attention: llama.cpp has that pattern built in.
 */
#include "formats/arch/arch.h"

#include <math.h>

#include "formats/arch/config_back.h"

static const char *const classes[] = {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration", NULL};
static const char *const model_types[] = {"gemma3", "gemma3_text", NULL};

static const struct qc_arch_drop drops[] = {
	{"vision_tower.", "vision tower: the text part only is converted"},
	{"vision_model.", "vision tower: the text part only is converted"},
	{"multi_modal_projector.", "vision projector: the text part only is converted"},
	{"multimodal_projector.", "vision projector: the text part only is converted"},
	{NULL, NULL},
};

/* Defaults are those of transformers' Gemma3TextConfig: the published 4B, 12B and 27B leave most
 * fields out. */
static const struct qc_arch_key keys[] = {
	{&qc_block_count, "num_hidden_layers", 26},
	{&qc_context_length, "max_position_embeddings", 131072},
	{&qc_embedding_length, "hidden_size", 2304},
	{&qc_feed_forward_length, "intermediate_size", 9216},
	{&qc_head_count, "num_attention_heads", 8},
	{&qc_head_count_kv, "num_key_value_heads", 4},
	{&qc_rms_epsilon, "rms_norm_eps", 1e-6},
	{&qc_key_length, "head_dim", 256},
	{&qc_value_length, "head_dim", 256},
	{&qc_logit_softcap, "final_logit_softcapping", NAN},
	{NULL, NULL, 0},
};

#define BLOCK(suffix) "model.layers.{i}." suffix
static const struct qc_arch_tensor tensors[] = {
	{"model.embed_tokens.weight", "token_embd.weight", "ND", QC_ROWS_VOCAB, NULL},
	{"model.norm.weight", "output_norm.weight", "D", QC_ROWS_ADD_ONE, NULL},
	{"lm_head.weight", "output.weight", "ND", QC_ROWS_VOCAB, qc_row_optional},
	{BLOCK("input_layernorm.weight"), "blk.{i}.attn_norm.weight", "D", QC_ROWS_ADD_ONE, NULL},
	{BLOCK("self_attn.q_proj.weight"), "blk.{i}.attn_q.weight", "QD", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.k_proj.weight"), "blk.{i}.attn_k.weight", "KD", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.v_proj.weight"), "blk.{i}.attn_v.weight", "KD", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.o_proj.weight"), "blk.{i}.attn_output.weight", "DQ", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.q_norm.weight"), "blk.{i}.attn_q_norm.weight", "H", QC_ROWS_ADD_ONE,
	 NULL},
	{BLOCK("self_attn.k_norm.weight"), "blk.{i}.attn_k_norm.weight", "H", QC_ROWS_ADD_ONE,
	 NULL},
	{BLOCK("post_attention_layernorm.weight"), "blk.{i}.post_attention_norm.weight", "D",
	 QC_ROWS_ADD_ONE, NULL},
	{BLOCK("pre_feedforward_layernorm.weight"), "blk.{i}.ffn_norm.weight", "D", QC_ROWS_ADD_ONE,
	 NULL},
	{BLOCK("post_feedforward_layernorm.weight"), "blk.{i}.post_ffw_norm.weight", "D",
	 QC_ROWS_ADD_ONE, NULL},
	{BLOCK("mlp.gate_proj.weight"), "blk.{i}.ffn_gate.weight", "FD", QC_ROWS_SAME, NULL},
	{BLOCK("mlp.up_proj.weight"), "blk.{i}.ffn_up.weight", "FD", QC_ROWS_SAME, NULL},
	{BLOCK("mlp.down_proj.weight"), "blk.{i}.ffn_down.weight", "DF", QC_ROWS_SAME, NULL},
	{NULL, NULL, NULL, QC_ROWS_SAME, NULL},
};

/* llama.cpp knows one pattern: block i has full attention when i + 1 is a multiple of 6. */
static enum qc_status check_pattern(const struct qc_model *model, double pattern,
				    struct qc_err *err)
{
	const qc_json_value types = qc_config_get(model, "layer_types");
	uint32_t i = 0;

	if (pattern != 6)
		return qc_fail(err, QC_UNSUPPORTED,
			       "sliding_window_pattern is %.0f, GGUF's gemma3 has 6 (or 1: "
			       "no window)",
			       pattern);
	if (qc_json_type_of(&model->config, types) != QC_JSON_ARRAY)
		return QC_OK;
	for (qc_json_value v = qc_json_first(&model->config, types); v;
	     v = qc_json_next(&model->config, v), i++)
		if (!qc_json_equals(&model->config, v,
				    (i + 1) % 6 ? "sliding_attention" : "full_attention"))
			return qc_fail(
				err, QC_UNSUPPORTED,
				"layer_types[%u] breaks the pattern of five "
				"sliding_attention and one full_attention that GGUF's gemma3 has",
				i);
	return QC_OK;
}

/* The scale of attention scores is no key: llama.cpp takes the head size, in the 62 blocks of 27B
 * embedding / heads. */
static enum qc_status check_scale(const struct qc_model *model, struct qc_err *err)
{
	double wanted = qc_arch_head_size(model), scalar;
	enum qc_status s = qc_config_number(model, "query_pre_attn_scalar", false, NAN, 1e-6, 1e9,
					    &scalar, err);

	if (s || isnan(scalar))
		return s;
	if (qc_arch_u32(model, "{a}.block_count", 0) == 62)
		wanted = (double)qc_arch_u32(model, "{a}.embedding_length", 0) /
			 qc_arch_u32(model, "{a}.attention.head_count", 1);
	if (scalar != wanted)
		return qc_fail(err, QC_UNSUPPORTED,
			       "query_pre_attn_scalar is %g, GGUF's gemma3 computes with %g",
			       scalar, wanted);
	return QC_OK;
}

static enum qc_status gemma3_finish(struct qc_model *model, struct qc_err *err)
{
	bool bidirectional = false;
	double pattern, window;
	char key[96];
	enum qc_status s =
		qc_config_expect(model, "hidden_activation|hidden_act", "gelu_pytorch_tanh", err);

	if (!s)
		s = check_scale(model, err);
	if (!s)
		s = qc_config_number(model, "sliding_window_pattern|_sliding_window_pattern", true,
				     6, 1, QC_MAX_LAYERS, &pattern, err);
	if (!s)
		s = qc_config_number(model, "sliding_window", true, 4096, 1, UINT32_MAX, &window,
				     err);
	if (s)
		return s;
	if (qc_config_get(model, "attn_logit_softcapping"))
		return qc_fail(err, QC_UNSUPPORTED,
			       "attn_logit_softcapping is set, GGUF's gemma3 has none");
	if (qc_json_bool(&model->config, qc_config_get(model, "use_bidirectional_attention"),
			 &bidirectional) &&
	    bidirectional)
		return qc_fail(err, QC_UNSUPPORTED,
			       "use_bidirectional_attention is true (an embedding model), "
			       "GGUF's gemma3 is causal");
	if (pattern == 1)
		return QC_OK;
	s = check_pattern(model, pattern, err);
	if (s)
		return s;
	return qc_meta_set_u32(&model->meta,
			       qc_arch_key_name(model, "{a}.attention.sliding_window", key),
			       (uint32_t)window, err);
}

const struct qc_arch qc_arch_gemma3 = {
	.name = "gemma3",
	.hf_classes = classes,
	.model_types = model_types,
	.drops = drops,
	.keys = keys,
	.tensors = tensors,
	.vocab_size = 262208,
	.rope_theta = 1e6,
	.rope_theta_swa = 1e4,
	.tied = true,
	.no_space_prefix = true,
	.finish = gemma3_finish,
	.config = qc_gemma3_config,
};
