/* Grids of types with blocks of 256. Their groups' scales are small integers times the block's own
 * scale, which stays. */
#include "quant/grid_types.h"

#include <math.h>

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/kpack.h"
#include "quant/kscale.h"
#include "quant/q3_k.h"
#include "quant/types.h"

#define COUNT8(n) n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7

static const float from_minus_4[8] = {COUNT8(-4)};
static const float from_minus_32[64] = {COUNT8(-32), COUNT8(-24), COUNT8(-16), COUNT8(-8),
					COUNT8(0),   COUNT8(8),	  COUNT8(16),  COUNT8(24)};

/* x in units of d, within low .. high; `old` where there are no units. */
static int in_units(float x, float d, int low, int high, int old)
{
	const float units = x / d;

	if (!isfinite(units))
		return old;
	return units <= (float)low ? low : units >= (float)high ? high : (int)lrintf(units);
}

static void kscales_set(struct qc_kscales *k, uint32_t group, float scale, float offset)
{
	uint8_t scales[8], mins[8];

	for (int g = 0; g < 8; g++)
		qc_kscales_get(k->packed, g, &scales[g], &mins[g]);
	scales[group] = (uint8_t)in_units(scale, qc_get_f16(k->d), 0, 63, scales[group]);
	mins[group] = (uint8_t)in_units(-offset, qc_get_f16(k->dmin), 0, 63, mins[group]);
	qc_kscales_pack(scales, mins, k->packed);
}

static void q4_K_put(uint8_t *block, const uint8_t *numbers)
{
	qc_pack_nibbles256(numbers, ((struct qc_block_q4_K *)block)->q);
}

static void q4_K_set(uint8_t *block, uint32_t group, float scale, float offset)
{
	kscales_set(&((struct qc_block_q4_K *)block)->scales, group, scale, offset);
}

static void q5_K_put(uint8_t *dst, const uint8_t *numbers)
{
	qc_q5_K_pack(numbers, (struct qc_block_q5_K *)dst);
}

static void q5_K_set(uint8_t *block, uint32_t group, float scale, float offset)
{
	kscales_set(&((struct qc_block_q5_K *)block)->scales, group, scale, offset);
}

static void q6_K_put(uint8_t *dst, const uint8_t *numbers)
{
	qc_q6_K_pack(numbers, (struct qc_block_q6_K *)dst);
}

static void q6_K_set(uint8_t *dst, uint32_t group, float scale, float offset)
{
	struct qc_block_q6_K *block = (struct qc_block_q6_K *)dst;

	(void)offset;
	block->scales[group] =
		(int8_t)in_units(scale, qc_get_f16(block->d), -128, 127, block->scales[group]);
}

static void q3_K_put(uint8_t *dst, const uint8_t *numbers)
{
	qc_q3_K_pack(numbers, (struct qc_block_q3_K *)dst);
}

static void q3_K_set(uint8_t *dst, uint32_t group, float scale, float offset)
{
	struct qc_block_q3_K *block = (struct qc_block_q3_K *)dst;
	int8_t scales[16];
	uint8_t codes[16];

	(void)offset;
	qc_q3_K_scales(block, scales);
	scales[group] = (int8_t)in_units(scale, qc_get_f16(block->d), -32, 31, scales[group]);
	for (int g = 0; g < 16; g++)
		codes[g] = (uint8_t)(scales[g] + 32);
	qc_q3_K_pack_scales(codes, block->scales);
}

static void q2_K_put(uint8_t *dst, const uint8_t *numbers)
{
	qc_pack_pairs256(numbers, ((struct qc_block_q2_K *)dst)->q);
}

static void q2_K_set(uint8_t *dst, uint32_t group, float scale, float offset)
{
	struct qc_block_q2_K *block = (struct qc_block_q2_K *)dst;
	const int old = block->scales[group];
	const int sc = in_units(scale, qc_get_f16(block->d), 0, 15, old & 15);
	const int m = in_units(-offset, qc_get_f16(block->dmin), 0, 15, old >> 4);

	block->scales[group] = (uint8_t)(sc | m << 4);
}

static void iq4_xs_put(uint8_t *dst, const uint8_t *numbers)
{
	struct qc_block_iq4_xs *block = (struct qc_block_iq4_xs *)dst;

	for (int g = 0; g < 8; g++)
		qc_pack_nibbles(numbers + 32 * g, block->q + 16 * g);
}

static void iq4_xs_set(uint8_t *dst, uint32_t group, float scale, float offset)
{
	struct qc_block_iq4_xs *block = (struct qc_block_iq4_xs *)dst;
	unsigned high = qc_le16(block->scales_high), low = qc_le32(block->scales_low);
	const unsigned old = (low >> (4 * group) & 15) | (high >> (2 * group) & 3) << 4;
	unsigned code;

	(void)offset;
	code = (unsigned)(in_units(scale, qc_get_f16(block->d), -32, 31, (int)old - 32) + 32);
	low = (low & ~(15u << (4 * group))) | (code & 15) << (4 * group);
	high = (high & ~(3u << (2 * group))) | code >> 4 << (2 * group);
	qc_put_le32(block->scales_low, low);
	qc_put_le16(block->scales_high, (uint16_t)high);
}

const struct qc_grid qc_grid_q2_K = {
	.type = &qc_q2_K,
	.group = 16,
	.n_levels = 4,
	.levels = qc_counting,
	.put = q2_K_put,
	.set = q2_K_set,
	.has_offset = true,
};

const struct qc_grid qc_grid_q3_K = {
	.type = &qc_q3_K,
	.group = 16,
	.n_levels = 8,
	.levels = from_minus_4,
	.put = q3_K_put,
	.set = q3_K_set,
};

const struct qc_grid qc_grid_q4_K = {
	.type = &qc_q4_K,
	.group = 32,
	.n_levels = 16,
	.levels = qc_counting,
	.put = q4_K_put,
	.set = q4_K_set,
	.has_offset = true,
};

const struct qc_grid qc_grid_q5_K = {
	.type = &qc_q5_K,
	.group = 32,
	.n_levels = 32,
	.levels = qc_counting,
	.put = q5_K_put,
	.set = q5_K_set,
	.has_offset = true,
};

const struct qc_grid qc_grid_q6_K = {
	.type = &qc_q6_K,
	.group = 16,
	.n_levels = 64,
	.levels = from_minus_32,
	.put = q6_K_put,
	.set = q6_K_set,
};

const struct qc_grid qc_grid_iq4_xs = {
	.type = &qc_iq4_xs,
	.group = 32,
	.n_levels = 16,
	.levels = qc_iq4_grid_levels,
	.put = iq4_xs_put,
	.set = iq4_xs_set,
};
