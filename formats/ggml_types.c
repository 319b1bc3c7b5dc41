/* GGUF's numbers for tensor types: enum ggml_type of ggml.h; the private ones from ik_llama.cpp's.
 */
#include "formats/ggml_types.h"

#include <stddef.h>

#include "quant/types.h"

/* By id; NULL: removed from ggml. q8_1 and q8_K are operands of ggml's dot products and in files
 * only by accident. */
static const struct qc_qtype *const types[QC_GGML_TYPES] = {
	[0] = &qc_f32,	    [1] = &qc_f16,     [2] = &qc_q4_0,	   [3] = &qc_q4_1,
	[6] = &qc_q5_0,	    [7] = &qc_q5_1,    [8] = &qc_q8_0,	   [9] = &qc_q8_1,
	[10] = &qc_q2_K,    [11] = &qc_q3_K,   [12] = &qc_q4_K,	   [13] = &qc_q5_K,
	[14] = &qc_q6_K,    [15] = &qc_q8_K,   [16] = &qc_iq2_xxs, [17] = &qc_iq2_xs,
	[18] = &qc_iq3_xxs, [19] = &qc_iq1_s,  [20] = &qc_iq4_nl,  [21] = &qc_iq3_s,
	[22] = &qc_iq2_s,   [23] = &qc_iq4_xs, [24] = &qc_i8,	   [25] = &qc_i16,
	[26] = &qc_i32,	    [27] = &qc_i64,    [28] = &qc_f64,	   [29] = &qc_iq1_m,
	[30] = &qc_bf16,    [34] = &qc_tq1_0,  [35] = &qc_tq2_0,   [39] = &qc_mxfp4,
	[40] = &qc_nvfp4,   [41] = &qc_q1_0,   [42] = &qc_q2_0,
};

static const struct {
	uint32_t first, last;
	const char *text;
} foreign[] = {
	{4, 4, "q4_2, removed from ggml in 2023"},
	{5, 5, "q4_3, removed from ggml in 2023"},
	{31, 33, "q4_0_4_4 and its kin, removed from ggml: convert the original model to q4_0"},
	{36, 36, "iq4_nl_4_4, removed from ggml, or i2_s, private to ik_llama.cpp and BitNet"},
	{37, 38,
	 "iq4_nl_4_8 or iq4_nl_8_8, removed from ggml: convert the original model to iq4_nl"},
	{97, 99, "a q8 working type, private to ik_llama.cpp"},
	{133, 133, "q6_0, private to ik_llama.cpp"},
	{134, 134, "iq1_bn, private to ik_llama.cpp"},
	{135, 135, "iq2_bn, private to ik_llama.cpp"},
	{136, 136, "q8_K64, private to ik_llama.cpp"},
	{137, 137, "iq2_k, private to ik_llama.cpp"},
	{138, 138, "iq3_k, private to ik_llama.cpp"},
	{139, 139, "iq4_k, private to ik_llama.cpp"},
	{140, 140, "iq5_k, private to ik_llama.cpp"},
	{141, 141, "iq6_k, private to ik_llama.cpp"},
	{144, 144, "iq4_ks, private to ik_llama.cpp"},
	{145, 145, "iq2_ks, private to ik_llama.cpp"},
	{146, 146, "iq4_kss, private to ik_llama.cpp"},
	{147, 151, "a q8 variant, private to ik_llama.cpp"},
	{152, 152, "iq5_ks, private to ik_llama.cpp"},
	{153, 153, "iq2_kt, private to ik_llama.cpp"},
	{154, 154, "iq3_kt, private to ik_llama.cpp"},
	{155, 155, "iq4_kt, private to ik_llama.cpp"},
	{156, 156, "iq3_ks, private to ik_llama.cpp"},
	{157, 157, "iq2_kl, private to ik_llama.cpp"},
	{158, 158, "iq1_kt, private to ik_llama.cpp"},
	{200, 511,
	 "a row-interleaved type, private to ik_llama.cpp: use a file that was not repacked"},
};

const struct qc_qtype *qc_ggml_type(uint32_t id)
{
	return id < QC_GGML_TYPES ? types[id] : NULL;
}

bool qc_ggml_id(const struct qc_qtype *type, uint32_t *id)
{
	for (uint32_t i = 0; type && i < QC_GGML_TYPES; i++) {
		if (types[i] == type) {
			*id = i;
			return true;
		}
	}
	return false;
}

const char *qc_ggml_foreign_type(uint32_t id)
{
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (id >= foreign[i].first && id <= foreign[i].last)
			return foreign[i].text;
	return NULL;
}
