/*
 * bf16: the upper half of a binary32, little endian. Rounded to nearest even.
 */
#include "base/bytes.h"
#include "quant/half.h"
#include "quant/types.h"

static void bf16_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	uint8_t *out = dst;

	(void)weight;
	for (size_t n = rows * cols; n > 0; n--, out += 2)
		qc_put_le16(out, qc_f32_to_bf16(*x++));
}

static void bf16_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 2)
		*x++ = qc_bf16_to_f32(qc_le16(in));
}

/* An exponent of all ones is an infinity or a NaN. */
static size_t bf16_check(const void *src, size_t n_blocks)
{
	const uint8_t *in = src;

	for (size_t i = 0; i < n_blocks; i++)
		if ((qc_le16(in + 2 * i) & 0x7f80) == 0x7f80)
			return i;
	return n_blocks;
}

const struct qc_qtype qc_bf16 = {
	.name = "bf16",
	.block_elems = 1,
	.block_bytes = 2,
	.is_float = true,
	.quantize = bf16_quantize,
	.dequantize = bf16_dequantize,
	.check = bf16_check,
	.words = {{0, 2, 1}},
};
