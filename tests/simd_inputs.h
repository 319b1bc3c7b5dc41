/* Runs of floats that are difficult in one way each, for the tests of SIMD variants. */
#ifndef QC_TESTS_SIMD_INPUTS_H
#define QC_TESTS_SIMD_INPUTS_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "tests/random.h"

enum { CHUNK = 32 };

/* Each fills CHUNK floats with one kind of difficulty. */

static inline void fill_normal(float *x)
{
	for (int i = 0; i < CHUNK; i++)
		x[i] = random_normal() / 16;
}

static inline void fill_heavy_tailed(float *x)
{
	for (int i = 0; i < CHUNK; i++) {
		float a = random_normal();
		x[i] = a * a * a * a * a / 4;
	}
}

/* Weights of a bf16 checkpoint: many equal magnitudes. */
static inline void fill_bf16(float *x)
{
	for (int i = 0; i < CHUNK; i++)
		x[i] = qc_bits_f32(qc_f32_bits(random_normal()) & 0xffff0000);
}

static inline void fill_denormal(float *x)
{
	uint32_t shift = random_below(23);

	for (int i = 0; i < CHUNK; i++)
		x[i] = qc_bits_f32(random_bits() & (0x807fffff >> shift | 0x80000000));
}

/* Around 2^-149 to 2^-110: scales that are zero, denormal, or have no finite reciprocal. */
static inline void fill_tiny(float *x)
{
	int exponent = -149 + (int)random_below(40);

	for (int i = 0; i < CHUNK; i++)
		x[i] = ldexpf(random_normal(), exponent);
}

static inline void fill_huge(float *x)
{
	int exponent = 10 + (int)random_below(117);

	for (int i = 0; i < CHUNK; i++)
		x[i] = ldexpf(random_normal() / 2, exponent);
	if (random_below(4) == 0)
		x[random_below(CHUNK)] = random_below(2) ? FLT_MAX : -FLT_MAX;
}

/* Any finite float. */
static inline void fill_any_bits(float *x)
{
	for (int i = 0; i < CHUNK; i++) {
		uint32_t bits = random_bits();
		x[i] = qc_bits_f32((bits & 0x7f800000) == 0x7f800000 ? bits ^ 0x40000000 : bits);
	}
}

/* The scale comes out as a power of two, the values fall on or one float beside the halves between
 * codes. */
static inline void fill_halves(float *x)
{
	static const float tops[] = {127, 127, 7.5f, 15, 8, 16, 31, 15.5f};
	uint32_t n_tops = sizeof(tops) / sizeof(*tops);
	float top = tops[random_below(n_tops)], scale = ldexpf(1, (int)random_below(20) - 10);

	for (int i = 0; i < CHUNK; i++) {
		int steps = (int)(4 * top);
		float v = (float)((int)random_below((uint32_t)steps + 1) - steps / 2) / 2 * scale;
		uint32_t beside = random_below(4);
		x[i] = beside == 0   ? nextafterf(v, -FLT_MAX)
		       : beside == 1 ? nextafterf(v, FLT_MAX)
				     : v;
		if (fabsf(x[i]) > top * scale)
			x[i] = v;
	}
	x[random_below(CHUNK)] = random_below(2) ? top * scale : -top * scale;
}

/* Small integers: both signs of the largest magnitude. */
static inline void fill_grid(float *x)
{
	uint32_t top = 1 + random_below(8);

	for (int i = 0; i < CHUNK; i++)
		x[i] = (float)((int)random_below(2 * top + 1) - (int)top);
}

static inline void fill_signed_zeros(float *x)
{
	for (int i = 0; i < CHUNK; i++)
		x[i] = random_below(2) ? 0.0f : -0.0f;
}

static inline void fill_zeros(float *x)
{
	memset(x, 0, CHUNK * sizeof(*x));
}

/* No negative value, or no positive one, and zeros of both signs. */
static inline void fill_one_sided(float *x)
{
	float sign = random_below(2) ? 1.0f : -1.0f;

	for (int i = 0; i < CHUNK; i++)
		x[i] = random_below(3)	 ? sign * fabsf(random_normal())
		       : random_below(2) ? 0.0f
					 : -0.0f;
}

static inline void fill_constant(float *x)
{
	float v = random_normal();

	for (int i = 0; i < CHUNK; i++)
		x[i] = v;
}

static inline void fill_one_hot(float *x)
{
	fill_signed_zeros(x);
	x[random_below(CHUNK)] = random_normal();
}

static inline void fill_offset(float *x)
{
	float offset = 100 * random_normal();

	for (int i = 0; i < CHUNK; i++)
		x[i] = offset + random_normal();
}

static inline void fill_mixed(float *x);

static const struct kind {
	const char *name;
	void (*fill)(float *x);
} kinds[] = {
	{"mixed", fill_mixed}, /* first: fill_mixed() picks among the others */
	{"normal", fill_normal},     {"heavy-tailed", fill_heavy_tailed},
	{"bf16", fill_bf16},	     {"denormal", fill_denormal},
	{"tiny", fill_tiny},	     {"huge", fill_huge},
	{"any bits", fill_any_bits}, {"halves", fill_halves},
	{"grid", fill_grid},	     {"signed zeros", fill_signed_zeros},
	{"zeros", fill_zeros},	     {"one-sided", fill_one_sided},
	{"constant", fill_constant}, {"one-hot", fill_one_hot},
	{"offset", fill_offset},
};

enum { N_KINDS = sizeof(kinds) / sizeof(*kinds) };

static inline void fill_mixed(float *x)
{
	kinds[1 + random_below(N_KINDS - 1)].fill(x);
}

#endif
