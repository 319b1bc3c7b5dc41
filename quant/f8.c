/*
 * One-byte floats as checkpoints hold them, and f4: two E2M1 values in a byte, the first in the low
 * nibble. Decoding is exact (the formulas are in f8.h). Nothing quantizes to them by themselves:
 * their scales live in other tensors.
 */
#include "quant/f8.h"
#include "quant/types.h"

typedef float decode_fn(uint8_t code);

static inline void decode_bytes(const uint8_t *in, float *x, size_t n, decode_fn *decode)
{
	for (; n > 0; n--)
		*x++ = decode(*in++);
}

/* qc_check_fn's answer: the first byte that is not a finite number. */
static inline size_t check_bytes(const uint8_t *in, size_t n, decode_fn *decode)
{
	for (size_t i = 0; i < n; i++)
		if (!isfinite(decode(in[i])))
			return i;
	return n;
}

static void f8_e4m3_dequantize(const void *src, float *x, size_t n_blocks)
{
	decode_bytes(src, x, n_blocks, qc_e4m3_to_f32);
}

static size_t f8_e4m3_check(const void *src, size_t n_blocks)
{
	return check_bytes(src, n_blocks, qc_e4m3_to_f32);
}

static void f8_e5m2_dequantize(const void *src, float *x, size_t n_blocks)
{
	decode_bytes(src, x, n_blocks, qc_e5m2_to_f32);
}

static size_t f8_e5m2_check(const void *src, size_t n_blocks)
{
	return check_bytes(src, n_blocks, qc_e5m2_to_f32);
}

static void f8_e8m0_dequantize(const void *src, float *x, size_t n_blocks)
{
	decode_bytes(src, x, n_blocks, qc_e8m0_to_f32);
}

static size_t f8_e8m0_check(const void *src, size_t n_blocks)
{
	return check_bytes(src, n_blocks, qc_e8m0_to_f32);
}

static void f8_e4m3fnuz_dequantize(const void *src, float *x, size_t n_blocks)
{
	decode_bytes(src, x, n_blocks, qc_e4m3fnuz_to_f32);
}

static size_t f8_e4m3fnuz_check(const void *src, size_t n_blocks)
{
	return check_bytes(src, n_blocks, qc_e4m3fnuz_to_f32);
}

static void f8_e5m2fnuz_dequantize(const void *src, float *x, size_t n_blocks)
{
	decode_bytes(src, x, n_blocks, qc_e5m2fnuz_to_f32);
}

static size_t f8_e5m2fnuz_check(const void *src, size_t n_blocks)
{
	return check_bytes(src, n_blocks, qc_e5m2fnuz_to_f32);
}

static void f4_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in++) {
		*x++ = qc_e2m1_to_f32(*in & 15);
		*x++ = qc_e2m1_to_f32(*in >> 4);
	}
}

const struct qc_qtype qc_f8_e4m3 = {
	.name = "f8_e4m3",
	.block_elems = 1,
	.block_bytes = 1,
	.dequantize = f8_e4m3_dequantize,
	.check = f8_e4m3_check,
};

const struct qc_qtype qc_f8_e5m2 = {
	.name = "f8_e5m2",
	.block_elems = 1,
	.block_bytes = 1,
	.dequantize = f8_e5m2_dequantize,
	.check = f8_e5m2_check,
};

const struct qc_qtype qc_f8_e8m0 = {
	.name = "f8_e8m0",
	.block_elems = 1,
	.block_bytes = 1,
	.dequantize = f8_e8m0_dequantize,
	.check = f8_e8m0_check,
};

const struct qc_qtype qc_f8_e4m3fnuz = {
	.name = "f8_e4m3fnuz",
	.block_elems = 1,
	.block_bytes = 1,
	.dequantize = f8_e4m3fnuz_dequantize,
	.check = f8_e4m3fnuz_check,
};

const struct qc_qtype qc_f8_e5m2fnuz = {
	.name = "f8_e5m2fnuz",
	.block_elems = 1,
	.block_bytes = 1,
	.dequantize = f8_e5m2fnuz_dequantize,
	.check = f8_e5m2fnuz_check,
};

const struct qc_qtype qc_f4 = {
	.name = "f4",
	.block_elems = 2,
	.block_bytes = 1,
	.dequantize = f4_dequantize,
};
