/*
 * q2_K, q4_K and q5_K for one ISA: what they tell affine_batch.h, how they pack, and decoding.
 */
#ifndef QC_QUANT_X86_AFFINE_KERNELS_H
#define QC_QUANT_X86_AFFINE_KERNELS_H

#include "quant/x86/affine_batch.h"

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

static void q2_K_put(const __m256i code[8], void *block)
{
	struct qc_block_q2_K *b = block;

	lanes_put32(b->q, lanes_pairs(code));
	lanes_put32(b->q + 32, lanes_pairs(code + 4));
}

static void q4_K_put(const __m256i code[8], void *block)
{
	struct qc_block_q4_K *b = block;

	for (int j = 0; j < 4; j++)
		lanes_put32(b->q + 32 * j, lanes_nibbles(code[2 * j], code[2 * j + 1]));
}

static void q5_K_put(const __m256i code[8], void *block)
{
	struct qc_block_q5_K *b = block;
	__m256i high = _mm256_setzero_si256();

	for (int j = 0; j < 8; j++) {
		__m256i above = _mm256_cmpgt_epi8(code[j], _mm256_set1_epi8(15));

		high = _mm256_or_si256(high,
				       _mm256_and_si256(above, _mm256_set1_epi8((char)(1 << j))));
	}
	lanes_put32(b->high, high);
	for (int j = 0; j < 4; j++)
		lanes_put32(b->q + 32 * j,
			    lanes_nibbles(lanes_low4(code[2 * j]), lanes_low4(code[2 * j + 1])));
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
static inline void affine_decode(float *x, __m256i code, float scale, float min)
{
	uint8_t bytes[32];

	lanes_put32(bytes, code);
	for (int i = 0; i < 32; i += LANES)
		lanes_store(x + i, lanes_set(scale) * lanes_from_bytes(bytes + i) - lanes_set(min));
}

static void q4_K_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q4_K *b = src;

	for (size_t i = 0; i < n_blocks; i++, b++) {
		float scale[8], min[8];

		qc_kscales_decode(&b->scales, scale, min);
		for (int j = 0; j < 8; j += 2, x += 64) {
			__m256i q = lanes_get32(b->q + 16 * j);

			affine_decode(x, lanes_low4(q), scale[j], min[j]);
			affine_decode(x + 32, lanes_high4(q), scale[j + 1], min[j + 1]);
		}
	}
}

static void q5_K_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q5_K *b = src;

	for (size_t i = 0; i < n_blocks; i++, b++) {
		__m256i high = lanes_get32(b->high);
		float scale[8], min[8];

		qc_kscales_decode(&b->scales, scale, min);
		for (int j = 0; j < 8; j++, x += 32) {
			__m256i q = lanes_get32(b->q + j / 2 * 32);
			__m256i bit = _mm256_set1_epi8((char)(1 << j));
			__m256i above = _mm256_cmpeq_epi8(_mm256_and_si256(high, bit), bit);

			q = j & 1 ? lanes_high4(q) : lanes_low4(q);
			q = _mm256_or_si256(q, _mm256_and_si256(above, _mm256_set1_epi8(16)));
			affine_decode(x, q, scale[j], min[j]);
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
			uint8_t bytes[32];

			lanes_put32(bytes, lanes_pair(lanes_get32(b->q + j / 4 * 32), j % 4));
			for (int i = 0; i < 32; i += LANES, x += LANES) {
				int g = 2 * j + i / 16;

				lanes_store(x, lanes_set(scale[g]) * lanes_from_bytes(bytes + i) -
						       lanes_set(min[g]));
			}
		}
	}
}

#endif
#endif
