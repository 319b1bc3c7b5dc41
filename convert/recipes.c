/*
 * llama-quantize's recipes: names, default types, what replaces a type that does not fit, and what
 * cannot do without an imatrix.
 *
 * Source: llama.cpp include/llama.h (llama_ftype) and src/llama-quant.cpp
 * (llama_ftype_get_default_type, tensor_type_fallback, tensor_requires_imatrix), mid-2026.
 */
#include "convert/recipes.h"

/* The numbers are llama.h's llama_ftype. Bits are the default type's. */
const struct qc_recipe qc_recipes[] = {
	{"f32", "f32", 0, NULL, "every matrix as 32-bit floats"},
	{"f16", "f16", 1, NULL, "matrices as 16-bit IEEE floats"},
	{"bf16", "bf16", 32, NULL, "matrices as 16-bit brain floats"},
	{"q8_0", "q8_0", 7, NULL, "8.5 bits per weight, hardly any loss"},
	{"q6_k", "q6_K", 18, NULL, "6.56 bits"},
	{"q5_1", "q5_1", 9, NULL, "6.0 bits, scale and minimum per 32; head q6_K"},
	{"q5_0", "q5_0", 8, NULL, "5.5 bits, one scale per 32; head q6_K"},
	{"q5_k_m", "q5_K", 17, "q5_k", "5.5 bits; half of attn_v and ffn_down and the head q6_K"},
	{"q5_k_s", "q5_K", 16, NULL, "5.5 bits; head q6_K"},
	{"q4_1", "q4_1", 3, NULL, "5.0 bits, scale and minimum per 32; head q6_K"},
	{"q4_0", "q4_0", 2, NULL, "4.5 bits, one scale per 32; head q6_K"},
	{"q4_k_m", "q4_K", 15, "q4_k", "4.5 bits; half of attn_v and ffn_down and the head q6_K"},
	{"q4_k_s", "q4_K", 14, NULL, "4.5 bits; first attn_v and ffn_down q5_K, head q6_K"},
	{"iq4_nl", "iq4_nl", 25, NULL, "4.5 bits, uneven levels; head q6_K"},
	{"iq4_xs", "iq4_xs", 30, NULL, "4.25 bits, uneven levels; head q6_K"},
	{"mxfp4", "mxfp4", 38, NULL, "4.25 bits, FP4 under a power of two per 32; head q6_K"},
	{"mxfp4_moe", "mxfp4", 38, NULL, "experts mxfp4, the rest q8_0"},
	{"nvfp4", "nvfp4", 39, NULL,
	 "4.5 bits, FP4 with an FP8 scale per 16 and one per tensor; head and embedding q6_K"},
	{"q3_k_l", "q3_K", 13, NULL, "3.44 bits; attn_v, attn_output, ffn_down q5_K, head q6_K"},
	{"q3_k_m", "q3_K", 12, "q3_k",
	 "3.44 bits; attn_v, attn_output, ffn_down q4_K or q5_K, head q6_K"},
	{"q3_k_s", "q3_K", 11, NULL, "3.44 bits; head q6_K"},
	{"iq3_m", "iq3_s", 27, NULL, "3.44 bits on a grid; attn_v and attn_output q4_K, head q6_K"},
	{"iq3_s", "iq3_s", 26, NULL, "3.44 bits on a grid; head q6_K"},
	{"iq3_xs", "iq3_s", 22, NULL, "3.06 to 3.44 bits on grids, head q6_K; needs an imatrix"},
	{"iq3_xxs", "iq3_xxs", 23, NULL,
	 "3.06 bits on a grid, attn_q and attn_k iq2_s, head q5_K; needs an imatrix"},
	{"q2_k", "q2_K", 10, NULL, "2.63 bits; attn_v, attn_output, ffn_down q3_K, head q6_K"},
	{"q2_k_s", "q2_K", 21, NULL, "2.63 bits; head q6_K; needs an imatrix"},
	{"iq2_m", "iq2_s", 29, NULL,
	 "2.56 bits on a grid; attn_v and attn_output iq3_s, head q5_K; needs an imatrix"},
	{"iq2_s", "iq2_xs", 28, NULL,
	 "2.31 bits on a grid; attn_v and attn_output iq3_s, head q5_K; needs an imatrix"},
	{"iq2_xs", "iq2_xs", 20, NULL, "2.31 bits on a grid; head q5_K; needs an imatrix"},
	{"iq2_xxs", "iq2_xxs", 19, NULL, "2.06 bits on a grid; head q5_K; needs an imatrix"},
	{"iq1_m", "iq1_m", 31, NULL, "1.75 bits on a grid; head q5_K; needs an imatrix"},
	{"iq1_s", "iq1_s", 24, NULL, "1.56 bits on a grid; head q5_K; needs an imatrix"},
	{"q2_0", "q2_0", 41, NULL, "2.25 bits, one scale per 64; embedding q4_K, head q6_K"},
	{"tq2_0", "tq2_0", 37, NULL, "2.06 bits: -1, 0, 1; embedding q4_K, head q6_K"},
	{"tq1_0", "tq1_0", 36, NULL, "1.69 bits: -1, 0, 1; embedding q4_K, head q6_K"},
	{"q1_0", "q1_0", 40, NULL, "1.13 bits: -1, 1; head q6_K"},
	{0},
};

/* Where no row fits, or the replacement does not fit either: F16. llama-quantize refuses types
 * without a row. */
const struct qc_recipe_fallback qc_recipe_fallbacks[] = {
	{"iq1_s", "iq4_nl"},
	{"iq1_m", "iq4_nl"},
	{"iq2_xxs", "iq4_nl"},
	{"iq2_xs", "iq4_nl"},
	{"iq2_s", "iq4_nl"},
	{"iq3_xxs", "iq4_nl"},
	{"iq3_s", "iq4_nl"},
	{"iq4_xs", "iq4_nl"},
	{"q2_0", "q4_0"},
	{"q2_K", "q4_0"},
	{"q3_K", "q4_0"},
	{"tq1_0", "q4_0"},
	{"tq2_0", "q4_0"},
	{"q4_K", "q5_0"},
	{"q5_K", "q5_1"},
	{"q6_K", "q8_0"},
	{"nvfp4", "q5_0"}, /* ours */
	{0},
};

/* Without weights of importance the result is useless, says llama-quantize. */
const struct qc_recipe_starved qc_recipe_starved[] = {
	{"iq1_s", NULL}, {"iq1_m", NULL},   {"iq2_xxs", NULL},	{"iq2_xs", NULL},
	{"iq2_s", NULL}, {"iq3_xxs", NULL}, {"q2_K", "q2_k_s"}, {0},
};
