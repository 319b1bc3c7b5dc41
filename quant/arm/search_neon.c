/* The searches of types with blocks of 32, compiled for this ISA. */
#include "quant/lanes/search_types.h"
#include "quant/variants.h"

const struct qc_search_variant qc_search_variants_neon[] = {
	{&qc_q8_0, QC_ISA_NEON, q8_0_search}, {&qc_q4_0, QC_ISA_NEON, q4_0_search},
	{&qc_q4_1, QC_ISA_NEON, q4_1_search}, {&qc_q5_0, QC_ISA_NEON, q5_0_search},
	{&qc_q5_1, QC_ISA_NEON, q5_1_search}, {.type = NULL},
};
