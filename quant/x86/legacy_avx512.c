/* q8_0, q4_0, q4_1, q5_0 and q5_1 for AVX-512, 16 blocks at a time: the shared kernels compiled for
 * this ISA. */
#include "quant/lanes/legacy_kernels.h"

#include "quant/variants.h"

const struct qc_variant qc_variants_avx512_legacy[] = {
	{&qc_q8_0, QC_ISA_AVX512, q8_0_quantize, q8_0_dequantize},
	{&qc_q4_0, QC_ISA_AVX512, q4_0_quantize, q4_0_dequantize},
	{&qc_q4_1, QC_ISA_AVX512, q4_1_quantize, q4_1_dequantize},
	{&qc_q5_0, QC_ISA_AVX512, q5_0_quantize, q5_0_dequantize},
	{&qc_q5_1, QC_ISA_AVX512, q5_1_quantize, q5_1_dequantize},
	{.type = NULL},
};
