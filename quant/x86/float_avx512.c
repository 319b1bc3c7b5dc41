/*
 * f16 and bf16 with AVX-512. F16C's conversions are the definition's (round to nearest even,
 * subnormals kept, NaN made quiet) except that encoding a NaN keeps its payload, which is dropped
 * here; bf16 is integer arithmetic.
 */
#include "quant/variants.h"

#include <immintrin.h>

#include "base/bytes.h"
#include "quant/half.h"
#include "quant/types.h"

enum { LANES = 16 };

static void f16_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	const __m256i quiet = _mm256_set1_epi16((short)0xfe00);
	size_t n = rows * cols, i = 0;
	uint8_t *out = dst;

	(void)weight;
	for (; n - i >= LANES; i += LANES) {
		__m512 v = _mm512_loadu_ps(x + i);
		__m256i h = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
		__mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);

		/* quiet and without its payload */
		h = _mm256_mask_mov_epi16(h, nan, _mm256_and_si256(h, quiet));
		_mm256_storeu_si256((__m256i *)(void *)(out + 2 * i), h);
	}
	for (; i < n; i++)
		qc_put_le16(out + 2 * i, qc_f32_to_f16(x[i]));
}

static void f16_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;
	size_t i = 0;

	for (; n_blocks - i >= LANES; i += LANES) {
		__m256i h = _mm256_loadu_si256((const __m256i *)(const void *)(in + 2 * i));
		_mm512_storeu_ps(x + i, _mm512_cvtph_ps(h));
	}
	for (; i < n_blocks; i++)
		x[i] = qc_f16_to_f32(qc_le16(in + 2 * i));
}

static void bf16_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	const __m512i one = _mm512_set1_epi32(1), below_half = _mm512_set1_epi32(0x7fff);
	size_t n = rows * cols, i = 0;
	uint8_t *out = dst;

	(void)weight;
	for (; n - i >= LANES; i += LANES) {
		__m512 v = _mm512_loadu_ps(x + i);
		__m512i bits = _mm512_castps_si512(v), high = _mm512_srli_epi32(bits, 16);
		__m512i even = _mm512_add_epi32(_mm512_and_si512(high, one), below_half);
		__m512i h = _mm512_srli_epi32(_mm512_add_epi32(bits, even), 16);
		__mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);

		h = _mm512_mask_or_epi32(h, nan, high, _mm512_set1_epi32(64));
		_mm256_storeu_si256((__m256i *)(void *)(out + 2 * i), _mm512_cvtepi32_epi16(h));
	}
	for (; i < n; i++)
		qc_put_le16(out + 2 * i, qc_f32_to_bf16(x[i]));
}

static void bf16_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;
	size_t i = 0;

	for (; n_blocks - i >= LANES; i += LANES) {
		__m256i h = _mm256_loadu_si256((const __m256i *)(const void *)(in + 2 * i));
		__m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
		_mm512_storeu_si512(x + i, bits);
	}
	for (; i < n_blocks; i++)
		x[i] = qc_bf16_to_f32(qc_le16(in + 2 * i));
}

const struct qc_variant qc_variants_avx512_float[] = {
	{&qc_f16, QC_ISA_AVX512, f16_quantize, f16_dequantize},
	{&qc_bf16, QC_ISA_AVX512, bf16_quantize, bf16_dequantize},
	{.type = NULL},
};
