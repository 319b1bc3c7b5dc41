/*
 * bitsandbytes' encoders (backends/default/ops.py: quantize_4bit, quantize_blockwise;
 * csrc/cpu_ops.cpp: quantize_cpu).
 *
 *   absmax = largest |x| of the block
 *   s = x * (1 / absmax), or x / absmax in a short last block, every operation rounded to f32
 *   code = the table's value nearest to s, ties to the lower value
 *
 *   byte      0        1
 *           [x0 x1]  [x2 x3] ...     the high nibble is the earlier element
 */
#include "quant/bnb.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "quant/bnb_rank.h"

static float largest(const float *x, size_t n)
{
	float max = 0;

	for (size_t i = 0; i < n; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	return max;
}

static float at_least(float x, float low)
{
	return x > low ? x : low;
}

static float clamp_unit(float x)
{
	return x < -1 ? -1 : x > 1 ? 1 : x;
}

/* s of one value; `divide` in short blocks. */
static float scaled(float x, float absmax, float inverse, bool divide)
{
	return clamp_unit(divide ? x / absmax : x * inverse);
}

static void encode_block(const struct qc_bnb4_kind *kind, const struct qc_bnb4_ranks *ranks,
			 const float *x, size_t n, float absmax, bool divide, uint8_t *packed)
{
	float inverse = 1 / absmax;

	for (size_t i = 0; i < n; i += 2) {
		float first = scaled(x[i], absmax, inverse, divide), second = 0;

		if (i + 1 < n)
			second = scaled(x[i + 1], absmax, inverse, divide);
		*packed++ = (uint8_t)(kind->order[qc_bnb4_rank(ranks, first)] << 4 |
				      kind->order[qc_bnb4_rank(ranks, second)]);
	}
}

void qc_bnb4_encode(const struct qc_bnb4_kind *kind, const float *x, size_t n, size_t block_elems,
		    uint8_t *packed, float *absmax)
{
	struct qc_bnb4_ranks ranks;

	qc_bnb4_ranks_init(&ranks, kind);
	for (; n > 0; absmax++) {
		size_t part = n < block_elems ? n : block_elems;
		float max = largest(x, part), divisor = at_least(max, QC_BNB_SMALLEST);
		bool is_short = part < block_elems;

		*absmax = is_short ? divisor : max;
		encode_block(kind, &ranks, x, part, divisor, is_short, packed);
		x += part;
		n -= part;
		packed += block_elems / 2;
	}
}

/* The group's largest |absmax - offset|. */
static float nested_largest(const float *absmax, size_t n, float offset)
{
	float max = 0;

	for (size_t i = 0; i < n; i++)
		max = at_least(fabsf(absmax[i] - offset), max);
	return max;
}

void qc_bnb8_encode_python(const float *absmax, size_t n, float offset, uint8_t *codes,
			   float *nested_absmax)
{
	for (; n > 0; nested_absmax++) {
		size_t part = n < QC_BNB_NESTED ? n : QC_BNB_NESTED;
		float max = nested_largest(absmax, part, offset);
		float divisor = at_least(max, QC_BNB_SMALLEST), inverse = 1 / divisor;
		bool is_short = part < QC_BNB_NESTED;

		*nested_absmax = is_short ? divisor : max;
		for (size_t i = 0; i < part; i++) {
			float s = scaled(absmax[i] - offset, divisor, inverse, is_short);

			*codes++ = (uint8_t)qc_bnb8_rank(s);
		}
		absmax += part;
		n -= part;
	}
}

/* Its table has 65536 bins over -1..1; each holds the code of the bin's own value. */
static uint8_t bin_code(float s)
{
	uint16_t bin = (uint16_t)((s + 1) * 0.5f * 65535 + 0.5f);

	return (uint8_t)qc_bnb8_rank(-1 + 2.0f * (float)bin / 65535);
}

void qc_bnb8_encode_cpp(const float *absmax, size_t n, float offset, uint8_t *codes,
			float *nested_absmax)
{
	for (; n > 0; nested_absmax++) {
		size_t part = n < QC_BNB_NESTED ? n : QC_BNB_NESTED;
		float max = nested_largest(absmax, part, offset), inverse = 1 / max;

		*nested_absmax = max;
		for (size_t i = 0; i < part; i++) {
			float v = absmax[i] - offset;

			*codes++ = max == 0 ? 0 : bin_code(clamp_unit(v * inverse));
		}
		absmax += part;
		n -= part;
	}
}

enum { LANES = 8, STEP = 4 * LANES };

void qc_bnb_mean_init(struct qc_bnb_mean *mean, size_t n)
{
	unsigned log2 = 0;

	memset(mean, 0, sizeof(*mean));
	mean->n = n;
	mean->in_vectors = n / STEP * STEP;
	while ((size_t)1 << log2 < n / STEP)
		log2++;
	mean->level_bits = log2 / 4 > 4 ? log2 / 4 : 4;
}

/* Behind step `step` (counted from 1) full levels empty into the next one. */
static void cascade(struct qc_bnb_mean *mean, size_t step)
{
	size_t mask = ((size_t)1 << mean->level_bits) - 1;

	if (step & mask)
		return;
	for (unsigned j = 1; j < 4; j++) {
		for (int k = 0; k < STEP; k++)
			mean->level[j][k / LANES][k % LANES] +=
				mean->level[j - 1][k / LANES][k % LANES];
		memset(mean->level[j - 1], 0, sizeof(mean->level[j - 1]));
		if (step & mask << (j * mean->level_bits))
			break;
	}
}

void qc_bnb_mean_add(struct qc_bnb_mean *mean, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = mean->given++;

		if (at >= mean->in_vectors) {
			mean->rest[at - mean->in_vectors] = x[i];
			continue;
		}
		mean->level[0][at % STEP / LANES][at % LANES] += x[i];
		if (at % STEP == STEP - 1)
			cascade(mean, at / STEP + 1);
	}
}

/* Fewer than eight: the same with one lane. */
static float sum_few(const float *x, size_t n)
{
	float sums[4] = {0};
	size_t i = 0;

	for (; n >= 4 && i < 4; i++)
		sums[i] += x[i];
	for (; i < n; i++)
		sums[0] += x[i];
	return sums[0] + sums[1] + sums[2] + sums[3];
}

float qc_bnb_mean_value(struct qc_bnb_mean *mean)
{
	size_t left = mean->n - mean->in_vectors;
	float(*sums)[LANES] = mean->level[0], sum = 0;

	if (mean->n < LANES)
		return sum_few(mean->rest, mean->n) / (float)mean->n;
	for (int j = 1; j < 4; j++)
		for (int k = 0; k < STEP; k++)
			sums[k / LANES][k % LANES] += mean->level[j][k / LANES][k % LANES];
	for (size_t i = 0; i < left / LANES * LANES; i++)
		sums[0][i % LANES] += mean->rest[i];
	for (int k = LANES; k < STEP; k++)
		sums[0][k % LANES] += sums[k / LANES][k % LANES];
	for (size_t i = left / LANES * LANES; i < left; i++)
		sum += mean->rest[i];
	for (int k = 0; k < LANES; k++)
		sum += sums[0][k];
	return sum / (float)mean->n;
}
