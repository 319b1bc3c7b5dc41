/* The K-quants for NEON, 4 groups at a time: the shared kernels compiled for this ISA. */
#include "quant/lanes/affine_kernels.h"
#include "quant/lanes/q3_kernels.h"
#include "quant/lanes/symmetric_kernels.h"

#include "quant/variants.h"

const struct qc_variant qc_variants_neon_k[] = {
	{&qc_q2_K, QC_ISA_NEON, q2_K_quantize, q2_K_dequantize},
	{&qc_q3_K, QC_ISA_NEON, q3_K_quantize, q3_K_dequantize},
	{&qc_q4_K, QC_ISA_NEON, q4_K_quantize, q4_K_dequantize},
	{&qc_q5_K, QC_ISA_NEON, q5_K_quantize, q5_K_dequantize},
	{&qc_q6_K, QC_ISA_NEON, q6_K_quantize, q6_K_dequantize},
	{.type = NULL},
};
