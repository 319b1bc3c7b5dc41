/*
 * The types whose blocks are searched in lanes: their shapes, and their blocks from what was
 * found. Each file that includes this compiles its own copy, for its number of lanes.
 */
#ifndef QC_QUANT_SUPER_TYPES_H
#define QC_QUANT_SUPER_TYPES_H

#include "quant/block256.h"
#include "quant/kpack.h"
#include "quant/kscale.h"
#include "quant/q3_k.h"
#include "quant/super_affine.h"
#include "quant/super_symmetric.h"
#include "quant/super_threshold.h"
#include "quant/types.h"

static const struct affine_shape q4_K_shape = {
	.groups = 8,
	.n = 32,
	.top = 15,
	.fine = 63,
	.reach = 2,
	.strides = {3, 2, 1},
	.first = -12,
	.step = 0.75f,
	.n_divisors = 18,
};
static const struct affine_shape q5_K_shape = {
	.groups = 8,
	.n = 32,
	.top = 31,
	.fine = 63,
	.reach = 3,
	.strides = {3, 2, 1},
	.first = -12,
	.step = 0.75f,
	.n_divisors = 18,
};
static const struct affine_shape q2_K_shape = {
	.groups = 16,
	.n = 16,
	.top = 3,
	.fine = 15,
	.reach = 1,
	.strides = {1, 1, 1},
	.first = -4,
	.step = 0.25f,
	.n_divisors = 22,
};
static const struct symmetric_shape q6_K_shape = {
	.groups = 16,
	.n = 16,
	.low = -32,
	.high = 31,
	.n_steps = 6,
	.step = 0.25f,
	.fine_low = -128,
	.fine = 127,
	.divisor_step = 2,
	.n_divisors = 9,
	.reach = 5,
	.strides = {5, 3, 1},
};
static const struct symmetric_shape q3_K_shape = {
	.groups = 16,
	.n = 16,
	.low = -4,
	.high = 3,
	.n_steps = 12,
	.step = 0.1f,
	.fine_low = -32,
	.fine = 31,
	.divisor_step = 0.5f,
	.n_divisors = 17,
	.reach = 2,
	.strides = {3, 2, 1},
};
static const struct symmetric_shape iq4_xs_shape = {
	.groups = 8,
	.n = 32,
	.iq4 = true,
	.low = -127,
	.high = 113,
	.n_steps = 6,
	.step = 2,
	.fine_low = -32,
	.fine = 31,
	.divisor_step = 0.5f,
	.n_divisors = 17,
	.reach = 2,
	.strides = {3, 2, 1},
};
static const struct symmetric_shape iq4_nl_shape = {
	.groups = 1,
	.n = 32,
	.iq4 = true,
	.low = -127,
	.high = 113,
	.n_steps = 6,
	.step = 2,
	.reach = 3,
	.strides = {3, 2, 1},
};

static const struct symmetric_shape q2_0_shape = {
	.groups = 1,
	.n = 64,
	.low = -1,
	.high = 2,
	.n_steps = 8,
	.step = 0.25f,
	.reach = 2,
	.strides = {2, 1},
};

static void affine_kscales(const struct affine_block *found, struct qc_kscales *scales)
{
	qc_kscales_pack(found->sc, found->m, scales->packed);
	qc_put_f16(scales->d, found->d);
	qc_put_f16(scales->dmin, found->dmin);
}

static void q4_K_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_q4_K *block = (struct qc_block_q4_K *)trials;
	struct affine_found found;
	struct affine_block b;

	affine_search(s, &q4_K_shape, &found);
	for (size_t k = 0; k < count; k++, block++) {
		affine_take(s->rows + k * 256, &q4_K_shape, &found, k, &b);
		affine_kscales(&b, &block->scales);
		qc_pack_nibbles256(b.codes, block->q);
	}
}

static void q5_K_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_q5_K *block = (struct qc_block_q5_K *)trials;
	struct affine_found found;
	struct affine_block b;

	affine_search(s, &q5_K_shape, &found);
	for (size_t k = 0; k < count; k++, block++) {
		affine_take(s->rows + k * 256, &q5_K_shape, &found, k, &b);
		affine_kscales(&b, &block->scales);
		qc_q5_K_pack(b.codes, block);
	}
}

static void q2_K_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_q2_K *block = (struct qc_block_q2_K *)trials;
	struct affine_found found;
	struct affine_block b;

	affine_search(s, &q2_K_shape, &found);
	for (size_t k = 0; k < count; k++, block++) {
		affine_take(s->rows + k * 256, &q2_K_shape, &found, k, &b);
		qc_put_f16(block->d, b.d);
		qc_put_f16(block->dmin, b.dmin);
		for (int g = 0; g < 16; g++)
			block->scales[g] = (uint8_t)(b.sc[g] | b.m[g] << 4);
		qc_pack_pairs256(b.codes, block->q);
	}
}

static void q6_K_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_q6_K *block = (struct qc_block_q6_K *)trials;
	struct symmetric_found found;
	struct symmetric_block b;
	uint8_t codes[256];

	symmetric_search(s, &q6_K_shape, &found);
	for (size_t k = 0; k < count; k++, block++) {
		symmetric_take(&q6_K_shape, &found, k, &b);
		qc_put_f16(block->d, b.d);
		for (int g = 0; g < 16; g++) {
			block->scales[g] = (int8_t)b.sc[g];
			symmetric_codes(s->rows + k * 256 + 16 * g, &q6_K_shape, b.scale[g],
					codes + 16 * g);
		}
		qc_q6_K_pack(codes, block);
	}
}

static void q3_K_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_q3_K *block = (struct qc_block_q3_K *)trials;
	struct symmetric_found found;
	struct symmetric_block b;
	uint8_t codes[256], sc[16];

	symmetric_search(s, &q3_K_shape, &found);
	for (size_t k = 0; k < count; k++, block++) {
		symmetric_take(&q3_K_shape, &found, k, &b);
		qc_put_f16(block->d, b.d);
		for (int g = 0; g < 16; g++) {
			sc[g] = (uint8_t)(b.sc[g] + 32);
			symmetric_codes(s->rows + k * 256 + 16 * g, &q3_K_shape, b.scale[g],
					codes + 16 * g);
		}
		qc_q3_K_pack_scales(sc, block->scales);
		qc_q3_K_pack(codes, block);
	}
}

static void iq4_xs_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_iq4_xs *block = (struct qc_block_iq4_xs *)trials;
	struct symmetric_found found;
	struct symmetric_block b;
	uint8_t codes[32];

	symmetric_search(s, &iq4_xs_shape, &found);
	for (size_t k = 0; k < count; k++, block++) {
		unsigned high = 0, low = 0;

		symmetric_take(&iq4_xs_shape, &found, k, &b);
		qc_put_f16(block->d, b.d);
		for (int g = 0; g < 8; g++) {
			qc_iq4_codes(s->rows + k * 256 + 32 * g, b.scale[g], codes);
			qc_pack_nibbles(codes, block->q + 16 * g);
			low |= (unsigned)((b.sc[g] + 32) & 15) << (4 * g);
			high |= (unsigned)(b.sc[g] + 32) >> 4 << (2 * g);
		}
		qc_put_le32(block->scales_low, low);
		qc_put_le16(block->scales_high, (uint16_t)high);
	}
}

static void iq4_nl_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_iq4_nl *block = (struct qc_block_iq4_nl *)trials;
	uint8_t codes[32];
	float d[LANES];

	lanes_store(d, symmetric_search_one(s, &iq4_nl_shape));
	for (size_t k = 0; k < count; k++, block++) {
		qc_iq4_codes(s->rows + k * 32, d[k], codes);
		qc_put_f16(block->d, d[k]);
		qc_pack_nibbles(codes, block->q);
	}
}

static void tq2_0_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_tq2_0 *block = (struct qc_block_tq2_0 *)trials;
	uint8_t codes[256];
	float d[LANES];

	lanes_store(d, threshold_search(s));
	for (size_t k = 0; k < count; k++, block++) {
		threshold_codes(s->rows + k * 256, d[k], codes);
		qc_put_f16(block->d, d[k]);
		qc_pack_pairs256(codes, block->q);
	}
}

static void tq1_0_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_tq1_0 *block = (struct qc_block_tq1_0 *)trials;
	uint8_t codes[256];
	float d[LANES];

	lanes_store(d, threshold_search(s));
	for (size_t k = 0; k < count; k++, block++) {
		threshold_codes(s->rows + k * 256, d[k], codes);
		qc_put_f16(block->d, d[k]);
		qc_tq1_0_pack(codes, block);
	}
}

static void q2_0_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_q2_0 *block = (struct qc_block_q2_0 *)trials;
	uint8_t codes[64];
	float d[LANES];

	lanes_store(d, symmetric_search_one(s, &q2_0_shape));
	for (size_t k = 0; k < count; k++, block++) {
		symmetric_codes(s->rows + k * 64, &q2_0_shape, d[k], codes);
		qc_put_f16(block->d, d[k]);
		qc_q2_0_pack(codes, block);
	}
}

static void q2_K_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_q2_K, q2_K_propose, SUPER_EVEN, x, dst, rows, cols, weight);
}

static void q3_K_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_q3_K, q3_K_propose, SUPER_FLAT, x, dst, rows, cols, weight);
}

static void q4_K_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_q4_K, q4_K_propose, SUPER_FLAT, x, dst, rows, cols, weight);
}

static void q5_K_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_q5_K, q5_K_propose, SUPER_FLAT, x, dst, rows, cols, weight);
}

static void q6_K_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_q6_K, q6_K_propose, SUPER_FLAT, x, dst, rows, cols, weight);
}

static void iq4_xs_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_iq4_xs, iq4_xs_propose, SUPER_FLAT, x, dst, rows, cols, weight);
}

static void iq4_nl_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_iq4_nl, iq4_nl_propose, SUPER_FLAT, x, dst, rows, cols, weight);
}

static void tq1_0_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_tq1_0, tq1_0_propose, SUPER_STEEP, x, dst, rows, cols, weight);
}

static void tq2_0_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_tq2_0, tq2_0_propose, SUPER_STEEP, x, dst, rows, cols, weight);
}

static void q2_0_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_q2_0, q2_0_propose, SUPER_STEEP, x, dst, rows, cols, weight);
}

#endif
