/*
 * f32: IEEE binary32, little endian. Exact both ways.
 */
#include "base/bytes.h"
#include "quant/types.h"

static void f32_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	uint8_t *out = dst;

	(void)weight;
	for (size_t n = rows * cols; n > 0; n--, out += 4)
		qc_put_le32(out, qc_f32_bits(*x++));
}

static void f32_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 4)
		*x++ = qc_bits_f32(qc_le32(in));
}

/* An exponent of all ones is an infinity or a NaN. */
static size_t f32_check(const void *src, size_t n_blocks)
{
	const uint8_t *in = src;

	for (size_t i = 0; i < n_blocks; i++)
		if ((qc_le32(in + 4 * i) & 0x7f800000) == 0x7f800000)
			return i;
	return n_blocks;
}

const struct qc_qtype qc_f32 = {
	.name = "f32",
	.block_elems = 1,
	.block_bytes = 4,
	.is_float = true,
	.quantize = f32_quantize,
	.dequantize = f32_dequantize,
	.check = f32_check,
	.words = {{0, 4, 1}},
};
