/*
 * f16: IEEE binary16, little endian. Rounded to nearest even; 65520 and above become infinities.
 */
#include "base/bytes.h"
#include "quant/half.h"
#include "quant/types.h"

static void f16_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	uint8_t *out = dst;

	(void)weight;
	for (size_t n = rows * cols; n > 0; n--, out += 2)
		qc_put_le16(out, qc_f32_to_f16(*x++));
}

static void f16_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 2)
		*x++ = qc_f16_to_f32(qc_le16(in));
}

/* An exponent of all ones is an infinity or a NaN. */
static size_t f16_check(const void *src, size_t n_blocks)
{
	const uint8_t *in = src;

	for (size_t i = 0; i < n_blocks; i++)
		if ((qc_le16(in + 2 * i) & 0x7c00) == 0x7c00)
			return i;
	return n_blocks;
}

const struct qc_qtype qc_f16 = {
	.name = "f16",
	.block_elems = 1,
	.block_bytes = 2,
	.is_float = true,
	.quantize = f16_quantize,
	.dequantize = f16_dequantize,
	.check = f16_check,
	.words = {{0, 2, 1}},
};
