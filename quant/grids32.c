/* Grids of types with blocks of 32 and of 4-bit floats. */
#include "quant/grid_types.h"

#include <math.h>

#include "quant/block32.h"
#include "quant/blocks.h"
#include "quant/e4m3.h"
#include "quant/search_fp4.h"
#include "quant/types.h"

#define COUNT8(n) n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7
#define COUNT64(n)                                                                                 \
	COUNT8(n), COUNT8(n + 8), COUNT8(n + 16), COUNT8(n + 24), COUNT8(n + 32), COUNT8(n + 40),  \
		COUNT8(n + 48), COUNT8(n + 56)

const float qc_counting[64] = {COUNT64(0)};
static const float from_minus_8[16] = {COUNT8(-8), COUNT8(0)};
static const float from_minus_16[32] = {COUNT8(-16), COUNT8(-8), COUNT8(0), COUNT8(8)};
/* 127 is the last: -128 is no code of the reference */
static const float from_minus_127[255] = {
	COUNT64(-127), COUNT64(-63), COUNT64(1),  COUNT8(65),  COUNT8(73), COUNT8(81),
	COUNT8(89),    COUNT8(97),   COUNT8(105), COUNT8(113), 121,	   122,
	123,	       124,	     125,	  126,	       127};
const float qc_e2m1_levels[15] = {-6, -4, -3, -2, -1.5f, -1, -0.5f, 0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
const uint8_t qc_e2m1_level_codes[15] = {15, 14, 13, 12, 11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7};

const float qc_iq4_grid_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
				      1,    13,	  25,  38,  53,	 69,  89,  113};

static void q4_0_put(uint8_t *block, const uint8_t *numbers)
{
	qc_pack_nibbles(numbers, ((struct qc_block_q4_0 *)block)->q);
}

/* The types that begin with one f16. */
static void scale_set(uint8_t *block, uint32_t group, float scale, float offset)
{
	(void)group;
	(void)offset;
	qc_grid_set_f16(block, scale);
}

static void q4_1_put(uint8_t *block, const uint8_t *numbers)
{
	qc_pack_nibbles(numbers, ((struct qc_block_q4_1 *)block)->q);
}

/* The types that begin with a scale and a minimum. */
static void line_set(uint8_t *block, uint32_t group, float scale, float offset)
{
	(void)group;
	qc_grid_set_f16(block, scale);
	qc_grid_set_f16(block + 2, offset);
}

static void q5_0_put(uint8_t *dst, const uint8_t *numbers)
{
	struct qc_block_q5_0 *block = (struct qc_block_q5_0 *)dst;

	qc_pack_nibbles(numbers, block->q);
	qc_pack_fifth_bits(numbers, block->high);
}

static void q5_1_put(uint8_t *dst, const uint8_t *numbers)
{
	struct qc_block_q5_1 *block = (struct qc_block_q5_1 *)dst;

	qc_pack_nibbles(numbers, block->q);
	qc_pack_fifth_bits(numbers, block->high);
}

static void q8_0_put(uint8_t *dst, const uint8_t *numbers)
{
	struct qc_block_q8_0 *block = (struct qc_block_q8_0 *)dst;

	for (int i = 0; i < 32; i++)
		block->q[i] = (int8_t)(numbers[i] - 127);
}

static void e2m1_codes(const uint8_t *numbers, int n, uint8_t *codes)
{
	for (int i = 0; i < n; i++)
		codes[i] = qc_e2m1_level_codes[numbers[i]];
}

static void mxfp4_put(uint8_t *dst, const uint8_t *numbers)
{
	uint8_t codes[32];

	e2m1_codes(numbers, 32, codes);
	qc_pack_nibbles(codes, ((struct qc_block_mxfp4 *)dst)->q);
}

/* The power of two nearest on a logarithmic scale. */
static void mxfp4_set(uint8_t *dst, uint32_t group, float scale, float offset)
{
	(void)group;
	(void)offset;
	if (scale > 0 && isfinite(scale))
		*dst = (uint8_t)qc_clamp((int)lrintf(log2f(scale)) + 127, 0, 254);
}

static void nvfp4_put(uint8_t *dst, const uint8_t *numbers)
{
	struct qc_block_nvfp4 *block = (struct qc_block_nvfp4 *)dst;
	uint8_t codes[64];

	e2m1_codes(numbers, 64, codes);
	for (int g = 0; g < 4; g++)
		qc_group_pack(true, codes + 16 * g, 16, block->q + 8 * g);
}

static void nvfp4_set(uint8_t *dst, uint32_t group, float scale, float offset)
{
	(void)offset;
	if (scale >= 0)
		((struct qc_block_nvfp4 *)dst)->d[group] = qc_f32_to_e4m3_saturated(scale);
}

const struct qc_grid qc_grid_q4_0 = {
	.type = &qc_q4_0,
	.group = 32,
	.n_levels = 16,
	.levels = from_minus_8,
	.put = q4_0_put,
	.set = scale_set,
};

const struct qc_grid qc_grid_q4_1 = {
	.type = &qc_q4_1,
	.group = 32,
	.n_levels = 16,
	.levels = qc_counting,
	.put = q4_1_put,
	.set = line_set,
	.has_offset = true,
};

const struct qc_grid qc_grid_q5_0 = {
	.type = &qc_q5_0,
	.group = 32,
	.n_levels = 32,
	.levels = from_minus_16,
	.put = q5_0_put,
	.set = scale_set,
};

const struct qc_grid qc_grid_q5_1 = {
	.type = &qc_q5_1,
	.group = 32,
	.n_levels = 32,
	.levels = qc_counting,
	.put = q5_1_put,
	.set = line_set,
	.has_offset = true,
};

const struct qc_grid qc_grid_q8_0 = {
	.type = &qc_q8_0,
	.group = 32,
	.n_levels = 255,
	.levels = from_minus_127,
	.put = q8_0_put,
	.set = scale_set,
};

const struct qc_grid qc_grid_iq4_nl = {
	.type = &qc_iq4_nl,
	.group = 32,
	.n_levels = 16,
	.levels = qc_iq4_grid_levels,
	.put = q4_0_put, /* the same layout */
	.set = scale_set,
};

const struct qc_grid qc_grid_mxfp4 = {
	.type = &qc_mxfp4,
	.group = 32,
	.n_levels = 15,
	.levels = qc_e2m1_levels,
	.put = mxfp4_put,
	.set = mxfp4_set,
};

const struct qc_grid qc_grid_nvfp4 = {
	.type = &qc_nvfp4,
	.group = 16,
	.n_levels = 15,
	.levels = qc_e2m1_levels,
	.put = nvfp4_put,
	.set = nvfp4_set,
};
