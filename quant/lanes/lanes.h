/*
 * What kernels are written in, once for every ISA: vectors of floats with one sub-block per lane,
 * the same names for NEON (4 lanes), AVX2 (8) and AVX-512 (16). A sum that scalar C runs over the
 * elements of a sub-block is then vertical, in the same order and with the same roundings. Plain
 * operators (+ - * /) work on `lanes`. Besides, for codes in storage order, vectors of 16 and 32
 * bytes, and `quad` and `octet`, of 4 and 8 floats.
 *
 * Empty when the compilation targets none of these.
 */
#ifndef QC_QUANT_LANES_LANES_H
#define QC_QUANT_LANES_LANES_H

#include "quant/arm/lanes_neon.h"
#include "quant/x86/lanes_avx2.h"
#include "quant/x86/lanes_avx512.h"

#ifdef LANES_INLINE

LANES_INLINE lanes_int lanes_int_add(lanes_int v, int add)
{
	return lanes_int_sum(v, lanes_int_set(add));
}

LANES_INLINE lanes_int lanes_int_clamp(lanes_int v, int low, int high)
{
	return lanes_int_min(lanes_int_max(v, low), high);
}

/* Lane i holds first + i. */
LANES_INLINE lanes_int lanes_int_count(int first)
{
	static const int32_t place[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

	return lanes_int_add(lanes_int_load(place), first);
}

/* qc_nearest(), for any v */
LANES_INLINE lanes_int lanes_nearest(lanes v)
{
	lanes_int bits = lanes_bits(v + lanes_set(12582912.0f));

	return lanes_int_add(lanes_int_and(bits, 0x7fffff), -0x400000);
}

LANES_INLINE struct lanes_table lanes_table_load(const float *p)
{
	struct lanes_table table;

	for (int i = 0; i < 16; i += LANES)
		table.part[i / LANES] = lanes_load(p + i);
	return table;
}

/* column[i] = element i of LANES consecutive groups of n values. */
LANES_INLINE void lanes_columns(const float *row, size_t n, lanes *column)
{
	for (size_t i = 0; i < n; i += LANES)
		lanes_transpose(row + i, n, column + i);
}

/* The sums of the squares of four super-blocks of 256: sequential sums, one in each element. */
static inline quad lanes_square_sums(const float *x)
{
	quad sum = quad_set(0);

	for (size_t i = 0; i < 256; i += 4) {
		quad column[4];

		quad_transpose(x + i, 256, column);
		sum += column[0] * column[0];
		sum += column[1] * column[1];
		sum += column[2] * column[2];
		sum += column[3] * column[3];
	}
	return sum;
}

/* The low two bits of the bytes of q[0], q[1], q[2] and q[3], the first lowest. */
LANES_INLINE bytes32 bytes32_four_twos(const bytes32 q[4])
{
	bytes32 three = bytes32_set(3);
	bytes32 low = bytes32_twos(bytes32_and(q[0], three), bytes32_and(q[1], three));
	bytes32 high = bytes32_twos(bytes32_and(q[2], three), bytes32_and(q[3], three));

	return bytes32_nibbles(low, high);
}

#endif
#endif
