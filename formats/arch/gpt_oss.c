/*
 * gpt-oss: OpenAI's 20b and 120b. Attention with biases, sinks and YaRN, sliding and full blocks in
 * turn; experts whose gate and up projections are stored in one tensor, row by row.
 *
 *                  quantized (_blocks, _scales)   plain
 *   gate_up_proj   [experts, 2 * ffn, in]         [experts, in, 2 * ffn]
 *   down_proj      [experts, in, ffn]             [experts, ffn, in]
 *
 * or one matrix an expert (gate_up_projs.7.weight), as in what is made of it for bitsandbytes, or
 * three (7.gate_proj.weight), as llm-compressor makes them for compressed-tensors.
 */
#include "formats/arch/arch.h"

#include <math.h>

#include "formats/arch/config_back.h"

static const char *const classes[] = {"GptOssForCausalLM", NULL};
static const char *const model_types[] = {"gpt_oss", NULL};

/* Defaults are those of transformers' GptOssConfig: the 120b. */
static const struct qc_arch_key keys[] = {
	{&qc_block_count, "num_hidden_layers", 36},
	{&qc_context_length, "max_position_embeddings", 131072},
	{&qc_embedding_length, "hidden_size", 2880},
	{&qc_feed_forward_length, "intermediate_size", 2880},
	{&qc_head_count, "num_attention_heads", 64},
	{&qc_head_count_kv, "num_key_value_heads", 8},
	{&qc_rms_epsilon, "rms_norm_eps", 1e-5},
	{&qc_expert_count, "num_local_experts|num_experts", 128},
	{&qc_expert_used_count, "num_experts_per_tok|experts_per_token", 4},
	{&qc_key_length, "head_dim", 64},
	{&qc_value_length, "head_dim", 64},
	{&qc_sliding_window, "sliding_window", 128},
	{&qc_expert_feed_forward_length, "intermediate_size", 2880},
	{NULL, NULL, 0},
};

#define BLOCK(suffix)  "model.layers.{i}." suffix
#define EXPERT(suffix) "model.layers.{i}.mlp.experts." suffix
/* What llm-compressor makes of them (formats/experts_split.h), below `prefix`. */
#define LINEAR_EXPERT(prefix)                                                                      \
	{EXPERT(prefix "{e}.gate_proj.weight"), "blk.{i}.ffn_gate_exps.weight", "XD",              \
	 QC_ROWS_SAME, qc_row_optional},                                                           \
		{EXPERT(prefix "{e}.gate_proj.bias"), "blk.{i}.ffn_gate_exps.bias", "X",           \
		 QC_ROWS_SAME, qc_row_optional},                                                   \
		{EXPERT(prefix "{e}.up_proj.weight"), "blk.{i}.ffn_up_exps.weight", "XD",          \
		 QC_ROWS_SAME, qc_row_optional},                                                   \
		{EXPERT(prefix "{e}.up_proj.bias"), "blk.{i}.ffn_up_exps.bias", "X", QC_ROWS_SAME, \
		 qc_row_optional},                                                                 \
		{EXPERT(prefix "{e}.down_proj.weight"), "blk.{i}.ffn_down_exps.weight", "DX",      \
		 QC_ROWS_SAME, qc_row_optional},                                                   \
		{EXPERT(prefix "{e}.down_proj.bias"), "blk.{i}.ffn_down_exps.bias", "D",           \
		 QC_ROWS_SAME, qc_row_optional},
static const struct qc_arch_tensor tensors[] = {
	{"model.embed_tokens.weight", "token_embd.weight", "ND", QC_ROWS_VOCAB, NULL},
	{"model.norm.weight", "output_norm.weight", "D", QC_ROWS_SAME, NULL},
	{"lm_head.weight", "output.weight", "ND", QC_ROWS_VOCAB, NULL},
	{BLOCK("input_layernorm.weight"), "blk.{i}.attn_norm.weight", "D", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.q_proj.weight"), "blk.{i}.attn_q.weight", "QD", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.q_proj.bias"), "blk.{i}.attn_q.bias", "Q", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.k_proj.weight"), "blk.{i}.attn_k.weight", "KD", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.k_proj.bias"), "blk.{i}.attn_k.bias", "K", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.v_proj.weight"), "blk.{i}.attn_v.weight", "KD", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.v_proj.bias"), "blk.{i}.attn_v.bias", "K", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.o_proj.weight"), "blk.{i}.attn_output.weight", "DQ", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.o_proj.bias"), "blk.{i}.attn_output.bias", "D", QC_ROWS_SAME, NULL},
	{BLOCK("self_attn.sinks"), "blk.{i}.attn_sinks.weight", "A", QC_ROWS_SAME, NULL},
	{BLOCK("post_attention_layernorm.weight"), "blk.{i}.post_attention_norm.weight", "D",
	 QC_ROWS_SAME, NULL},
	{BLOCK("mlp.router.weight"), "blk.{i}.ffn_gate_inp.weight", "ED", QC_ROWS_SAME, NULL},
	{BLOCK("mlp.router.bias"), "blk.{i}.ffn_gate_inp.bias", "E", QC_ROWS_SAME, NULL},
	{BLOCK("mlp.router.linear.weight"), "blk.{i}.ffn_gate_inp.weight", "ED", QC_ROWS_SAME,
	 qc_row_optional},
	{BLOCK("mlp.router.linear.bias"), "blk.{i}.ffn_gate_inp.bias", "E", QC_ROWS_SAME,
	 qc_row_optional},
	{EXPERT("gate_up_proj"), "blk.{i}.ffn_gate_up_exps.weight", "EGD", QC_ROWS_TRANSPOSE, NULL},
	{QC_PART, "blk.{i}.ffn_gate_exps.weight", "EXD", QC_ROWS_EVEN, NULL},
	{QC_PART, "blk.{i}.ffn_up_exps.weight", "EXD", QC_ROWS_ODD, NULL},
	{EXPERT("gate_up_proj_bias"), "blk.{i}.ffn_gate_up_exps.bias", "EG", QC_ROWS_SAME, NULL},
	{QC_PART, "blk.{i}.ffn_gate_exps.bias", "EX", QC_COLS_EVEN, NULL},
	{QC_PART, "blk.{i}.ffn_up_exps.bias", "EX", QC_COLS_ODD, NULL},
	{EXPERT("down_proj"), "blk.{i}.ffn_down_exps.weight", "EDX", QC_ROWS_TRANSPOSE, NULL},
	{EXPERT("down_proj_bias"), "blk.{i}.ffn_down_exps.bias", "ED", QC_ROWS_SAME, NULL},
	LINEAR_EXPERT("") LINEAR_EXPERT("experts.") /* llm-compressor 0.10 */
	{EXPERT("gate_up_projs.{e}.weight"), "blk.{i}.ffn_gate_up_exps.weight", "GD", QC_ROWS_SAME,
	 qc_row_optional},
	{QC_PART, "blk.{i}.ffn_gate_exps.weight", "EXD", QC_ROWS_EVEN, NULL},
	{QC_PART, "blk.{i}.ffn_up_exps.weight", "EXD", QC_ROWS_ODD, NULL},
	{EXPERT("gate_up_projs.{e}.bias"), "blk.{i}.ffn_gate_up_exps.bias", "G", QC_ROWS_SAME,
	 qc_row_optional},
	{QC_PART, "blk.{i}.ffn_gate_exps.bias", "EX", QC_COLS_EVEN, NULL},
	{QC_PART, "blk.{i}.ffn_up_exps.bias", "EX", QC_COLS_ODD, NULL},
	{EXPERT("down_projs.{e}.weight"), "blk.{i}.ffn_down_exps.weight", "DX", QC_ROWS_SAME,
	 qc_row_optional},
	{EXPERT("down_projs.{e}.bias"), "blk.{i}.ffn_down_exps.bias", "D", QC_ROWS_SAME,
	 qc_row_optional},
	{NULL, NULL, NULL, QC_ROWS_SAME, NULL},
};

/* llama.cpp knows one pattern: even blocks have the window. */
static enum qc_status check_pattern(const struct qc_model *model, struct qc_err *err)
{
	const qc_json_value types = qc_config_get(model, "layer_types");
	uint32_t i = 0;

	for (qc_json_value v = qc_json_first(&model->config, types); v;
	     v = qc_json_next(&model->config, v), i++)
		if (!qc_json_equals(&model->config, v,
				    i % 2 ? "full_attention" : "sliding_attention"))
			return qc_fail(err, QC_UNSUPPORTED,
				       "layer_types[%u] breaks the pattern of sliding_attention "
				       "and full_attention in turn that GGUF's gpt-oss has",
				       i);
	return QC_OK;
}

static enum qc_status gpt_oss_finish(struct qc_model *model, struct qc_err *err)
{
	const uint32_t n = qc_arch_u32(model, "{a}.expert_count", 0);
	const uint32_t used = qc_arch_u32(model, "{a}.expert_used_count", 0);
	double limit;
	enum qc_status s = qc_config_expect(model, "hidden_act", "silu|swish", err);

	if (!s)
		s = check_pattern(model, err);
	if (!s)
		s = qc_config_number(model, "swiglu_limit", false, 7, 0, INFINITY, &limit, err);
	if (s)
		return s;
	if (limit != 7)
		return qc_fail(err, QC_UNSUPPORTED,
			       "swiglu_limit is %g, GGUF's gpt-oss computes with 7", limit);
	if (used > n)
		return qc_fail(err, QC_BAD_INPUT,
			       "num_experts_per_tok is %u, but there are %u experts", used, n);
	return QC_OK;
}

/* Of every block: gate and up of the experts in one tensor or in two, and so their biases. */
static enum qc_status gpt_oss_check_tensors(const struct qc_model *model, struct qc_err *err)
{
	enum qc_status s = qc_arch_check_gate_up(model, ".weight", err);

	return s ? s : qc_arch_check_gate_up(model, ".bias", err);
}

const struct qc_arch qc_arch_gpt_oss = {
	.name = "gpt-oss",
	.hf_classes = classes,
	.model_types = model_types,
	.keys = keys,
	.tensors = tensors,
	.vocab_size = 201088,
	.rope_theta = 150000,
	.finish = gpt_oss_finish,
	.check_tensors = gpt_oss_check_tensors,
	.yarn_untruncated = true,
	.config = qc_gpt_oss_config,
};
