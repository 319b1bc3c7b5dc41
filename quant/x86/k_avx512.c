/* The K-quants for AVX-512, 16 groups at a time: the shared kernels compiled for this ISA. */
#include "quant/lanes/affine_kernels.h"
#include "quant/lanes/q3_kernels.h"
#include "quant/lanes/symmetric_kernels.h"

#include "quant/variants.h"

const struct qc_variant qc_variants_avx512_k[] = {
	{&qc_q2_K, QC_ISA_AVX512, q2_K_quantize, q2_K_dequantize},
	{&qc_q3_K, QC_ISA_AVX512, q3_K_quantize, q3_K_dequantize},
	{&qc_q4_K, QC_ISA_AVX512, q4_K_quantize, q4_K_dequantize},
	{&qc_q5_K, QC_ISA_AVX512, q5_K_quantize, q5_K_dequantize},
	{&qc_q6_K, QC_ISA_AVX512, q6_K_quantize, q6_K_dequantize},
	{.type = NULL},
};
