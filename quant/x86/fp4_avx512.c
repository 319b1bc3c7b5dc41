/* mxfp4 and nvfp4 with AVX-512: see fp4_kernels.h, *fp4_encode.h and fp4_search.h. */
#include "quant/variants.h"

#include "quant/lanes/fp4_search.h"

const struct qc_fp4_kernels qc_fp4_kernels_avx512 = {
	.isa = QC_ISA_AVX512,
	.improve_groups = improve_groups,
	.improve_blocks = improve_blocks,
	.nvfp4_encode = nvfp4_encode_by,
	.mxfp4_encode = mxfp4_encode_by,
};

const struct qc_variant qc_variants_avx512_fp4[] = {
	{&qc_mxfp4, QC_ISA_AVX512, mxfp4_quantize, mxfp4_dequantize},
	{&qc_nvfp4, QC_ISA_AVX512, nvfp4_quantize, nvfp4_dequantize},
	{.type = NULL},
};

const struct qc_search_variant qc_search_variants_avx512_fp4[] = {
	{&qc_mxfp4, QC_ISA_AVX512, mxfp4_search},
	{&qc_nvfp4, QC_ISA_AVX512, nvfp4_search},
	{.type = NULL},
};
