/*
 * q2_K, q4_K and q5_K for one ISA: what they tell affine_batch.h, how they pack, and decoding.
 */
#ifndef QC_QUANT_LANES_AFFINE_KERNELS_H
#define QC_QUANT_LANES_AFFINE_KERNELS_H

#include "quant/lanes/affine_batch.h"

#ifdef LANES_INLINE

#include "quant/blocks.h"
#include "quant/round.h"
#include "quant/types.h"

/* q4_K and q5_K begin with this. */
static void kscales_put(const uint8_t *scales, const uint8_t *mins, float d, float dmin,
			void *block, float *scale, float *min)
{
	struct qc_kscales *stored = block;

	qc_put_f16(stored->d, d);
	qc_put_f16(stored->dmin, dmin);
	qc_kscales_pack(scales, mins, stored->packed);
	qc_kscales_decode(stored, scale, min);
}

/* What multiplies the codes and is subtracted in each group. */
static inline void q2_K_decode_scales(const struct qc_block_q2_K *b, float *scale, float *min)
{
	float d = qc_get_f16(b->d), dmin = qc_get_f16(b->dmin);

	for (int g = 0; g < 16; g++) {
		scale[g] = d * (float)(b->scales[g] & 15);
		min[g] = dmin * (float)(b->scales[g] >> 4);
	}
}

static void q2_K_put_scales(const uint8_t *scales, const uint8_t *mins, float d, float dmin,
			    void *block, float *scale, float *min)
{
	struct qc_block_q2_K *b = block;

	qc_put_f16(b->d, d);
	qc_put_f16(b->dmin, dmin);
	for (int g = 0; g < 16; g++)
		b->scales[g] = (uint8_t)(scales[g] | mins[g] << 4);
	q2_K_decode_scales(b, scale, min);
}

static void q2_K_put(const bytes32 code[8], void *block)
{
	struct qc_block_q2_K *b = block;

	bytes32_store(b->q, bytes32_four_twos(code));
	bytes32_store(b->q + 32, bytes32_four_twos(code + 4));
}

static void q4_K_put(const bytes32 code[8], void *block)
{
	struct qc_block_q4_K *b = block;

	for (int j = 0; j < 4; j++)
		bytes32_store(b->q + 32 * j, bytes32_nibbles(code[2 * j], code[2 * j + 1]));
}

static void q5_K_put(const bytes32 code[8], void *block)
{
	struct qc_block_q5_K *b = block;
	bytes32 high = bytes32_set(0);

	for (int j = 0; j < 8; j++)
		high = bytes32_or(high, bytes32_if_above(code[j], 15, 1 << j));
	bytes32_store(b->high, high);
	for (int j = 0; j < 4; j++)
		bytes32_store(b->q + 32 * j, bytes32_nibbles(bytes32_low4(code[2 * j]),
							     bytes32_low4(code[2 * j + 1])));
}

static void q2_K_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	static const struct affine_type of = {.type = &qc_q2_K,
					      .group = 16,
					      .nmax = 3,
					      .top = 15,
					      .limit = 255,
					      .variances = 1,
					      .plain = &qc_q2_K_grid,
					      .put_scales = q2_K_put_scales,
					      .put = q2_K_put};

	affine_quantize(x, dst, rows, cols, weight, &of);
}

static void q4_K_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	static const struct affine_type of = {.type = &qc_q4_K,
					      .group = 32,
					      .nmax = 15,
					      .top = 63,
					      .limit = 255,
					      .variances = 2,
					      .plain = &qc_q4_K_params.plain,
					      .put_scales = kscales_put,
					      .put = q4_K_put};

	affine_quantize(x, dst, rows, cols, weight, &of);
}

static void q5_K_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	static const struct affine_type of = {.type = &qc_q5_K,
					      .group = 32,
					      .nmax = 31,
					      .top = 63,
					      .limit = 63,
					      .variances = 2,
					      .plain = &qc_q5_K_params.plain,
					      .put_scales = kscales_put,
					      .put = q5_K_put};

	affine_quantize(x, dst, rows, cols, weight, &of);
}

/* 32 values: scale * code - min */
static inline void affine_decode(float *x, bytes32 code, float scale, float min)
{
	lanes v[32 / LANES];

	lanes_from_bytes(code, v);
#pragma GCC unroll 8
	for (int i = 0; i < 32 / LANES; i++)
		lanes_store(x + i * LANES, lanes_set(scale) * v[i] - lanes_set(min));
}

static void q4_K_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q4_K *b = src;

	for (size_t i = 0; i < n_blocks; i++, b++) {
		float scale[8], min[8];

		qc_kscales_decode(&b->scales, scale, min);
		for (int j = 0; j < 8; j += 2, x += 64) {
			bytes32 q = bytes32_load(b->q + 16 * j);

			affine_decode(x, bytes32_low4(q), scale[j], min[j]);
			affine_decode(x + 32, bytes32_high4(q), scale[j + 1], min[j + 1]);
		}
	}
}

static void q5_K_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q5_K *b = src;

	for (size_t i = 0; i < n_blocks; i++, b++) {
		bytes32 high = bytes32_load(b->high);
		float scale[8], min[8];

		qc_kscales_decode(&b->scales, scale, min);
		for (int j = 0; j < 8; j++, x += 32) {
			bytes32 q = bytes32_load(b->q + j / 2 * 32);

			q = j & 1 ? bytes32_high4(q) : bytes32_low4(q);
			affine_decode(x, bytes32_or(q, bytes32_if_bit(high, j, 16)), scale[j],
				      min[j]);
		}
	}
}

static void q2_K_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q2_K *b = src;

	for (size_t n = 0; n < n_blocks; n++, b++) {
		float scale[16], min[16];

		q2_K_decode_scales(b, scale, min);
		for (int j = 0; j < 8; j++) {
			lanes v[32 / LANES];

			lanes_from_bytes(bytes32_two(bytes32_load(b->q + j / 4 * 32), j % 4), v);
#pragma GCC unroll 8
			for (int i = 0; i < 32 / LANES; i++, x += LANES) {
				int g = 2 * j + i * LANES / 16;

				lanes_store(x, lanes_set(scale[g]) * v[i] - lanes_set(min[g]));
			}
		}
	}
}

#endif
#endif
