/*
 * What tensors' names say to a recipe: their category, and which are never quantized.
 *
 * Source: llama.cpp src/llama-quant.cpp (tensor_allows_quantization, tensor_get_category) and
 * conversion/base.py (prepare_tensors), mid-2026.
 */
#include "convert/recipes.h"

/* Order matters: the first that matches names the category. */
const struct qc_recipe_category qc_recipe_categories[] = {
	{"output.weight", true, QC_CAT_HEAD, "head"},
	{"token_embd.weight", true, QC_CAT_TOKEN_EMBD, "token_embd"},
	{"per_layer_token_embd.weight", true, QC_CAT_TOKEN_EMBD, "token_embd"},
	{"attn_qkv.weight", false, QC_CAT_QKV, "attn_qkv"},
	{"attn_kv_b.weight", false, QC_CAT_KV_B, "attn_kv_b"},
	{"attn_v.weight", false, QC_CAT_V, "attn_v"},
	{"attn_k.weight", false, QC_CAT_K, "attn_k"},
	{"attn_q.weight", false, QC_CAT_Q, "attn_q"},
	{"attn_output.weight", false, QC_CAT_ATTN_OUT, "attn_output"},
	{"ffn_up", false, QC_CAT_FFN_UP, "ffn_up"},
	{"ffn_gate", false, QC_CAT_FFN_GATE, "ffn_gate"},
	{"ffn_down", false, QC_CAT_FFN_DOWN, "ffn_down"},
	{0},
};

/* Matrices that llama-quantize leaves as they are, beside all that have one dimension or no name
 * ending in "weight". */
const struct qc_recipe_keep qc_recipe_keeps[] = {
	{"_norm.weight", "norm"},
	{"ffn_gate_inp.weight", "router"},
	{"ffn_gate_tid2eid.weight", "routing table"},
	{"altup", "tiny"},
	{"laurel", "tiny"},
	{"per_layer_model_proj", "small and sensitive"},
	{"ssm_conv1d", "convolution"},
	{"shortconv.conv.weight", "convolution"},
	{"indexer.k_proj.weight", "tiny"},
	{"indexer.q_proj.weight", "tiny"},
	{"time_mix_first.weight", "tiny"},
	{"time_mix_w0.weight", "tiny"},
	{"time_mix_w1.weight", "tiny"},
	{"time_mix_w2.weight", "tiny"},
	{"time_mix_v0.weight", "tiny"},
	{"time_mix_v1.weight", "tiny"},
	{"time_mix_v2.weight", "tiny"},
	{"time_mix_a0.weight", "tiny"},
	{"time_mix_a1.weight", "tiny"},
	{"time_mix_a2.weight", "tiny"},
	{"time_mix_g1.weight", "tiny"},
	{"time_mix_g2.weight", "tiny"},
	{"time_mix_decay_w1.weight", "tiny"},
	{"time_mix_decay_w2.weight", "tiny"},
	{"time_mix_lerp_fused.weight", "tiny"},
	{"attn_rel_b.weight", "relative position bias"},
	{"position_embd", "position embedding"},
	{"token_types.weight", "token types"},
	{"sam.pos_embd", "vision"},
	{"sam.neck.", "vision"},
	{"sam.net_", "vision"},
	{".rel_pos", "vision"},
	{".patch_embd", "vision"},
	{".patch_merger", "vision"},
	{"a.rvq.codebook", "audio codebook"},
	{"mm.a.code_embd", "audio codebook"},
	{0},
};

/* Endings of names that the converter writes as F32, beside all with at most one dimension and all
 * that do not end in
 * ".weight". */
const struct qc_recipe_keep qc_recipe_f32[] = {
	{"_norm.weight", "norm"},
	{"ffn_gate_inp.weight", "router"},
	{"ffn_gate_inp_shexp.weight", "router"},
	{"position_embd.weight", "position embedding"},
	{"token_types.weight", "token types"},
	{"ssm_conv1d.weight", "convolution"},
	{"ssm_conv1d_q.weight", "convolution"},
	{"ssm_conv1d_k.weight", "convolution"},
	{"ssm_conv1d_v.weight", "convolution"},
	{"shortconv.conv.weight", "convolution"},
	{"time_mix_first.weight", "tiny"},
	{"time_mix_w1.weight", "tiny"},
	{"time_mix_w2.weight", "tiny"},
	{"time_mix_decay_w1.weight", "tiny"},
	{"time_mix_decay_w2.weight", "tiny"},
	{"time_mix_lerp_fused.weight", "tiny"},
	{"altup_correct_coef.weight", "tiny"},
	{"altup_predict_coef.weight", "tiny"},
	{0},
};
