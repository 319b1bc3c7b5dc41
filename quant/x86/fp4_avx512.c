/* mxfp4 and nvfp4 with AVX-512: see fp4_kernels.h, *fp4_encode.h and fp4_search.h. */
#include "quant/variants.h"

#include "quant/x86/fp4_search.h"

void qc_nvfp4_encode_avx512(bool divides, const float *x, size_t n, float tensor_scale, bool bf16,
			    bool in_blocks, uint8_t *scales, uint8_t *codes)
{
	if (divides)
		nvfp4_encode(true, x, n, tensor_scale, bf16, in_blocks, scales, codes);
	else
		nvfp4_encode(false, x, n, tensor_scale, bf16, in_blocks, scales, codes);
}

void qc_mxfp4_encode_avx512(enum qc_mxfp4_rule rule, const float *x, size_t n, uint8_t *codes,
			    uint8_t *scales)
{
	mxfp4_encode_by(rule, x, n, codes, scales);
}

void qc_improve_groups_avx512(const float *x, size_t n, const float *weight,
			      const struct qc_e4m3_scales *scales, bool in_blocks,
			      uint8_t *dst_scales, uint8_t *dst_codes)
{
	improve_groups(x, n, weight, scales, in_blocks, dst_scales, dst_codes);
}

void qc_improve_blocks_avx512(const float *x, size_t n, const float *weight, bool in_blocks,
			      uint8_t *dst_scales, uint8_t *dst_codes)
{
	improve_blocks(x, n, weight, in_blocks, dst_scales, dst_codes);
}

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
