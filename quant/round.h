/*
 * The roundings that decide codes, and scales as f16 fields. Each is defined for every float, where
 * the reference casts out-of-range floats (undefined in C), and in plain f32 arithmetic, so that
 * vector code can repeat it bit by bit.
 */
#ifndef QC_QUANT_ROUND_H
#define QC_QUANT_ROUND_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "quant/half.h"

_Static_assert(FLT_EVAL_METHOD == 0,
	       "f32 expressions must be evaluated as f32 (on 32-bit x86: -msse2 -mfpmath=sse)");

/* `x` toward zero; 0 for NaN and for what no int32 holds, which is what x86's conversion leaves in
 * the low byte. */
static inline int qc_truncate(float x)
{
	return fabsf(x) < 0x1p31f ? (int)x : 0;
}

/* `x` to the nearest integer, halves away from zero (as roundf); the rest as qc_truncate(). x -
 * (float)t is exact. */
static inline int qc_round_away(float x)
{
	int t = qc_truncate(x);
	float rest = fabsf(x) < 0x1p31f ? x - (float)t : 0;

	return t + (rest >= 0.5f) - (rest <= -0.5f);
}

/*
 * `x` to the nearest integer, halves to even, for |x| < 2^22: adding 1.5 * 2^23 leaves the integer
 * in the mantissa. Beyond that range the low 23 bits are kept, as the reference does: infinities
 * give -2^22, and a NaN that arithmetic made (its payload is the quiet bit alone on x86, ARM,
 * POWER, RISC-V and z/Architecture) gives 0.
 */
static inline int qc_nearest(float x)
{
	return (int)(qc_f32_bits(x + 12582912.0f) & 0x7fffff) - 0x400000;
}

static inline int qc_clamp(int x, int low, int high)
{
	return x < low ? low : x > high ? high : x;
}

/* Store `x` as a little-endian f16. The sign of a NaN that arithmetic made depends on the CPU:
 * always x86's (minus). */
static inline void qc_put_f16(uint8_t field[2], float x)
{
	qc_put_le16(field, x != x ? 0xfe00 : qc_f32_to_f16(x));
}

static inline float qc_get_f16(const uint8_t field[2])
{
	return qc_f16_to_f32(qc_le16(field));
}

/* qc_check_fn's answer for blocks of `block_bytes` in which `count` consecutive f16 fields from
 * `offset` on must be finite. */
static inline size_t qc_check_f16(const void *src, size_t n_blocks, size_t block_bytes,
				  size_t offset, size_t count)
{
	const uint8_t *field = (const uint8_t *)src + offset;

	for (size_t i = 0; i < n_blocks; i++, field += block_bytes)
		for (size_t k = 0; k < count; k++)
			if ((qc_le16(field + 2 * k) & 0x7c00) == 0x7c00)
				return i;
	return n_blocks;
}

#endif
