/*
 * The SIMD variants of the super-block types against their definitions where their searches branch:
 * groups without weight, groups around the magnitude that counts as zero, far from zero, one scale
 * dwarfing the others, and importance that makes a fit leave the data's range. "quick": some of
 * these, for an emulated CPU.
 */
#include "tests/random.h"
#include "tests/test.h"

#include <math.h>
#include <stdint.h>

#include "quant/fast.h"
#include "quant/qtype.h"

enum {
	ROWS = 3,
	ROW_BLOCKS = 7,
	COLS = ROW_BLOCKS * 256,
	MAX_BYTES = ROWS * COLS * 2,
	ROUNDS = 12
};

/* -1 .. 1 */
static float random_unit(void)
{
	return (float)((int)random_below(1 << 24) - (1 << 23)) / (1 << 23);
}

/* Each gives element i of a row. */

static float x_plain(size_t i)
{
	(void)i;
	return random_unit();
}

/* Groups of 1e-14 to 1e-20: some count as zero. */
static float x_around_epsilon(size_t i)
{
	static const float magnitudes[] = {1e-14f, 2e-15f, 1e-15f, 5e-16f, 1e-16f, 1e-18f, 1e-20f};

	return random_unit() * magnitudes[i / 256 % 7 < 4 ? i / 256 % 7 : i / 16 % 7];
}

static float x_far_from_zero(size_t i)
{
	return -1000.0f * (float)(i / 256 + 1) + random_unit() * 1e-3f;
}

static float x_one_large_group(size_t i)
{
	return i / 16 % 16 == i / 256 % 16 ? random_unit() * 1e5f : random_unit();
}

static float x_group_exponents(size_t i)
{
	return ldexpf(random_unit(), (int)(i / 16 * 37 % 240) - 140);
}

static float x_few_values(size_t i)
{
	return i % 16 < 2 ? random_unit() : random_below(2) ? -0.0f : 0.0f;
}

static float x_negative(size_t i)
{
	return -fabsf(random_unit()) - (float)(i / 32 % 8) * 0.125f;
}

static float weight_none(size_t i)
{
	(void)i;
	return 0;
}

/* Whole groups without weight. */
static float weight_groups(size_t i)
{
	return i / 16 % 3 ? fabsf(random_unit()) : 0;
}

/* One to three values of a group decide. */
static float weight_few(size_t i)
{
	return random_below(12) ? 0 : fabsf(random_unit()) + (float)(i % 2);
}

static float weight_exponents(size_t i)
{
	return ldexpf(fabsf(random_unit()), (int)(i * 29 % 160) - 120);
}

typedef float element_fn(size_t i);

static element_fn *const values[] = {x_plain,		x_around_epsilon,  x_far_from_zero,
				     x_one_large_group, x_group_exponents, x_few_values,
				     x_negative};
static element_fn *const weights[] = {NULL, weight_none, weight_groups, weight_few,
				      weight_exponents};

enum {
	N_VALUES = sizeof(values) / sizeof(*values),
	N_WEIGHTS = sizeof(weights) / sizeof(*weights)
};

static float x[ROWS * COLS], weight[COLS];
static uint8_t expected[MAX_BYTES], got[MAX_BYTES];

static void compare(const struct qc_variant *v, int kind, int weight_kind)
{
	const float *w = weights[weight_kind] ? weight : NULL;
	size_t size = (size_t)ROWS * ROW_BLOCKS * v->type->block_bytes, at = 0;

	if (!w && v->type->needs_imatrix)
		return;
	v->type->quantize(x, expected, ROWS, COLS, w);
	v->quantize(x, got, ROWS, COLS, w);
	while (at < size && got[at] == expected[at])
		at++;
	CHECK(at == size, "%s %s, values %d, weights %d: block %zu byte %zu is %02x, not %02x",
	      v->type->name, qc_isa_name(v->isa), kind, weight_kind, at / v->type->block_bytes,
	      at % v->type->block_bytes, got[at % MAX_BYTES], expected[at % MAX_BYTES]);
}

/* One row: the definitions are slow. */
static void compare_search(const struct qc_search_variant *v, int kind, int weight_kind)
{
	const float *w = weights[weight_kind] ? weight : NULL;
	size_t size = (size_t)COLS / v->type->block_elems * v->type->block_bytes, at = 0;

	v->type->search(x, expected, 1, COLS, w);
	v->search(x, got, 1, COLS, w);
	while (at < size && got[at] == expected[at])
		at++;
	CHECK(at == size,
	      "search of %s %s, values %d, weights %d: block %zu byte %zu is %02x, not %02x",
	      v->type->name, qc_isa_name(v->isa), kind, weight_kind, at / v->type->block_bytes,
	      at % v->type->block_bytes, got[at % MAX_BYTES], expected[at % MAX_BYTES]);
}

static void the_searches_branch_like_the_definition(enum qc_isa cpu, bool quick)
{
	const int rounds = quick ? 1 : ROUNDS, step = quick ? 4 : 1;
	const struct qc_search_variant *search;
	const struct qc_variant *v;

	/* a step of 4 meets every kind of values and of weights */
	for (int n = 0; n < rounds * N_VALUES * N_WEIGHTS; n += step) {
		int kind = n % N_VALUES, weight_kind = n / N_VALUES % N_WEIGHTS;

		for (size_t i = 0; i < ROWS * COLS; i++)
			x[i] = values[kind](i);
		for (size_t i = 0; i < COLS && weights[weight_kind]; i++)
			weight[i] = weights[weight_kind](i);
		for (size_t i = 0; (v = qc_variant_at(i)); i++)
			if (v->type->block_elems == 256 && v->quantize && v->isa <= cpu)
				compare(v, kind, weight_kind);
		for (size_t i = 0; n < N_VALUES * N_WEIGHTS && (search = qc_search_variant_at(i));
		     i++)
			if (search->isa <= cpu)
				compare_search(search, kind, weight_kind);
	}
}

int main(int argc, char **argv)
{
	enum qc_isa cpu;
	bool known = qc_isa_detect(&cpu);

	CHECK(known, "QCONV_CPU names a level that this machine lacks");
	the_searches_branch_like_the_definition(cpu, argc > 1 && !strcmp(argv[1], "quick"));
	return test_end();
}
