/*
 * llama: Llama 1 to 3.x, and what shares its tensors. Rotary embedding on interleaved pairs in
 * GGUF, on halves in Hugging Face's layout, so that the rows of q and k (and their biases) are
 * permuted between the two.
 */
#include "formats/arch/arch.h"
#include "formats/arch/config_back.h"

static const char *const classes[] = {"LlamaForCausalLM", "LLaMAForCausalLM", NULL};
static const char *const model_types[] = {"llama", NULL};

/* Defaults are those of transformers' LlamaConfig. */
static const struct qc_arch_key keys[] = {
	{
		.key = "{a}.block_count",
		.type = QC_KV_U32,
		.paths = "num_hidden_layers|n_layers|n_layer|num_layers",
		.fallback = 32,
		.min = 1,
		.max = QC_MAX_LAYERS,
	},
	{
		.key = "{a}.context_length",
		.type = QC_KV_U32,
		.paths = "max_position_embeddings|n_ctx|n_positions|max_length|max_sequence_length|"
			 "model_max_length",
		.fallback = 2048,
		.min = 1,
		.max = UINT32_MAX,
	},
	{
		.key = "{a}.embedding_length",
		.type = QC_KV_U32,
		.paths = "hidden_size|n_embd|dim",
		.fallback = 4096,
		.min = 1,
		.max = 1 << 20,
	},
	{
		.key = "{a}.feed_forward_length",
		.type = QC_KV_U32,
		.paths = "intermediate_size|n_inner|hidden_dim",
		.fallback = 11008,
		.min = 1,
		.max = 1 << 24,
	},
	{
		.key = "{a}.attention.head_count",
		.type = QC_KV_U32,
		.paths = "num_attention_heads|n_head|n_heads",
		.fallback = 32,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.attention.head_count_kv",
		.type = QC_KV_U32,
		.paths = "num_key_value_heads|n_kv_heads|num_attention_heads|n_head|n_heads",
		.fallback = 32,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.attention.layer_norm_rms_epsilon",
		.type = QC_KV_F32,
		.paths = "rms_norm_eps|norm_eps",
		.fallback = 1e-6,
		.min = 0,
		.max = 1,
	},
	{
		.key = "{a}.attention.key_length",
		.type = QC_KV_U32,
		.paths = "head_dim",
		.absent = QC_ABSENT_OMIT,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.attention.value_length",
		.type = QC_KV_U32,
		.paths = "head_dim",
		.absent = QC_ABSENT_OMIT,
		.min = 1,
		.max = 1 << 16,
	},
	{
		.key = "{a}.vocab_size",
		.type = QC_KV_U32,
		.paths = "vocab_size",
		.fallback = 32000,
		.min = 1,
		.max = 1 << 24,
	},
	{.key = NULL},
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
