/* What the tests of searches share: blocks of many kinds, and the comparison of what two encodings
 * decode to, block by block. */
#ifndef QC_TESTS_SEARCH_INPUTS_H
#define QC_TESTS_SEARCH_INPUTS_H

#include <math.h>
#include <stdint.h>

#include "base/bytes.h"
#include "tests/random.h"
#include "tests/test.h"

enum { ROWS = 8, COLS = 1024, ELEMS = ROWS * COLS, MAX_BYTES = 2 * ELEMS };

static float values[ELEMS], importance[ELEMS], before[ELEMS], after[ELEMS];
static uint8_t reference[MAX_BYTES], searched[MAX_BYTES];
/*
 * Each fills a run of values with one kind of block.
 */
typedef void fill_fn(float *out, int n);

static void fill_weights(float *out, int n)
{
	for (int i = 0; i < n; i++)
		out[i] = random_normal() * 0.02f;
}

static void fill_heavy(float *out, int n)
{
	for (int i = 0; i < n; i++) {
		float a = random_normal();

		out[i] = a * a * a * a * a;
	}
}

static void fill_bf16(float *out, int n)
{
	for (int i = 0; i < n; i++)
		out[i] = qc_bits_f32(qc_f32_bits(random_normal()) & 0xffff0000);
}

static void fill_offset(float *out, int n)
{
	float offset = 8 * random_normal();

	for (int i = 0; i < n; i++)
		out[i] = offset + random_normal();
}

static void fill_sparse(float *out, int n)
{
	for (int i = 0; i < n; i++)
		out[i] = random_bits() % 8 ? (random_bits() & 1 ? 0.0f : -0.0f) : random_normal();
}

/* Multiples of one step: many codes at once are exact. */
static void fill_lattice(float *out, int n)
{
	int low = -(int)(random_bits() % 17), high = (int)(random_bits() % 16), exponent;
	float step = 1 + (float)(random_bits() % 1024) / 1024;

	exponent = (int)(random_bits() % 20) - 16;
	for (int i = 0; i < n; i++)
		out[i] = ldexpf(
			step * (float)(low + (int)(random_bits() % (unsigned)(high - low + 1))),
			exponent);
}

static void fill_constant(float *out, int n)
{
	float value = random_bits() % 3 ? random_normal() : 0;

	for (int i = 0; i < n; i++)
		out[i] = value;
}

static void fill_any_exponent(float *out, int n)
{
	int exponent = (int)(random_bits() % 250) - 140;

	for (int i = 0; i < n; i++)
		out[i] = ldexpf(random_normal(), exponent);
}

static void fill_any_bits(float *out, int n)
{
	for (int i = 0; i < n; i++) {
		uint32_t bits = random_bits();

		out[i] = qc_bits_f32((bits & 0x7f800000) == 0x7f800000 ? bits ^ 0x40000000 : bits);
	}
}

static fill_fn *const fills[] = {fill_weights, fill_weights, fill_heavy,	fill_bf16,
				 fill_offset,  fill_sparse,  fill_any_exponent, fill_any_bits,
				 fill_lattice, fill_constant};

enum { N_FILLS = sizeof(fills) / sizeof(fills[0]) };

/* Fresh values and importance; a quarter of the importance is zero. */
static void fill_all(uint64_t seed)
{
	random_state = seed;
	for (int i = 0; i < ELEMS; i += 64)
		fills[random_bits() % N_FILLS](values + i, 64);
	for (int i = 0; i < ELEMS; i++)
		importance[i] = random_bits() % 4 ? fabsf(random_normal()) : 0;
}

static double squared_error(const float *in, const float *out, const float *weight, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		double error = (double)in[i] - out[i];

		sum += (weight ? weight[i] : 1) * (error * error);
	}
	return sum;
}

struct tally {
	size_t blocks, better;
	double before, after;
};

/* Blocks of `block` values from `first` on: before[] against after[]. */
static void compare(const char *what, struct tally *tally, const float *in, const float *weight,
		    size_t n, size_t block)
{
	for (size_t i = 0; i < n; i += block) {
		size_t part = n - i < block ? n - i : block;
		const float *w = weight ? weight + i : NULL;
		double old = squared_error(in + i, before + i, w, part);
		double now = squared_error(in + i, after + i, w, part);

		/* sums in another order than the search's */
		CHECK(now <= old * (1 + 1e-12) || old != old,
		      "%s: block %zu: error %.17g, the reference's %.17g", what, i / block, now,
		      old);
		tally->blocks++;
		tally->better += now < old || (old != old && now == now);
	}
}

#endif
