/*
 * q8_0, q4_0, q4_1, q5_0 and q5_1 with LANES blocks at a time.
 *
 * The blocks' extremes are found together (extremes.h), so that one vector division gives all
 * scales; the codes are then made block by block, LANES elements in a vector. Every operation on an
 * element is the scalar definition's, in its order. What the definition must decide itself (a
 * reciprocal or a range that overflows, the blocks behind the last full group) is left to it.
 */
#ifndef QC_QUANT_LANES_LEGACY_KERNELS_H
#define QC_QUANT_LANES_LEGACY_KERNELS_H

#include "quant/lanes/extremes.h"
#include "quant/lanes/legacy_weighted.h"

#ifdef LANES_INLINE

#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/types.h"

/* The layout of the 4- and 5-bit types as a formula: { d, m if it has a minimum, high if it has
 * five bits, q }. */
LANES_INLINE size_t small_high_at(bool has_min)
{
	return has_min ? 4 : 2;
}

LANES_INLINE size_t small_q_at(bool has_min, bool five_bits)
{
	return small_high_at(has_min) + (five_bits ? 4 : 0);
}

LANES_INLINE size_t small_size(bool has_min, bool five_bits)
{
	return small_q_at(has_min, five_bits) + 16;
}

/* 1 / d, or 0 where d is zero. */
LANES_INLINE lanes reciprocal(lanes d)
{
	return lanes_select(lanes_eq(d, lanes_set(0)), lanes_set(0), lanes_set(1) / d);
}

/* Lanes whose magnitude is infinite. */
LANES_INLINE unsigned infinite(lanes v)
{
	return lanes_mask_bits(lanes_eq(lanes_abs(v), lanes_set(INFINITY)));
}

/* Let the definition write the blocks of `which`. */
static void group_redo(const struct qc_qtype *type, const float *x, uint8_t *dst, unsigned which)
{
	for (; which; which &= which - 1) {
		unsigned k = (unsigned)__builtin_ctz(which);

		type->quantize(x + k * 32, dst + k * type->block_bytes, 1, 32, NULL);
	}
}

/* roundf(x * id): half away from zero. Adding the largest float below a half and truncating is
 * exact, where adding a half would round 0.49999997 up. */
LANES_INLINE lanes_int q8_0_codes(const float *x, lanes id)
{
	lanes v = lanes_load(x) * id;

	return lanes_truncate(v + lanes_copysign(lanes_set(0x1.fffffep-2f), v));
}

LANES_INLINE void q8_0_group(const float *x, uint8_t *dst)
{
	lanes d = group_extremes(x, MAGNITUDE) / lanes_set(127), id = reciprocal(d);
	uint16_t d16[LANES];
	float ids[LANES];

	lanes_store_halves(d16, d);
	lanes_store(ids, id);
	for (int k = 0; k < LANES; k++) {
		uint8_t *block = dst + (size_t)k * sizeof(struct qc_block_q8_0);
		lanes scale = lanes_set(ids[k]);
		lanes_int q[32 / LANES];

		for (int i = 0; i < 32 / LANES; i++)
			q[i] = q8_0_codes(x + k * 32 + i * LANES, scale);
		memcpy(block, &d16[k], 2);
		bytes32_store(block + 2, lanes_pack_signed(q));
	}
	group_redo(&qc_q8_0, x, dst, infinite(id));
}

static void q8_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	size_t n_blocks = rows * cols / 32;
	uint8_t *out = dst;

	(void)weight; /* the definition has no use for it either */
	for (; n_blocks >= LANES;
	     n_blocks -= LANES, x += LANES * 32, out += LANES * sizeof(struct qc_block_q8_0))
		q8_0_group(x, out);
	qc_q8_0.quantize(x, out, 1, n_blocks * 32, NULL);
}

/* 32 codes: the truncated (x - min) * id + bias, or x * id + bias without a minimum, at most `top`.
 */
LANES_INLINE bytes32 small_codes(const float *x, bool has_min, lanes min, lanes id, float bias,
				 int top)
{
	lanes_int q[32 / LANES];

	for (int i = 0; i < 32 / LANES; i++) {
		lanes v = lanes_load(x + i * LANES);

		if (has_min)
			v = v - min;
		q[i] = lanes_truncate(v * id + lanes_set(bias));
	}
	return bytes32_min(lanes_pack_signed(q), top);
}

/* Codes j and j + 16 share byte j; bit 4 of code j is bit j of `high`. */
LANES_INLINE void small_pack(bytes32 codes, uint8_t *high, uint8_t *q, bool five_bits)
{
	if (five_bits) {
		qc_put_le32(high, bytes32_fifth_bits(codes));
		codes = bytes32_low4(codes);
	}
	bytes16_store(q, bytes16_nibbles(bytes32_first(codes), bytes32_last(codes)));
}

/* The types differ in has_min and five_bits only, constants where this is inlined. */
LANES_INLINE void small_group(const struct qc_qtype *type, const float *x, uint8_t *dst,
			      bool has_min, bool five_bits)
{
	const int top = five_bits ? 31 : 15;
	const float bias = has_min ? 0.5f : (float)top / 2 + 1;
	lanes min = lanes_set(0), d, id;
	uint16_t d16[LANES], m16[LANES];
	float ids[LANES], mins[LANES];

	if (has_min) {
		min = group_minima(x);
		/* abs: where the definition takes 0 - 0 both are the same zero, which gives +0 */
		d = lanes_abs(group_extremes(x, LARGEST) - min) / lanes_set((float)top);
		lanes_store_halves(m16, min);
		lanes_store(mins, min);
	} else {
		d = group_peaks(x) / lanes_set(five_bits ? -16 : -8);
	}
	id = reciprocal(d);
	lanes_store_halves(d16, d);
	lanes_store(ids, id);
	for (int k = 0; k < LANES; k++) {
		uint8_t *block = dst + (size_t)k * small_size(has_min, five_bits);
		bytes32 codes;

		memcpy(block, &d16[k], 2);
		if (has_min) {
			memcpy(block + 2, &m16[k], 2);
			min = lanes_set(mins[k]);
		}
		codes = small_codes(x + k * 32, has_min, min, lanes_set(ids[k]), bias, top);
		small_pack(codes, block + small_high_at(has_min),
			   block + small_q_at(has_min, five_bits), five_bits);
	}
	group_redo(type, x, dst, infinite(id) | infinite(d));
}

/* One batch of blocks whose search is done. */
LANES_INLINE void small_put_batch(const struct weighted_batch *b, uint8_t *dst, bool has_min,
				  bool five_bits)
{
	const int levels = five_bits ? 32 : 16;

	for (size_t k = 0; k < b->n; k++, dst += small_size(has_min, five_bits)) {
		bytes32 codes = weighted_codes(b, k, has_min ? 0 : -levels / 2,
					       has_min ? levels - 1 : levels / 2 - 1);

		qc_put_f16(dst, b->d[k]);
		if (has_min)
			qc_put_f16(dst + 2, b->m[k]);
		small_pack(codes, dst + small_high_at(has_min),
			   dst + small_q_at(has_min, five_bits), five_bits);
	}
}

LANES_INLINE void small_weighted(const struct qc_qtype *type, const float *x, uint8_t *dst,
				 size_t rows, size_t cols, const float *weight, bool has_min,
				 bool five_bits)
{
	size_t row = SIZE_MAX;
	float sigma2 = 0;

	for (size_t at = 0; at < rows * cols; at += WEIGHTED_BATCH) {
		uint8_t *out = dst + at / 32 * small_size(has_min, five_bits);
		struct weighted_batch b;

		weighted_batch_init(&b, x, at, rows * cols, cols, weight, &row, &sigma2);
		if (!has_min) {
			weighted_symmetric(&b, five_bits ? 16 : 8);
		} else if (!weighted_affine(&b, five_bits ? 31 : 15)) {
			/* whole rows: the weights come from a row's variance */
			type->quantize(x, dst, rows, cols, weight);
			return;
		}
		small_put_batch(&b, out, has_min, five_bits);
	}
}

LANES_INLINE void small_quantize(const struct qc_qtype *type, const float *x, void *dst,
				 size_t rows, size_t cols, const float *weight, bool has_min,
				 bool five_bits)
{
	size_t n_blocks = rows * cols / 32;
	uint8_t *out = dst;

	if (weight) {
		small_weighted(type, x, dst, rows, cols, weight, has_min, five_bits);
		return;
	}
	for (; n_blocks >= LANES;
	     n_blocks -= LANES, x += LANES * 32, out += LANES * small_size(has_min, five_bits))
		small_group(type, x, out, has_min, five_bits);
	type->quantize(x, out, 1, n_blocks * 32, NULL);
}

static void q4_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	small_quantize(&qc_q4_0, x, dst, rows, cols, weight, false, false);
}

static void q4_1_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	small_quantize(&qc_q4_1, x, dst, rows, cols, weight, true, false);
}

static void q5_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	small_quantize(&qc_q5_0, x, dst, rows, cols, weight, false, true);
}

static void q5_1_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	small_quantize(&qc_q5_1, x, dst, rows, cols, weight, true, true);
}

LANES_INLINE lanes half_broadcast(const uint8_t *p)
{
	int16_t h;

	memcpy(&h, p, 2);
	return lanes_set_half(h);
}

static void q8_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q8_0 *block = src;

	for (; n_blocks; n_blocks--, block++, x += 32) {
		lanes d = half_broadcast(block->d), v[32 / LANES];

		lanes_from_signed(bytes32_load(block->q), v);
#pragma GCC unroll 8
		for (int i = 0; i < 32 / LANES; i++)
			lanes_store(x + i * LANES, v[i] * d);
	}
}

LANES_INLINE void small_dequantize(const void *src, float *x, size_t n_blocks, bool has_min,
				   bool five_bits)
{
	const uint8_t *block = src;

	for (; n_blocks; n_blocks--, block += small_size(has_min, five_bits), x += 32) {
		lanes d = half_broadcast(block), m = lanes_set(0), v[32 / LANES];
		bytes16 q = bytes16_load(block + small_q_at(has_min, five_bits));
		bytes32 codes = bytes32_join(bytes16_low4(q), bytes16_high4(q));

		if (five_bits)
			codes = bytes32_or(codes, bytes32_of_fifth_bits(
							  qc_le32(block + small_high_at(has_min))));
		if (has_min)
			m = half_broadcast(block + 2);
		lanes_from_signed(bytes32_subtract(codes, has_min ? 0 : five_bits ? 16 : 8), v);
#pragma GCC unroll 8
		for (int i = 0; i < 32 / LANES; i++)
			lanes_store(x + i * LANES, has_min ? v[i] * d + m : v[i] * d);
	}
}

static void q4_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	small_dequantize(src, x, n_blocks, false, false);
}

static void q4_1_dequantize(const void *src, float *x, size_t n_blocks)
{
	small_dequantize(src, x, n_blocks, true, false);
}

static void q5_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	small_dequantize(src, x, n_blocks, false, true);
}

static void q5_1_dequantize(const void *src, float *x, size_t n_blocks)
{
	small_dequantize(src, x, n_blocks, true, true);
}

#endif
#endif
