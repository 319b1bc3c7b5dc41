/*
 * f32, f16 and bf16 with NEON, whose f16 conversions are the definition's (round to nearest even,
 * subnormals kept, NaN made quiet) except that encoding a NaN keeps its payload: such vectors are
 * left to the definition. bf16 is integer arithmetic.
 */
#include "quant/variants.h"

#include <arm_neon.h>
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
		float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + i + 4);
		uint32x4_t numbers = vandq_u32(vceqq_f32(a, a), vceqq_f32(b, b));
		float16x8_t h = vcombine_f16(vcvt_f16_f32(a), vcvt_f16_f32(b));

		if (vminvq_u32(numbers) == 0)
			f16_encode(x + i, out + 2 * i, LANES);
		else
			vst1q_u8(out + 2 * i, vreinterpretq_u8_f16(h));
	}
	f16_encode(x + i, out + 2 * i, n - i);
}

static void f16_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;
	size_t i = 0;

	for (; n_blocks - i >= LANES; i += LANES) {
		float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(in + 2 * i));
		vst1q_f32(x + i, vcvt_f32_f16(vget_low_f16(h)));
		vst1q_f32(x + i + 4, vcvt_f32_f16(vget_high_f16(h)));
	}
	for (; i < n_blocks; i++)
		x[i] = qc_f16_to_f32(qc_le16(in + 2 * i));
}

static uint16x4_t bf16_round(const float *x)
{
	float32x4_t v = vld1q_f32(x);
	uint32x4_t bits = vreinterpretq_u32_f32(v), high = vshrq_n_u32(bits, 16);
	uint32x4_t even = vaddq_u32(vandq_u32(high, vdupq_n_u32(1)), vdupq_n_u32(0x7fff));
	uint32x4_t rounded = vshrq_n_u32(vaddq_u32(bits, even), 16);

	return vmovn_u32(vbslq_u32(vceqq_f32(v, v), rounded, vorrq_u32(high, vdupq_n_u32(64))));
}

static void bf16_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	size_t n = rows * cols, i = 0;
	uint8_t *out = dst;

	(void)weight;
	for (; n - i >= LANES; i += LANES) {
		uint16x8_t h = vcombine_u16(bf16_round(x + i), bf16_round(x + i + 4));
		vst1q_u8(out + 2 * i, vreinterpretq_u8_u16(h));
	}
	for (; i < n; i++)
		qc_put_le16(out + 2 * i, qc_f32_to_bf16(x[i]));
}

static void bf16_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;
	size_t i = 0;

	for (; n_blocks - i >= LANES; i += LANES) {
		uint16x8_t h = vreinterpretq_u16_u8(vld1q_u8(in + 2 * i));
		vst1q_f32(x + i, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)));
		vst1q_f32(x + i + 4, vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(h), 16)));
	}
	for (; i < n_blocks; i++)
		x[i] = qc_bf16_to_f32(qc_le16(in + 2 * i));
}

const struct qc_variant qc_variants_neon_float[] = {
	{&qc_f32, QC_ISA_NEON, f32_quantize, f32_dequantize},
	{&qc_f16, QC_ISA_NEON, f16_quantize, f16_dequantize},
	{&qc_bf16, QC_ISA_NEON, bf16_quantize, bf16_dequantize},
	{.type = NULL},
};
