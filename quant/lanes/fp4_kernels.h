/* mxfp4 and nvfp4 in vectors: ggml's encoders and decoders (quant/mxfp4.c, quant/nvfp4.c). */
#ifndef QC_QUANT_LANES_FP4_KERNELS_H
#define QC_QUANT_LANES_FP4_KERNELS_H

#include "quant/lanes/e2m1_lanes.h"

#ifdef LANES_INLINE

#include "quant/blocks.h"
#include "quant/e4m3.h"
#include "quant/e8m0.h"
#include "quant/types.h"

/* qc_e2m1_ggml(): of the eight magnitudes the first that is nearest. */
LANES_INLINE lanes ggml_code(lanes x, float half)
{
	static const float twice[8] = {0, 1, 2, 3, 4, 6, 8, 12};
	lanes magnitude = lanes_abs(x), best = magnitude, code = lanes_set(0);
	lanes_mask negative;

	for (int i = 1; i < 8; i++) {
		lanes error = lanes_abs(lanes_set(twice[i] * half) - magnitude);
		lanes_mask nearer = lanes_lt(error, best);

		best = lanes_select(nearer, error, best);
		code = lanes_select(nearer, lanes_set((float)i), code);
	}
	negative = lanes_and(lanes_lt(x, lanes_set(0)), lanes_lt(lanes_set(0), code));
	return lanes_select(negative, code + lanes_set(8), code);
}

LANES_INLINE float largest_magnitude(const float *x, size_t n)
{
	lanes max = lanes_set(0);
	float each[LANES], result = 0;

	for (size_t i = 0; i < n; i += LANES)
		max = lanes_max(lanes_abs(lanes_load(x + i)), max);
	lanes_store(each, max);
	for (int i = 0; i < LANES; i++)
		result = each[i] > result ? each[i] : result;
	return result;
}

static void mxfp4_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_block_mxfp4 *block = dst;

	(void)weight;
	for (size_t b = 0; b < rows * cols / 32; b++, block++, x += 32) {
		lanes_int codes[32 / LANES];
		float half;

		block->e = qc_e8m0_ggml(largest_magnitude(x, 32));
		half = qc_e8m0_half(block->e);
		for (size_t i = 0; i < 32; i += LANES)
			codes[i / LANES] = lanes_nearest(ggml_code(lanes_load(x + i), half));
		e2m1_pack32(lanes_pack_bytes(codes), true, block->q);
	}
}

static void mxfp4_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_mxfp4 *block = src;

	for (; n_blocks > 0; n_blocks--, block++, x += 32) {
		bytes32 codes = e2m1_unpack32(block->q, true);
		float half = qc_e8m0_half(block->e);

		e2m1_scale16(e2m1_twice16(bytes32_first(codes)), half, x);
		e2m1_scale16(e2m1_twice16(bytes32_last(codes)), half, x + 16);
	}
}

static void nvfp4_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_block_nvfp4 *block = dst;

	(void)weight;
	for (size_t b = 0; b < rows * cols / 64; b++, block++) {
		for (int s = 0; s < 4; s++, x += 16) {
			lanes codes[16 / LANES];
			float half;

			block->d[s] = qc_f32_to_ue4m3(largest_magnitude(x, 16) / 6);
			half = qc_ue4m3_to_f32(block->d[s]) / 2;
			for (size_t i = 0; i < 16; i += LANES)
				codes[i / LANES] = ggml_code(lanes_load(x + i), half);
			e2m1_pack16(e2m1_bytes16(codes), true, block->q + 8 * s);
		}
	}
}

static void nvfp4_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_nvfp4 *block = src;

	for (; n_blocks > 0; n_blocks--, block++)
		for (int s = 0; s < 4; s++, x += 16)
			e2m1_scale16(e2m1_twice16(e2m1_unpack16(block->q + 8 * s, true)),
				     qc_ue4m3_to_f32(block->d[s]) / 2, x);
}

#endif
#endif
