/*
 * llama: Llama 1 to 3.x, and what shares its tensors. Rotary embedding on interleaved pairs in
 * GGUF, on halves in Hugging Face's layout, so that the rows of q and k (and their biases) are
 * permuted between the two.
 */
#include "formats/arch/arch.h"

#include <math.h>

#include "formats/arch/config_back.h"

static const char *const classes[] = {"LlamaForCausalLM", "LLaMAForCausalLM", NULL};
static const char *const model_types[] = {"llama", NULL};

/* Defaults are those of transformers' LlamaConfig. */
static const struct qc_arch_key keys[] = {
	{&qc_block_count, "num_hidden_layers|n_layers|n_layer|num_layers", 32},
	{&qc_context_length,
	 "max_position_embeddings|n_ctx|n_positions|max_length|max_sequence_length|"
	 "model_max_length",
	 2048},
	{&qc_embedding_length, "hidden_size|n_embd|dim", 4096},
	{&qc_feed_forward_length, "intermediate_size|n_inner|hidden_dim", 11008},
	{&qc_head_count, "num_attention_heads|n_head|n_heads", 32},
	{&qc_head_count_kv, "num_key_value_heads|n_kv_heads|num_attention_heads|n_head|n_heads",
	 32},
	{&qc_rms_epsilon, "rms_norm_eps|norm_eps", 1e-6},
	{&qc_key_length, "head_dim", NAN},
	{&qc_value_length, "head_dim", NAN},
	{&qc_vocab_size, "vocab_size", 32000},
	{NULL, NULL, 0},
};

#define BLOCK(suffix) "model.layers.{i}." suffix
static const struct qc_arch_tensor tensors[] = {
	{"model.embed_tokens.weight", "token_embd.weight", "ND", QC_ROWS_VOCAB, NULL},
	{"model.norm.weight", "output_norm.weight", "D", QC_ROWS_SAME, NULL},
	{"lm_head.weight", "output.weight", "ND", QC_ROWS_VOCAB, qc_row_optional},
	{BLOCK("input_layernorm.weight"), "blk.{i}.attn_norm.weight", "D", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.q_proj.weight"), "blk.{i}.attn_q.weight", "QD", QC_ROWS_PERMUTE_Q, NULL},
	{BLOCK("self_attn.k_proj.weight"), "blk.{i}.attn_k.weight", "KD", QC_ROWS_PERMUTE_K, NULL},
	{BLOCK("self_attn.v_proj.weight"), "blk.{i}.attn_v.weight", "KD", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.o_proj.weight"), "blk.{i}.attn_output.weight", "DQ", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.q_proj.bias"), "blk.{i}.attn_q.bias", "Q", QC_ROWS_PERMUTE_Q,
	 qc_row_optional},
	{BLOCK("self_attn.k_proj.bias"), "blk.{i}.attn_k.bias", "K", QC_ROWS_PERMUTE_K,
	 qc_row_optional},
	{BLOCK("self_attn.v_proj.bias"), "blk.{i}.attn_v.bias", "K", QC_ROWS_SAME, qc_row_optional},
	{BLOCK("self_attn.o_proj.bias"), "blk.{i}.attn_output.bias", "D", QC_ROWS_SAME,
	 qc_row_optional},
	{BLOCK("post_attention_layernorm.weight"), "blk.{i}.ffn_norm.weight", "D", QC_ROWS_SAME,
	 NULL},
	{BLOCK("mlp.gate_proj.weight"), "blk.{i}.ffn_gate.weight", "FD", QC_ROWS_SAME, NULL},
	{BLOCK("mlp.up_proj.weight"), "blk.{i}.ffn_up.weight", "FD", QC_ROWS_SAME, NULL},
	{BLOCK("mlp.down_proj.weight"), "blk.{i}.ffn_down.weight", "DF", QC_ROWS_SAME, NULL},
	{BLOCK("mlp.gate_proj.bias"), "blk.{i}.ffn_gate.bias", "F", QC_ROWS_SAME, qc_row_optional},
	{BLOCK("mlp.up_proj.bias"), "blk.{i}.ffn_up.bias", "F", QC_ROWS_SAME, qc_row_optional},
	{BLOCK("mlp.down_proj.bias"), "blk.{i}.ffn_down.bias", "D", QC_ROWS_SAME, qc_row_optional},
	{NULL, NULL, NULL, QC_ROWS_SAME, NULL},
};

static enum qc_status llama_finish(struct qc_model *model, struct qc_err *err)
{
	const uint32_t head_size = qc_arch_head_size(model);
	char key[96];
	enum qc_status s = qc_config_expect(model, "hidden_act", "silu|swish", err);

	if (s)
		return s;
	if (head_size % 2)
		return qc_fail(err, QC_BAD_INPUT, "a head of %u columns cannot be rotated in pairs",
			       head_size);
	return qc_meta_set_u32(&model->meta,
			       qc_arch_key_name(model, "{a}.rope.dimension_count", key), head_size,
			       err);
}

const struct qc_arch qc_arch_llama = {
	.name = "llama",
	.hf_classes = classes,
	.model_types = model_types,
	.keys = keys,
	.tensors = tensors,
	.vocab_size = 32000,
	.rope_theta = 10000,
	.finish = llama_finish,
	.generate = qc_arch_rope_freqs,
	.config = qc_llama_config,
};
