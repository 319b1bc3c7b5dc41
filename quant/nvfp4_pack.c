/*
 * NVFP4 codes and scales with each producer's roundings. fl() is one rounding to f32, bf() one to
 * bf16 when the weights are bf16:
 *
 *                        ModelOpt                        compressed-tensors
 *   tensor scale T       fl(amax / 2688)                 bf(2688 * bf(1 / amax))
 *   group scale s        E4M3(fl(amax / fl(6 T)))        E4M3(fl(T * bf(amax / 6)))
 *   a group of zeros     s = 1                           s = 1/8
 *   code                 E2M1(fl(x / fl(s * T)))         E2M1(fl(x / fl(s / T)))
 *
 * E4M3 and E2M1 round ties to even; E4M3 saturates, ModelOpt's is at least 2^-9. A quotient below
 * zero that rounds to zero has code 8.
 */
#include "quant/nvfp4_pack.h"

#include <float.h>
#include <math.h>

#include "quant/e2m1.h"
#include "quant/e4m3.h"
#include "quant/half.h"
#include "quant/nvfp4.h"
#include "quant/types.h"
#include "quant/variants.h"

static float group_max(const float *x)
{
	float max = 0;

	for (int i = 0; i < QC_NVFP4_GROUP; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	return max;
}

static void encode_group(const float *x, float unit, uint8_t *packed)
{
	uint8_t codes[QC_NVFP4_GROUP];

	for (int i = 0; i < QC_NVFP4_GROUP; i++) {
		float scaled = x[i] / unit;

		codes[i] = (uint8_t)(qc_e2m1_even(fabsf(scaled)) | (scaled < 0 ? 8 : 0));
	}
	qc_e2m1_pack(codes, QC_NVFP4_GROUP, packed);
}

static float modelopt_tensor_scale(float amax, float range, bool bf16)
{
	float scale = amax / (6 * range);

	(void)bf16; /* computes in f32 whatever the weights are */
	return scale > 0 ? scale : 1;
}

static void modelopt_encode(const float *x, size_t n, float tensor_scale, bool bf16, uint8_t *codes,
			    uint8_t *scales)
{
	(void)bf16;
	for (; n > 0; n -= QC_NVFP4_GROUP, x += QC_NVFP4_GROUP, codes += QC_NVFP4_GROUP / 2) {
		float scale = group_max(x) / (6 * tensor_scale);

		if (scale == 0)
			scale = 1;
		*scales = qc_f32_to_e4m3_saturated(scale < 0x1p-9f ? 0x1p-9f : scale);
		encode_group(x, qc_e4m3_to_f32(*scales++) * tensor_scale, codes);
	}
}

static void modelopt_meaning(float tensor_scale, struct qc_e4m3_scales *scales)
{
	qc_e4m3_scales_init(scales, tensor_scale);
}

static float round_as(bool bf16, float x)
{
	return bf16 ? qc_bf16_to_f32(qc_f32_to_bf16(x)) : x;
}

static float compressed_tensor_scale(float amax, float range, bool bf16)
{
	float reciprocal = round_as(bf16, 1 / (amax > FLT_MIN ? amax : FLT_MIN));
	float scale = round_as(bf16, 6 * range * reciprocal);

	return isfinite(scale) ? scale : 1;
}

static void compressed_encode(const float *x, size_t n, float tensor_scale, bool bf16,
			      uint8_t *codes, uint8_t *scales)
{
	for (; n > 0; n -= QC_NVFP4_GROUP, x += QC_NVFP4_GROUP, codes += QC_NVFP4_GROUP / 2) {
		float scale = tensor_scale * round_as(bf16, group_max(x) / 6);

		*scales = qc_f32_to_e4m3_saturated(scale);
		if (*scales == 0)
			*scales = 0x20;
		encode_group(x, qc_e4m3_to_f32(*scales++) / tensor_scale, codes);
	}
}

static void compressed_meaning(float tensor_scale, struct qc_e4m3_scales *scales)
{
	qc_e4m3_scales_init_divided(scales, tensor_scale);
}

const struct qc_nvfp4_producer qc_nvfp4_modelopt = {
	.name = "modelopt",
	.tensor_scale = modelopt_tensor_scale,
	.encode = modelopt_encode,
	.meaning = modelopt_meaning,
};

const struct qc_nvfp4_producer qc_nvfp4_compressed_tensors = {
	.name = "compressed-tensors",
	.tensor_scale = compressed_tensor_scale,
	.encode = compressed_encode,
	.meaning = compressed_meaning,
	.divides = true,
};

static bool is_natural(float scale, bool divides)
{
	float amax = divides ? 2688 / scale : scale * 2688;
	float as_bf16 = qc_bf16_to_f32(qc_f32_to_bf16(amax));
	float as_f16 = qc_f16_to_f32(qc_f32_to_f16(amax));

	if (divides)
		return round_as(true, scale) == scale || 2688 * (1 / as_f16) == scale;
	return as_bf16 / 2688 == scale || as_f16 / 2688 == scale;
}

/* The natural float nearest to `scale`, within two steps; 0 when there is none. */
static float natural_near(float scale, bool divides)
{
	float below = scale, above = scale;

	for (int i = 0; i <= 2; i++) {
		if (is_natural(below, divides))
			return below;
		if (is_natural(above, divides))
			return above;
		below = nextafterf(below, 0);
		above = nextafterf(above, FLT_MAX);
	}
	return 0;
}

float qc_nvfp4_multiplier(float divisor)
{
	float natural = natural_near(1 / divisor, false);

	return natural > 0 ? natural : 1 / divisor;
}

float qc_nvfp4_divisor(float multiplier)
{
	const float nearest = 1 / multiplier, natural = natural_near(nearest, true);

	if (natural > 0)
		return natural;
	if (1 / nearest != multiplier) {
		float below = nextafterf(nearest, 0), above = nextafterf(nearest, FLT_MAX);

		if (1 / below == multiplier)
			return below;
		if (1 / above == multiplier)
			return above;
	}
	return nearest;
}

/* The definition, a block of four groups at a time. */
static void encode_blocks(const struct qc_nvfp4_producer *producer, const float *x, size_t n,
			  float tensor_scale, bool bf16, uint8_t *dst)
{
	uint8_t codes[32], scales[4];

	for (; n > 0; n -= 64, x += 64, dst += qc_nvfp4.block_bytes) {
		producer->encode(x, 64, tensor_scale, bf16, codes, scales);
		qc_nvfp4_from_pairs(codes, scales, dst);
	}
}

void qc_nvfp4_encode(const struct qc_nvfp4_producer *producer, const float *x, size_t n,
		     float tensor_scale, bool bf16, bool in_blocks, uint8_t *scales, uint8_t *codes,
		     enum qc_isa isa)
{
	const struct qc_fp4_kernels *fast = qc_fp4_kernels_for(isa);

	if (fast)
		fast->nvfp4_encode(producer->divides, x, n, tensor_scale, bf16, in_blocks, scales,
				   codes);
	else if (in_blocks)
		encode_blocks(producer, x, n, tensor_scale, bf16, codes);
	else
		producer->encode(x, n, tensor_scale, bf16, codes, scales);
}

void qc_nvfp4_search(const struct qc_nvfp4_producer *producer, const float *x, size_t n,
		     const float *weight, float tensor_scale, bool bf16, uint8_t *codes,
		     uint8_t *scales, enum qc_isa isa)
{
	struct qc_e4m3_scales meaning;

	qc_nvfp4_encode(producer, x, n, tensor_scale, bf16, false, scales, codes, isa);
	producer->meaning(tensor_scale, &meaning);
	qc_improve_groups_for(isa)(x, n, weight, &meaning, false, scales, codes);
}
