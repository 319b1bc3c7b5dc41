/*
 * One lane, in plain C: the searches that are written for vectors of floats (quant/lanes/lanes.h),
 * compiled for a vector of one, are their own definition. lanes_avx512.h comments the functions.
 */
#ifndef QC_QUANT_LANES_LANES_ONE_H
#define QC_QUANT_LANES_LANES_ONE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/fast.h"
#include "quant/half.h"

#define LANES_ONE
#define LANES_INLINE static inline

enum { LANES = 1 };
static const enum qc_isa lanes_isa = QC_ISA_SCALAR;
typedef float lanes;
typedef int32_t lanes_int;
typedef bool lanes_mask;

LANES_INLINE lanes lanes_set(float v)
{
	return v;
}

LANES_INLINE lanes lanes_load(const float *p)
{
	return *p;
}

LANES_INLINE void lanes_store(float *p, lanes v)
{
	*p = v;
}

LANES_INLINE lanes lanes_min(lanes a, lanes b)
{
	return a < b ? a : b;
}

LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
	return a > b ? a : b;
}

LANES_INLINE lanes lanes_abs(lanes v)
{
	return fabsf(v);
}

LANES_INLINE lanes lanes_sqrt(lanes v)
{
	return sqrtf(v);
}

LANES_INLINE float lanes_least(lanes v)
{
	return v;
}

LANES_INLINE lanes lanes_half(lanes v)
{
	return qc_f16_to_f32(qc_f32_to_f16(v));
}

LANES_INLINE lanes_mask lanes_lt(lanes a, lanes b)
{
	return a < b;
}

LANES_INLINE lanes_mask lanes_eq(lanes a, lanes b)
{
	return a == b;
}

LANES_INLINE lanes_mask lanes_and(lanes_mask a, lanes_mask b)
{
	return a && b;
}

LANES_INLINE lanes_mask lanes_or(lanes_mask a, lanes_mask b)
{
	return a || b;
}

LANES_INLINE lanes_mask lanes_not(lanes_mask a)
{
	return !a;
}

LANES_INLINE int lanes_any(lanes_mask m)
{
	return m;
}

LANES_INLINE lanes lanes_select(lanes_mask m, lanes a, lanes b)
{
	return m ? a : b;
}

LANES_INLINE lanes_int lanes_int_set(int v)
{
	return v;
}

LANES_INLINE lanes_int lanes_int_add_unless(lanes_mask m, lanes_int v, int add)
{
	return m ? v : v + add;
}

LANES_INLINE lanes_int lanes_int_right(lanes_int v, int bits)
{
	return v >> bits;
}

LANES_INLINE lanes_int lanes_from_u16(const uint16_t *p)
{
	return *p;
}

struct lanes_table {
	float entry[16];
};

LANES_INLINE struct lanes_table lanes_table_load(const float *p)
{
	struct lanes_table table;

	for (int i = 0; i < 16; i++)
		table.entry[i] = p[i];
	return table;
}

LANES_INLINE lanes lanes_look_up(const struct lanes_table *table, lanes_int index)
{
	return table->entry[index & 15];
}

LANES_INLINE void lanes_columns(const float *row, size_t n, lanes *column)
{
	for (size_t i = 0; i < n; i++)
		column[i] = row[i];
}

/* See quant/x86/lanes_avx512.h. */
LANES_INLINE void lanes_error_sums(const float *x, const float *y, const float *weight, size_t n,
				   double sums[8])
{
	for (int k = 0; k < 8; k++)
		sums[k] = 0;
	for (size_t i = 0; i < n; i += 8) {
		for (size_t k = 0; k < 8; k++) {
			double e = (double)x[i + k] - y[i + k];

			sums[k] += e * e * weight[i + k];
		}
	}
}

#endif
