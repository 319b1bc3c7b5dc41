/* The iq types for AVX-512, 16 groups at a time: the shared kernels compiled for this ISA. */
#include "quant/lanes/iq4_kernels.h"
#include "quant/lanes/iq_kernels.h"

#include "quant/variants.h"

const struct qc_variant qc_variants_avx512_iq[] = {
	{&qc_iq4_nl, QC_ISA_AVX512, iq4_nl_quantize, iq4_nl_dequantize},
	{&qc_iq4_xs, QC_ISA_AVX512, iq4_xs_quantize, iq4_xs_dequantize},
	{&qc_iq2_xxs, QC_ISA_AVX512, iq2_xxs_quantize, NULL},
	{&qc_iq2_xs, QC_ISA_AVX512, iq2_xs_quantize, NULL},
	{&qc_iq2_s, QC_ISA_AVX512, iq2_s_quantize, NULL},
	{&qc_iq3_xxs, QC_ISA_AVX512, iq3_xxs_quantize, NULL},
	{&qc_iq3_s, QC_ISA_AVX512, iq3_s_quantize, NULL},
	{&qc_iq1_s, QC_ISA_AVX512, iq1_s_quantize, NULL},
	{&qc_iq1_m, QC_ISA_AVX512, iq1_m_quantize, NULL},
	{.type = NULL},
};
