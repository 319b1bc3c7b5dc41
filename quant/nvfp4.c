/*
 * nvfp4: 64 values in 36 bytes, 4.5 bits per weight: four groups of 16 E2M1 codes, each with a
 * scale.
 *
 *   byte    0              4                                     36
 *           | d[0] .. d[3] | group 0: 8 bytes | group 1 | 2 | 3  |
 *             unsigned E4M3  q[0]|q[8]<<4 ... q[7]|q[15]<<4
 *
 *   x[16 s + j] = E2M1(q[j] of group s) * E4M3(d[s])
 *
 * Without a tensor scale d[s] = largest / 6, in ggml's own E4M3 rounding (quant/e4m3.h); with one
 * the tensor is divided by it first and the rest is ModelOpt's arithmetic.
 */
#include "quant/nvfp4.h"

#include "quant/block32.h"
#include "quant/blocks.h"
#include "quant/e2m1.h"
#include "quant/e4m3.h"
#include "quant/nvfp4_pack.h"
#include "quant/search_fp4.h"
#include "quant/types.h"

enum { GROUP = 16, GROUPS = 4, ELEMS = GROUP * GROUPS };

static void nvfp4_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_block_nvfp4 *block = dst;
	uint8_t codes[GROUP];

	(void)weight; /* the reference has no use for it */
	for (size_t i = 0; i < rows * cols / ELEMS; i++, block++) {
		for (int s = 0; s < GROUPS; s++, x += GROUP) {
			block->d[s] = qc_f32_to_ue4m3(fabsf(qc_signed_max(x, GROUP)) / 6);
			for (int j = 0; j < GROUP; j++)
				codes[j] = qc_e2m1_ggml(x[j], qc_ue4m3_to_f32(block->d[s]) / 2);
			qc_group_pack(true, codes, GROUP, block->q + 8 * s);
		}
	}
}

/* Improve the blocks that encode `rows` rows. */
static void improve_rows(qc_improve_groups_fn *improve, const float *x, uint8_t *dst, size_t rows,
			 size_t cols, const float *weight, float unit)
{
	struct qc_e4m3_scales scales;

	qc_e4m3_scales_init(&scales, unit);
	if (!weight) {
		improve(x, rows * cols, NULL, &scales, true, dst, dst);
		return;
	}
	for (; rows > 0; rows--, x += cols, dst += cols / ELEMS * sizeof(struct qc_block_nvfp4))
		improve(x, cols, weight, &scales, true, dst, dst);
}

static void nvfp4_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	nvfp4_quantize(x, dst, rows, cols, weight);
	improve_rows(qc_improve_groups, x, dst, rows, cols, weight, 1);
}

void qc_nvfp4_encode_scaled(const float *x, void *dst, size_t rows, size_t cols, float tensor_scale,
			    enum qc_isa isa)
{
	qc_nvfp4_encode(&qc_nvfp4_modelopt, x, rows * cols, tensor_scale, false, true, dst, dst,
			isa);
}

void qc_nvfp4_quantize_scaled(const float *x, void *dst, size_t rows, size_t cols,
			      float tensor_scale)
{
	qc_nvfp4_encode_scaled(x, dst, rows, cols, tensor_scale, QC_ISA_SCALAR);
}

void qc_nvfp4_search_scaled(const float *x, void *dst, size_t rows, size_t cols,
			    const float *weight, float tensor_scale, enum qc_isa isa)
{
	qc_nvfp4_encode_scaled(x, dst, rows, cols, tensor_scale, isa);
	improve_rows(qc_improve_groups_for(isa), x, dst, rows, cols, weight, tensor_scale);
}

void qc_nvfp4_from_pairs(const uint8_t codes[32], const uint8_t scales[4], void *dst)
{
	struct qc_block_nvfp4 *block = dst;
	uint8_t plain[GROUP];

	for (int s = 0; s < GROUPS; s++) {
		block->d[s] = scales[s] & 127;
		qc_e2m1_unpack(codes + 8 * s, GROUP, plain);
		qc_group_pack(true, plain, GROUP, block->q + 8 * s);
	}
}

void qc_nvfp4_to_pairs(const void *src, uint8_t codes[32], uint8_t scales[4])
{
	const struct qc_block_nvfp4 *block = src;
	uint8_t plain[GROUP];

	for (int s = 0; s < GROUPS; s++) {
		scales[s] = block->d[s];
		qc_group_unpack(true, block->q + 8 * s, GROUP, plain);
		qc_e2m1_pack(plain, GROUP, codes + 8 * s);
	}
}

static void nvfp4_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_nvfp4 *block = src;
	uint8_t codes[GROUP];

	for (; n_blocks > 0; n_blocks--, block++) {
		for (int s = 0; s < GROUPS; s++) {
			float half = qc_ue4m3_to_f32(block->d[s]) / 2;

			qc_group_unpack(true, block->q + 8 * s, GROUP, codes);
			for (int j = 0; j < GROUP; j++)
				*x++ = qc_e2m1_twice(codes[j]) * half;
		}
	}
}

/* No check: every scale byte decodes to a finite number. */
const struct qc_qtype qc_nvfp4 = {
	.name = "nvfp4",
	.block_elems = ELEMS,
	.block_bytes = sizeof(struct qc_block_nvfp4),
	.quantize = nvfp4_quantize,
	.search = nvfp4_search,
	.dequantize = nvfp4_dequantize,
};
