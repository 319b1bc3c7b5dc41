/*
 * llama-quantize's tensor-type policy, and the F32 rule of llama.cpp's converter, as tables.
 *
 * Source: llama.cpp src/llama-quant.cpp (tensor_allows_quantization, tensor_get_category,
 * llama_tensor_get_type_impl, tensor_type_fallback) and conversion/base.py (prepare_tensors),
 * mid-2026.
 */
#include "convert/recipes.h"

#include <string.h>

/* The numbers are llama.h's llama_ftype. */
const struct qc_recipe qc_recipes[] = {
	{"f32", "f32", 0, NULL, "every matrix as 32-bit floats"},
	{"f16", "f16", 1, NULL, "matrices as 16-bit IEEE floats"},
	{"bf16", "bf16", 32, NULL, "matrices as 16-bit brain floats"},
	{"q8_0", "q8_0", 7, NULL, "8.5 bits per weight, hardly any loss"},
	{"q4_0", "q4_0", 2, NULL, "4.5 bits, one scale per 32; head q6_K"},
	{"q4_1", "q4_1", 3, NULL, "5.0 bits, scale and minimum per 32; head q6_K"},
	{"q5_0", "q5_0", 8, NULL, "5.5 bits, one scale per 32; head q6_K"},
	{"q5_1", "q5_1", 9, NULL, "6.0 bits, scale and minimum per 32; head q6_K"},
	{"q4_k_s", "q4_K", 14, NULL, "4.5 bits; first attn_v and ffn_down q5_K, head q6_K"},
	{"q4_k_m", "q4_K", 15, "q4_k", "4.5 bits; half of attn_v and ffn_down and the head q6_K"},
	{"q5_k_s", "q5_K", 16, NULL, "5.5 bits; head q6_K"},
	{"q5_k_m", "q5_K", 17, "q5_k", "5.5 bits; half of attn_v and ffn_down and the head q6_K"},
	{"q6_k", "q6_K", 18, NULL, "6.56 bits"},
	{"mxfp4", "mxfp4", 38, NULL, "4.25 bits, FP4 under a power of two per 32; head q6_K"},
	{"mxfp4_moe", "mxfp4", 38, NULL, "experts mxfp4, the rest q8_0"},
	{"nvfp4", "nvfp4", 39, NULL,
	 "4.5 bits, FP4 with an FP8 scale per 16 and one per tensor; head and embedding q6_K"},
	{0},
};

/* llama-quantize's use_more_bits: the first eighth, the last eighth, and every third between. */
static bool more_bits(int64_t i, int64_t n)
{
	return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

static bool is_falcon(const struct qc_recipe_site *site)
{
	return !strcmp(site->arch, "falcon");
}

static bool is_falcon_start(const struct qc_recipe_site *site)
{
	return is_falcon(site) && site->layer < site->n_layers / 16;
}

/* What llama.cpp's loader calls LLM_TYPE_70B: a small attn_v beside large matrices. */
static bool is_70b(const struct qc_recipe_site *site)
{
	bool llama = !strcmp(site->arch, "llama") && site->n_heads != site->n_heads_kv;

	return site->n_layers == 80 &&
	       (llama || !strcmp(site->arch, "qwen2") || !strcmp(site->arch, "deci"));
}

static bool has_8_experts(const struct qc_recipe_site *site)
{
	return site->n_experts == 8;
}

static bool has_8_experts_not_falcon(const struct qc_recipe_site *site)
{
	return has_8_experts(site) && !is_falcon(site);
}

static bool is_not_whole_blocks(const struct qc_recipe_site *site)
{
	return site->cols % site->normal->block_elems != 0;
}

static bool is_chosen_v(const struct qc_recipe_site *site)
{
	return more_bits(site->i_v_like, site->n_v_like);
}

static bool is_among_4_v(const struct qc_recipe_site *site)
{
	return site->i_v_like < 4;
}

static bool is_chosen_layer(const struct qc_recipe_site *site)
{
	return more_bits(site->layer, site->n_layers);
}

static bool is_chosen_layer_falcon(const struct qc_recipe_site *site)
{
	return is_falcon(site) && is_chosen_layer(site);
}

static bool is_first_eighth_not_falcon(const struct qc_recipe_site *site)
{
	return !is_falcon(site) && site->layer < site->n_layers / 8;
}

/* bailingmoe3 has further matrices of three dimensions. */
static bool is_experts(const struct qc_recipe_site *site)
{
	return site->slices > 1 &&
	       (strcmp(site->arch, "bailingmoe3") ||
		site->category & (QC_CAT_FFN_UP | QC_CAT_FFN_GATE | QC_CAT_FFN_DOWN));
}

static bool is_without_scale(const struct qc_recipe_site *site)
{
	return !qc_recipe_takes_scale(site);
}

#define ANY  QC_CAT_ANY
#define HEAD QC_CAT_HEAD
#define EMBD QC_CAT_TOKEN_EMBD
#define V    QC_CAT_V_LIKE
#define K    QC_CAT_K
#define AO   QC_CAT_ATTN_OUT
#define DOWN QC_CAT_FFN_DOWN

/* clang-format off */
const struct qc_recipe_rule qc_recipe_rules[] = {
	/* recipes		category  condition		     type    why */
	{"mxfp4_moe",		HEAD,	NULL,			     "q8_0", "head"},
	{"mxfp4_moe",		ANY,	is_experts,		     "",     "experts"},
	{"mxfp4_moe",		ANY,	NULL,			     "q8_0", "no experts"},
	{"*",			HEAD,	is_falcon,		     "q8_0", "head of a falcon"},
	{"*",			HEAD,	is_not_whole_blocks,	     "q8_0", "head whose rows are not whole blocks"},
	{"q8_0",		HEAD,	NULL,			     "q8_0", "head"},
	{"*",			HEAD,	NULL,			     "q6_K", "head"},

	{"nvfp4",		EMBD,	is_without_scale,	     "q6_K", "embedding"},
	{"nvfp4",		ANY,	is_without_scale,	     "",     "without a tensor scale, as llama.cpp multiplies none here"},

	{"*",			V,	has_8_experts,		     "q8_0", "small beside 8 experts"},
	{"q4_k_m q5_k_m",	V,	is_chosen_v,		     "q6_K", "value projection of a chosen layer"},
	{"q4_k_s",		V,	is_among_4_v,		     "q5_K", "value projection of the first four layers"},
	{"q4_k_s q4_k_m",	V,	is_70b,			     "q5_K", "value projection, small in a 70B model"},

	{"*",			K,	has_8_experts,		     "q8_0", "small beside 8 experts"},

	{"q4_k_m",		DOWN,	is_falcon_start,	     "q6_K", "ffn_down of the first layers"},
	{"q4_k_m",		DOWN,	is_chosen_layer_falcon,	     "q5_K", "ffn_down of a chosen layer"},
	{"q4_k_m",		DOWN,	is_falcon,		     "q4_K", "ffn_down"},
	{"q4_k_m q5_k_m",	DOWN,	is_chosen_layer,	     "q6_K", "ffn_down of a chosen layer"},
	{"q4_k_s",		DOWN,	is_first_eighth_not_falcon,  "q5_K", "ffn_down of the first layers"},

	{"q4_k_s q4_k_m",	AO,	has_8_experts_not_falcon,    "q5_K", "small beside 8 experts"},
	{0},
};
/* clang-format on */

#undef ANY
#undef HEAD
#undef EMBD
#undef V
#undef K
#undef AO
#undef DOWN

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

/* Where no row fits, or the replacement does not fit either: F16. */
const struct qc_recipe_fallback qc_recipe_fallbacks[] = {
	{"q4_K", "q5_0"},
	{"q5_K", "q5_1"},
	{"q6_K", "q8_0"},
	{"nvfp4", "q5_0"}, /* llama-quantize has no row for it */
	{0},
};

/* llama.cpp src/llama-model.cpp, the pass that loads optional `.scale` tensors. A file with one for
 * any other matrix does not load. */
const struct qc_recipe_scaled qc_recipe_scaled[] = {
	{".attn_q.weight", QC_SCALED_ATTN},
	{".attn_k.weight", QC_SCALED_ATTN},
	{".attn_v.weight", QC_SCALED_ATTN},
	{".attn_qkv.weight", QC_SCALED_ATTN},
	{".attn_output.weight", QC_SCALED_ATTN},
	{".ffn_gate.weight", QC_SCALED_FFN},
	{".ffn_up.weight", QC_SCALED_FFN},
	{".ffn_down.weight", QC_SCALED_FFN},
	{".ffn_gate_exps.weight", QC_SCALED_EXPERTS},
	{".ffn_up_exps.weight", QC_SCALED_EXPERTS},
	{".ffn_down_exps.weight", QC_SCALED_EXPERTS},
	{0},
};

/* Not all that is loaded is multiplied: src/models/, and what libllama v0.5.0 computes. Gemma 4's
 * ffn_down_exps.scale is the router's. */
const struct qc_recipe_scaled_arch qc_recipe_scaled_archs[] = {
	{"llama", QC_SCALED_ATTN | QC_SCALED_FFN | QC_SCALED_EXPERTS},
	{"qwen3", QC_SCALED_ATTN | QC_SCALED_FFN},
	{"gemma3", QC_SCALED_ATTN},
	{"gemma4", QC_SCALED_ATTN | QC_SCALED_FFN},
	{"gpt-oss", QC_SCALED_ATTN},
	{0},
};

bool qc_recipe_takes_scale(const struct qc_recipe_site *site)
{
	const struct qc_recipe_scaled_arch *arch = qc_recipe_scaled_archs;
	size_t len = strlen(site->name);
	unsigned kinds;

	if (!*site->arch) /* nobody's loader minds */
		return true;
	while (arch->arch && strcmp(arch->arch, site->arch))
		arch++;
	/* with a bias libllama's assertion fails */
	kinds = site->has_ffn_bias ? arch->kinds & ~(unsigned)QC_SCALED_FFN : arch->kinds;
	for (const struct qc_recipe_scaled *row = qc_recipe_scaled; row->end; row++) {
		size_t n = strlen(row->end);

		if (len > n && !strcmp(site->name + len - n, row->end))
			return (kinds & row->kind) != 0;
	}
	return false;
}
