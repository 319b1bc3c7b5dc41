/*
 * f64: IEEE binary64, little endian. Quantizing is exact; decoding rounds to nearest even, and
 * beyond f32 gives an infinity.
 */
#include "base/bytes.h"
#include "quant/types.h"

static void f64_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	uint8_t *out = dst;

	(void)weight;
	for (size_t n = rows * cols; n > 0; n--, out += 8)
		qc_put_le64(out, qc_f64_bits(*x++));
}

static void f64_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 8)
		*x++ = (float)qc_bits_f64(qc_le64(in));
}

/* An exponent of all ones is an infinity or a NaN. */
static size_t f64_check(const void *src, size_t n_blocks)
{
	const uint8_t *in = src;

	for (size_t i = 0; i < n_blocks; i++)
		if ((qc_le64(in + 8 * i) & 0x7ff0000000000000) == 0x7ff0000000000000)
			return i;
	return n_blocks;
}

const struct qc_qtype qc_f64 = {
	.name = "f64",
	.block_elems = 1,
	.block_bytes = 8,
	.is_float = true,
	.quantize = f64_quantize,
	.dequantize = f64_dequantize,
	.check = f64_check,
	.words = {{0, 8, 1}},
};
