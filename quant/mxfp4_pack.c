/*
 * MXFP4 codes and exponents with each producer's rules. The exponents are in quant/e8m0.h; codes of
 * x / 2^(e - 127), which no rounding disturbs:
 *
 *                        ties          zero and what rounds to it
 *   ModelOpt             toward zero   0 above zero, 8 from zero down
 *   compressed-tensors   to even       0, 8 below zero
 *   gpt-oss              to even       its sign; a block with e = 0 is all 0
 */
#include "quant/mxfp4_pack.h"

#include <math.h>

#include "quant/e2m1.h"
#include "quant/e8m0.h"
#include "quant/search_fp4.h"
#include "quant/variants.h"

static float block_max(const float *x)
{
	float max = 0;

	for (int i = 0; i < QC_MXFP4_GROUP; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	return max;
}

static void modelopt_encode(const float *x, size_t n, uint8_t *out, uint8_t *scales)
{
	uint8_t codes[QC_MXFP4_GROUP];

	for (; n > 0; n -= QC_MXFP4_GROUP, x += QC_MXFP4_GROUP, out += QC_MXFP4_GROUP / 2) {
		float unit;

		*scales = qc_e8m0_modelopt(block_max(x));
		unit = qc_e8m0_to_f32(*scales++);
		for (int i = 0; i < QC_MXFP4_GROUP; i++)
			codes[i] = (uint8_t)(qc_e2m1_down(fabsf(x[i] / unit)) | (x[i] > 0 ? 0 : 8));
		qc_e2m1_pack(codes, QC_MXFP4_GROUP, out);
	}
}

static void compressed_encode(const float *x, size_t n, uint8_t *out, uint8_t *scales)
{
	uint8_t codes[QC_MXFP4_GROUP];

	for (; n > 0; n -= QC_MXFP4_GROUP, x += QC_MXFP4_GROUP, out += QC_MXFP4_GROUP / 2) {
		float unit;

		*scales = qc_e8m0_compressed(block_max(x));
		unit = qc_e8m0_to_f32(*scales++);
		for (int i = 0; i < QC_MXFP4_GROUP; i++) {
			float scaled = x[i] / unit;

			codes[i] = (uint8_t)(qc_e2m1_even(fabsf(scaled)) | (scaled < 0 ? 8 : 0));
		}
		qc_e2m1_pack(codes, QC_MXFP4_GROUP, out);
	}
}

static void gpt_oss_encode(const float *x, size_t n, uint8_t *out, uint8_t *scales)
{
	uint8_t codes[QC_MXFP4_GROUP];

	for (; n > 0; n -= QC_MXFP4_GROUP, x += QC_MXFP4_GROUP, out += QC_MXFP4_GROUP / 2) {
		float inverse;

		*scales = qc_e8m0_gpt_oss(block_max(x));
		inverse = *scales ? 1 / qc_e8m0_to_f32(*scales) : 0;
		scales++;
		for (int i = 0; i < QC_MXFP4_GROUP; i++) {
			float scaled = x[i] * inverse;

			codes[i] = qc_e2m1_even(fabsf(scaled)) | qc_e2m1_sign(scaled);
		}
		qc_e2m1_pack(codes, QC_MXFP4_GROUP, out);
	}
}

const struct qc_mxfp4_producer qc_mxfp4_modelopt = {
	.name = "modelopt",
	.rule = QC_MXFP4_MODELOPT,
	.encode = modelopt_encode,
};

const struct qc_mxfp4_producer qc_mxfp4_compressed_tensors = {
	.name = "compressed-tensors",
	.rule = QC_MXFP4_COMPRESSED,
	.encode = compressed_encode,
};

const struct qc_mxfp4_producer qc_mxfp4_gpt_oss = {
	.name = "gpt-oss",
	.rule = QC_MXFP4_GPT_OSS,
	.encode = gpt_oss_encode,
};

void qc_mxfp4_encode(const struct qc_mxfp4_producer *producer, const float *x, size_t n,
		     uint8_t *codes, uint8_t *scales, enum qc_isa isa)
{
	const struct qc_fp4_kernels *fast = qc_fp4_kernels_for(isa);

	if (fast)
		fast->mxfp4_encode(producer->rule, x, n, codes, scales);
	else
		producer->encode(x, n, codes, scales);
}

void qc_mxfp4_search(const struct qc_mxfp4_producer *producer, const float *x, size_t n,
		     const float *weight, uint8_t *codes, uint8_t *scales, enum qc_isa isa)
{
	qc_mxfp4_encode(producer, x, n, codes, scales, isa);
	qc_improve_blocks_for(isa)(x, n, weight, false, scales, codes);
}
