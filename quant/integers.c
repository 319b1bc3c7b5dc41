/*
 * Integers, little endian, and bool (a byte, 0 or not). They are copied as they are; decoding
 * rounds to the nearest f32. Nothing quantizes to them.
 */
#include "base/bytes.h"
#include "quant/types.h"

static void i8_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 1)
		*x++ = (float)(int8_t)*in;
}

static void i16_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 2)
		*x++ = (float)(int16_t)qc_le16(in);
}

static void i32_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 4)
		*x++ = (float)(int32_t)qc_le32(in);
}

static void i64_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 8)
		*x++ = (float)(int64_t)qc_le64(in);
}

static void u8_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 1)
		*x++ = (float)*in;
}

static void u16_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 2)
		*x++ = (float)qc_le16(in);
}

static void u32_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 4)
		*x++ = (float)qc_le32(in);
}

static void u64_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in += 8)
		*x++ = (float)qc_le64(in);
}

static void bool_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *in = src;

	for (; n_blocks > 0; n_blocks--, in++)
		*x++ = *in != 0;
}

const struct qc_qtype qc_i8 = {
	.name = "i8",
	.block_elems = 1,
	.block_bytes = 1,
	.is_integer = true,
	.dequantize = i8_dequantize,
};

const struct qc_qtype qc_i16 = {
	.name = "i16",
	.block_elems = 1,
	.block_bytes = 2,
	.is_integer = true,
	.dequantize = i16_dequantize,
	.words = {{0, 2, 1}},
};

const struct qc_qtype qc_i32 = {
	.name = "i32",
	.block_elems = 1,
	.block_bytes = 4,
	.is_integer = true,
	.dequantize = i32_dequantize,
	.words = {{0, 4, 1}},
};

const struct qc_qtype qc_i64 = {
	.name = "i64",
	.block_elems = 1,
	.block_bytes = 8,
	.is_integer = true,
	.dequantize = i64_dequantize,
	.words = {{0, 8, 1}},
};

const struct qc_qtype qc_u8 = {
	.name = "u8",
	.block_elems = 1,
	.block_bytes = 1,
	.is_integer = true,
	.dequantize = u8_dequantize,
};

const struct qc_qtype qc_u16 = {
	.name = "u16",
	.block_elems = 1,
	.block_bytes = 2,
	.is_integer = true,
	.dequantize = u16_dequantize,
	.words = {{0, 2, 1}},
};

const struct qc_qtype qc_u32 = {
	.name = "u32",
	.block_elems = 1,
	.block_bytes = 4,
	.is_integer = true,
	.dequantize = u32_dequantize,
	.words = {{0, 4, 1}},
};

const struct qc_qtype qc_u64 = {
	.name = "u64",
	.block_elems = 1,
	.block_bytes = 8,
	.is_integer = true,
	.dequantize = u64_dequantize,
	.words = {{0, 8, 1}},
};

const struct qc_qtype qc_bool = {
	.name = "bool",
	.block_elems = 1,
	.block_bytes = 1,
	.is_integer = true,
	.dequantize = bool_dequantize,
};
