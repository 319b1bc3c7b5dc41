/* mxfp4 and nvfp4 with AVX-512: see fp4_kernels.h, *fp4_encode.h and search_e2m1.h. */
#include "quant/variants.h"

#include "quant/x86/fp4_kernels.h"
#include "quant/x86/mxfp4_encode.h"
#include "quant/x86/nvfp4_encode.h"
#include "quant/x86/search_e2m1.h"

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

static void mxfp4_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	uint8_t *row = dst;

	mxfp4_quantize(x, dst, rows, cols, weight);
	if (!weight) { /* rows do not matter */
		cols *= rows;
		rows = 1;
	}
	for (; rows > 0; rows--, x += cols, row += cols / 32 * sizeof(struct qc_block_mxfp4))
		improve_blocks(x, cols, weight, true, row, row);
}

static void nvfp4_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_e4m3_scales scales;
	uint8_t *row = dst;

	qc_e4m3_scales_init(&scales, 1);
	nvfp4_quantize(x, dst, rows, cols, weight);
	if (!weight) {
		cols *= rows;
		rows = 1;
	}
	for (; rows > 0; rows--, x += cols, row += cols / 64 * sizeof(struct qc_block_nvfp4))
		improve_groups(x, cols, weight, &scales, true, row, row);
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
