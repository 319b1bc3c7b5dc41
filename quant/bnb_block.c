#include "quant/bnb_block.h"

#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "quant/bnb_rank.h"

enum { BLOCK = 64 };

static void encode(const struct qc_bnb4_kind *kind, bool search, const float *x, void *dst,
		   size_t rows, size_t cols, const float *weight)
{
	struct qc_block_bnb4 *block = dst;

	for (size_t row = 0; row < rows; row++)
		for (size_t col = 0; col < cols; col += BLOCK, x += BLOCK, block++) {
			float absmax;

			memset(block, 0, sizeof(*block));
			if (search)
				qc_bnb4_search(kind, x, BLOCK, BLOCK, weight ? weight + col : NULL,
					       block->q, &absmax);
			else
				qc_bnb4_encode(kind, x, BLOCK, BLOCK, block->q, &absmax);
			qc_put_le32(block->absmax, qc_f32_bits(absmax));
		}
}

static void nf4_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	encode(&qc_bnb_nf4, false, x, dst, rows, cols, weight);
}

static void nf4_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	encode(&qc_bnb_nf4, true, x, dst, rows, cols, weight);
}

static void fp4_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	encode(&qc_bnb_fp4, false, x, dst, rows, cols, weight);
}

static void fp4_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	encode(&qc_bnb_fp4, true, x, dst, rows, cols, weight);
}

static void decode(const struct qc_bnb4_kind *kind, const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_bnb4 *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		const float absmax = qc_bits_f32(qc_le32(block->absmax));

		for (int i = 0; i < BLOCK; i++)
			*x++ = kind->map[block->q[i / 2] >> (i % 2 ? 0 : 4) & 15] * absmax;
	}
}

static void nf4_dequantize(const void *src, float *x, size_t n_blocks)
{
	decode(&qc_bnb_nf4, src, x, n_blocks);
}

static void fp4_dequantize(const void *src, float *x, size_t n_blocks)
{
	decode(&qc_bnb_fp4, src, x, n_blocks);
}

static size_t check(const void *src, size_t n_blocks)
{
	const struct qc_block_bnb4 *block = src;

	for (size_t i = 0; i < n_blocks; i++)
		if (!isfinite(qc_bits_f32(qc_le32(block[i].absmax))))
			return i;
	return n_blocks;
}

/* nf4's codes ascend with their values. fp4's do not, and of its two zeros one is enough. */
static const float fp4_levels[15] = {
	-1,	      -0.6666667f,    -0.5f, -0.33333334f,  -0.25f,
	-0.16666667f, -0.0052083335f, 0,     0.0052083335f, 0.16666667f,
	0.25f,	      0.33333334f,    0.5f,  0.6666667f,    1};
static const uint8_t fp4_codes[15] = {11, 10, 13, 12, 15, 14, 9, 0, 1, 6, 7, 4, 5, 2, 3};

static void nf4_put(uint8_t *dst, const uint8_t *numbers)
{
	struct qc_block_bnb4 *block = (struct qc_block_bnb4 *)dst;

	for (int i = 0; i < BLOCK / 2; i++)
		block->q[i] = (uint8_t)(numbers[2 * i] << 4 | numbers[2 * i + 1]);
}

static void fp4_put(uint8_t *dst, const uint8_t *numbers)
{
	uint8_t codes[BLOCK];

	for (int i = 0; i < BLOCK; i++)
		codes[i] = fp4_codes[numbers[i]];
	nf4_put(dst, codes);
}

static void set(uint8_t *dst, uint32_t group, float scale, float offset)
{
	(void)group;
	(void)offset;
	if (isfinite(scale))
		qc_put_le32(((struct qc_block_bnb4 *)dst)->absmax, qc_f32_bits(scale));
}

float qc_bnb4_nest(struct qc_block_bnb4 *blocks, size_t n)
{
	struct qc_bnb_mean mean;
	float absmax[QC_BNB_NESTED], offset;

	qc_bnb_mean_init(&mean, n);
	for (size_t i = 0; i < n; i++) {
		absmax[0] = qc_bits_f32(qc_le32(blocks[i].absmax));
		qc_bnb_mean_add(&mean, absmax, 1);
	}
	offset = qc_bnb_mean_value(&mean);
	for (size_t at = 0; at < n; at += QC_BNB_NESTED) {
		const size_t m = n - at < QC_BNB_NESTED ? n - at : QC_BNB_NESTED;
		uint8_t codes[QC_BNB_NESTED];
		float nested;

		for (size_t i = 0; i < m; i++)
			absmax[i] = qc_bits_f32(qc_le32(blocks[at + i].absmax));
		qc_bnb8_encode_python(absmax, m, offset, codes, &nested);
		for (size_t i = 0; i < m; i++) {
			struct qc_block_bnb4 *block = &blocks[at + i];

			block->code = codes[i];
			qc_put_le32(block->nested, qc_f32_bits(nested));
			qc_put_le32(block->absmax,
				    qc_f32_bits(qc_bnb_absmax(codes[i], nested, offset)));
		}
	}
	return offset;
}

const struct qc_qtype qc_nf4_block = {
	.name = "nf4",
	.block_elems = BLOCK,
	.block_bytes = sizeof(struct qc_block_bnb4),
	.uses_imatrix = true,
	.quantize = nf4_quantize,
	.search = nf4_search,
	.dequantize = nf4_dequantize,
	.check = check,
};

const struct qc_qtype qc_fp4_block = {
	.name = "fp4",
	.block_elems = BLOCK,
	.block_bytes = sizeof(struct qc_block_bnb4),
	.uses_imatrix = true,
	.quantize = fp4_quantize,
	.search = fp4_search,
	.dequantize = fp4_dequantize,
	.check = check,
};

const struct qc_grid qc_grid_nf4 = {
	.type = &qc_nf4_block,
	.group = BLOCK,
	.n_levels = 16,
	.levels = qc_bnb_nf4.map,
	.put = nf4_put,
	.set = set,
};

const struct qc_grid qc_grid_fp4 = {
	.type = &qc_fp4_block,
	.group = BLOCK,
	.n_levels = 15,
	.levels = fp4_levels,
	.put = fp4_put,
	.set = set,
};
