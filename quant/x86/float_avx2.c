/*
 * f32, f16 and bf16 with AVX2 and F16C, whose f16 conversions are the definition's (round to
 * nearest even, subnormals kept, NaN made quiet) except that encoding a NaN keeps its payload: such
 * vectors are left to the definition. bf16 is integer arithmetic.
 */
#include "quant/variants.h"

#include <immintrin.h>
#include <string.h>

#include "base/bytes.h"
#include "quant/half.h"
#include "quant/types.h"

enum { LANES = 8 };

/* f32 on disk is f32 in memory here. */
static void f32_copy(void *dst, const void *src, size_t n)
{
	if (n) /* else either may be NULL */
		memcpy(dst, src, n * sizeof(float));
}

static void f32_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	(void)weight;
	f32_copy(dst, x, rows * cols);
}

static void f32_dequantize(const void *src, float *x, size_t n_blocks)
{
	f32_copy(x, src, n_blocks);
}

static bool any_nan(__m256 v)
{
	return _mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

static void f16_encode(const float *x, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		qc_put_le16(out + 2 * i, qc_f32_to_f16(x[i]));
}

static void f16_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	size_t n = rows * cols, i = 0;
	uint8_t *out = dst;

	(void)weight;
	for (; n - i >= LANES; i += LANES) {
		__m256 v = _mm256_loadu_ps(x + i);
		if (any_nan(v))
			f16_encode(x + i, out + 2 * i, LANES);
		else
			_mm_storeu_si128((__m128i *)(void *)(out + 2 * i),
					 _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
	}
	f16_encode(x + i, out + 2 * i, n - i);
}

static void f16_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;
	size_t i = 0;

	for (; n_blocks - i >= LANES; i += LANES) {
		__m128i h = _mm_loadu_si128((const __m128i *)(const void *)(in + 2 * i));
		_mm256_storeu_ps(x + i, _mm256_cvtph_ps(h));
	}
	for (; i < n_blocks; i++)
		x[i] = qc_f16_to_f32(qc_le16(in + 2 * i));
}

static __m256i bf16_round(const float *x)
{
	__m256 v = _mm256_loadu_ps(x);
	__m256i bits = _mm256_castps_si256(v), high = _mm256_srli_epi32(bits, 16);
	__m256i even = _mm256_add_epi32(_mm256_and_si256(high, _mm256_set1_epi32(1)),
					_mm256_set1_epi32(0x7fff));
	__m256i h = _mm256_srli_epi32(_mm256_add_epi32(bits, even), 16);
	__m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(64));

	return _mm256_blendv_epi8(h, quiet, _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
}

static void bf16_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	size_t n = rows * cols, i = 0;
	uint8_t *out = dst;

	(void)weight;
	for (; n - i >= 2 * LANES; i += 2 * LANES) {
		/* packing works inside each half of 128 bits: put the quarters back in order */
		__m256i h = _mm256_packus_epi32(bf16_round(x + i), bf16_round(x + i + LANES));
		_mm256_storeu_si256((__m256i *)(void *)(out + 2 * i),
				    _mm256_permute4x64_epi64(h, 0xd8));
	}
	for (; i < n; i++)
		qc_put_le16(out + 2 * i, qc_f32_to_bf16(x[i]));
}

static void bf16_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;
	size_t i = 0;

	for (; n_blocks - i >= LANES; i += LANES) {
		__m128i h = _mm_loadu_si128((const __m128i *)(const void *)(in + 2 * i));
		__m256i bits = _mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16);
		_mm256_storeu_si256((__m256i *)(void *)(x + i), bits);
	}
	for (; i < n_blocks; i++)
		x[i] = qc_bf16_to_f32(qc_le16(in + 2 * i));
}

const struct qc_variant qc_variants_avx2_float[] = {
	{&qc_f32, QC_ISA_AVX2, f32_quantize, f32_dequantize},
	{&qc_f16, QC_ISA_AVX2, f16_quantize, f16_dequantize},
	{&qc_bf16, QC_ISA_AVX2, bf16_quantize, bf16_dequantize},
	{.type = NULL},
};
