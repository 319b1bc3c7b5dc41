/*
 * llama-quantize's mixtures: where a recipe gives a tensor another type than its default one.
 *
 * Source: llama.cpp src/llama-quant.cpp (llama_tensor_get_type_impl), mid-2026. What that code
 * cannot reach (a branch for attn_qkv.weight behind the one that takes it) is not here.
 */
#include "convert/recipes.h"

#include <string.h>

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

/* Four or more query heads share a key and value head. */
static bool is_gqa_4(const struct qc_recipe_site *site)
{
	return site->n_heads_kv > 0 && site->n_heads / site->n_heads_kv >= 4;
}

static bool is_gqa_4_or_4_experts(const struct qc_recipe_site *site)
{
	return is_gqa_4(site) || site->n_experts >= 4;
}

/* What llama.cpp's loader calls LLM_TYPE_70B: a small attn_v beside large matrices. */
static bool is_70b(const struct qc_recipe_site *site)
{
	bool llama = !strcmp(site->arch, "llama") && site->n_heads != site->n_heads_kv;

	return site->n_layers == 80 &&
	       (llama || !strcmp(site->arch, "qwen2") || !strcmp(site->arch, "deci"));
}

static bool is_70b_gqa_4(const struct qc_recipe_site *site)
{
	return is_70b(site) && is_gqa_4(site);
}

static bool has_8_experts(const struct qc_recipe_site *site)
{
	return site->n_experts == 8;
}

static bool has_8_experts_not_falcon(const struct qc_recipe_site *site)
{
	return has_8_experts(site) && !is_falcon(site);
}

static bool has_other_experts_not_falcon(const struct qc_recipe_site *site)
{
	return !has_8_experts(site) && !is_falcon(site);
}

static bool is_not_whole_blocks(const struct qc_recipe_site *site)
{
	return site->cols % site->normal->block_elems != 0;
}

static bool has_no_imatrix(const struct qc_recipe_site *site)
{
	return !site->imatrix;
}

static bool is_chosen_v(const struct qc_recipe_site *site)
{
	return more_bits(site->i_v_like, site->n_v_like);
}

static bool is_among_2_v(const struct qc_recipe_site *site)
{
	return site->i_v_like < 2;
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

static bool is_other_layer_falcon(const struct qc_recipe_site *site)
{
	return is_falcon(site) && !is_chosen_layer(site);
}

static bool is_chosen_layer_8_experts(const struct qc_recipe_site *site)
{
	return has_8_experts(site) && is_chosen_layer(site);
}

static bool is_first_eighth(const struct qc_recipe_site *site)
{
	return site->layer < site->n_layers / 8;
}

static bool is_first_sixteenth(const struct qc_recipe_site *site)
{
	return site->layer < site->n_layers / 16;
}

static bool is_first_eighth_not_falcon(const struct qc_recipe_site *site)
{
	return !is_falcon(site) && is_first_eighth(site);
}

static bool is_first_eighth_imatrix(const struct qc_recipe_site *site)
{
	return site->imatrix && is_first_eighth(site);
}

static bool is_first_eighth_no_imatrix(const struct qc_recipe_site *site)
{
	return !site->imatrix && is_first_eighth(site);
}

/* The recipes of two bits and fewer count matrices, also where experts are several of them. */
static bool is_first_eighth_counted(const struct qc_recipe_site *site)
{
	return site->i_ffn < site->n_layers / 8;
}

static bool is_middle(const struct qc_recipe_site *site)
{
	return !is_first_eighth(site) && site->layer < 7 * site->n_layers / 8;
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
#define QK   (QC_CAT_Q | QC_CAT_K)
#define AO   QC_CAT_ATTN_OUT
#define DOWN QC_CAT_FFN_DOWN
#define UP   (QC_CAT_FFN_GATE | QC_CAT_FFN_UP)

/* Groups of recipes that share rules. */
#define IQ1   "iq1_s iq1_m"
#define IQ2   "iq2_s iq2_m"
#define IQ_XS "iq1_s iq1_m iq2_xxs iq2_xs"
#define LOW   "iq1_s iq1_m iq2_xxs iq2_xs iq2_s iq2_m"

/* clang-format off */
const struct qc_recipe_rule qc_recipe_rules[] = {
	/* recipes		category  condition		     type    why */
	{"mxfp4_moe",		HEAD,	NULL,			     "q8_0", "head"},
	{"mxfp4_moe",		ANY,	is_experts,		     "",     "experts"},
	{"mxfp4_moe",		ANY,	NULL,			     "q8_0", "no experts"},
	{"*",			HEAD,	is_falcon,		     "q8_0", "head of a falcon"},
	{"*",			HEAD,	is_not_whole_blocks,	     "q8_0", "head whose rows are not whole blocks"},
	{LOW " iq3_xxs",	HEAD,	NULL,			     "q5_K", "head"},
	{"q8_0",		HEAD,	NULL,			     "q8_0", "head"},
	{"*",			HEAD,	NULL,			     "q6_K", "head"},

	{IQ_XS,			EMBD,	NULL,			     "q2_K", "embedding"},
	{IQ2 " iq3_xxs",	EMBD,	NULL,			     "iq3_s", "embedding"},
	{"tq1_0 tq2_0 q2_0",	EMBD,	NULL,			     "q4_K", "embedding"},
	{"nvfp4",		EMBD,	is_without_scale,	     "q6_K", "embedding"},
	{"nvfp4",		ANY,	is_without_scale,	     "",     "without a tensor scale, as llama.cpp multiplies none here"},

	{LOW,			V,	is_gqa_4_or_4_experts,	     "q4_K", "value projection, small beside the rest"},
	{IQ_XS,			V,	NULL,			     "q2_K", "value projection"},
	{IQ2,			V,	NULL,			     "iq3_s", "value projection"},
	{LOW,			K,	has_8_experts,		     "q4_K", "small beside 8 experts"},
	{IQ_XS,			DOWN,	is_first_eighth_counted,     "q2_K", "ffn_down of the first layers"},
	{IQ2,			DOWN,	is_first_eighth_counted,     "iq3_s", "ffn_down of the first layers"},
	{LOW,			AO,	has_8_experts,		     "q5_K", "small beside 8 experts"},
	{IQ1,			AO,	NULL,			     "iq2_xxs", "attention output"},
	{IQ2,			AO,	NULL,			     "iq3_s", "attention output"},
	{LOW,			ANY,	NULL,			     "",     NULL}, /* no rule below is theirs */

	{"*",			V,	has_8_experts,		     "q8_0", "small beside 8 experts"},
	{"q4_k_m q5_k_m",	V,	is_chosen_v,		     "q6_K", "value projection of a chosen layer"},
	{"q4_k_s",		V,	is_among_4_v,		     "q5_K", "value projection of the first four layers"},
	{"q2_k q3_k_s q3_k_m iq3_m q4_k_s q4_k_m",
				V,	is_70b,			     "q5_K", "value projection, small in a 70B model"},
	{"q2_k_s iq3_xxs iq3_xs iq3_s",
				V,	is_70b_gqa_4,		     "q5_K", "value projection, small in a 70B model"},
	{"q2_k q2_k_s iq3_xxs iq3_xs iq3_s",
				V,	is_gqa_4,		     "q4_K", "value projection, shared by four heads"},
	{"q2_k",		V,	NULL,			     "q3_K", "value projection"},
	{"iq3_xxs",		V,	has_no_imatrix,		     "iq3_s", "value projection without an imatrix"},
	{"iq3_m",		V,	NULL,			     "q4_K", "value projection"},
	{"q3_k_m",		V,	is_among_2_v,		     "q5_K", "value projection of the first two layers"},
	{"q3_k_m",		V,	NULL,			     "q4_K", "value projection"},
	{"q3_k_l",		V,	NULL,			     "q5_K", "value projection"},
	{"iq4_nl iq4_xs",	V,	is_gqa_4,		     "q5_K", "value projection, shared by four heads"},

	{"*",			K,	has_8_experts,		     "q8_0", "small beside 8 experts"},
	{"iq3_xs",		QK,	NULL,			     "iq3_xxs", "query and key"},
	{"iq3_xxs",		QK,	NULL,			     "iq2_s", "query and key"},

	{"q2_k",		DOWN,	NULL,			     "q3_K", "ffn_down"},
	{"q2_k_s",		DOWN,	is_first_eighth,	     "q4_K", "ffn_down of the first layers"},
	{"iq3_xxs",		DOWN,	is_first_eighth_no_imatrix,  "q4_K", "ffn_down of the first layers without an imatrix"},
	{"iq3_xxs",		DOWN,	has_no_imatrix,		     "q3_K", "ffn_down without an imatrix"},
	{"q3_k_m",		DOWN,	is_first_sixteenth,	     "q5_K", "ffn_down of the first layers"},
	{"q3_k_m",		DOWN,	is_other_layer_falcon,	     "q3_K", "ffn_down"},
	{"q3_k_m",		DOWN,	NULL,			     "q4_K", "ffn_down"},
	{"iq3_m",		DOWN,	is_first_eighth,	     "q4_K", "ffn_down of the first layers"},
	{"iq3_m",		DOWN,	is_chosen_layer_8_experts,   "q4_K", "ffn_down of a chosen layer"},
	{"q3_k_l",		DOWN,	is_falcon,		     "q4_K", "ffn_down"},
	{"q3_k_l",		DOWN,	NULL,			     "q5_K", "ffn_down"},
	{"q4_k_m",		DOWN,	is_falcon_start,	     "q6_K", "ffn_down of the first layers"},
	{"q4_k_m",		DOWN,	is_chosen_layer_falcon,	     "q5_K", "ffn_down of a chosen layer"},
	{"q4_k_m",		DOWN,	is_falcon,		     "q4_K", "ffn_down"},
	{"q4_k_m q5_k_m",	DOWN,	is_chosen_layer,	     "q6_K", "ffn_down of a chosen layer"},
	{"iq4_nl iq4_xs",	DOWN,	is_first_eighth_no_imatrix,  "q5_K", "ffn_down of the first layers without an imatrix"},
	{"q4_k_s",		DOWN,	is_first_eighth_not_falcon,  "q5_K", "ffn_down of the first layers"},
	{"q4_0",		DOWN,	is_first_eighth_imatrix,     "q4_1", "ffn_down of the first layers with an imatrix"},
	{"q5_0",		DOWN,	is_first_eighth_imatrix,     "q5_1", "ffn_down of the first layers with an imatrix"},

	{"q2_k q3_k_s q3_k_m q4_k_s q4_k_m iq3_xxs iq3_xs iq3_s iq3_m iq4_nl iq4_xs",
				AO,	has_8_experts_not_falcon,    "q5_K", "small beside 8 experts"},
	{"q2_k",		AO,	has_other_experts_not_falcon, "q3_K", "attention output"},
	{"iq3_xxs",		AO,	has_other_experts_not_falcon, "iq3_s", "attention output"},
	{"q3_k_m iq3_m",	AO,	has_other_experts_not_falcon, "q4_K", "attention output"},
	{"q3_k_l",		AO,	has_other_experts_not_falcon, "q5_K", "attention output"},
	{"q3_k_l",		AO,	is_falcon,		     "q4_K", "attention output"},

	{"iq3_xs",		UP,	is_middle,		     "iq3_xxs", "ffn_gate and ffn_up between the first and last eighth"},
	{0},
};
/* clang-format on */
