/*
 * Every SIMD variant that this CPU can run equals its type's scalar definition, byte for byte.
 * "quick": small shapes once, for an emulated CPU.
 */
#include "tests/test.h"

#include <float.h>
#include <math.h>
#include <stdint.h>

#include "base/bytes.h"
#include "quant/fast.h"
#include "quant/qtype.h"
#include "tests/simd_inputs.h"

enum { MAX_ELEMS = 65536, MAX_BYTES = MAX_ELEMS * 8, GUARD = 64 };

static enum qc_isa cpu; /* what this machine has */
static bool quick;
static uint64_t blocks_compared;

/* Rows, blocks in a row. */
static const size_t shapes[][2] = {{1, 1},  {3, 1},  {1, 5},  {2, 8},	{7, 3},	  {1, 16},  {5, 17},
				   {9, 13}, {1, 64}, {33, 8}, {17, 31}, {1, 517}, {64, 16}, {3, 0}};

enum { N_SHAPES = sizeof(shapes) / sizeof(*shapes) };

static float *floats, *decoded, *expected_floats;
static uint8_t *bytes, *expected;

static bool variant_runs(const struct qc_variant *v)
{
	return v->isa <= cpu;
}

/* One shape, one kind, all variants of `type`. */
static void compare_quantize(const struct qc_qtype *type, const struct kind *kind, size_t rows,
			     size_t row_blocks, const float *weight)
{
	/* odd offsets: nothing may rely on alignment */
	float *x = floats + random_below(4);
	uint8_t *dst = bytes + random_below(4);
	size_t cols = row_blocks * type->block_elems, size = rows * row_blocks * type->block_bytes;
	const struct qc_variant *v;

	for (size_t i = 0; i < rows * cols; i += CHUNK)
		kind->fill(x + i);
	memset(expected, 0xa5, size);
	type->quantize(x, expected, rows, cols, weight);
	memset(expected + size, 0x5a, GUARD);
	for (size_t i = 0; (v = qc_variant_at(i)); i++) {
		size_t at = 0;

		if (v->type != type || !v->quantize || !variant_runs(v))
			continue;
		memset(dst, 0x5a, size + GUARD);
		v->quantize(x, dst, rows, cols, weight);
		while (at < size + GUARD && dst[at] == expected[at])
			at++;
		CHECK(at == size + GUARD,
		      "%s %s, %s, %zu x %zu, %s: byte %zu (block %zu byte %zu) is %02x, not %02x",
		      type->name, qc_isa_name(v->isa), kind->name, rows, cols,
		      weight ? "weighted" : "plain", at, at / type->block_bytes,
		      at % type->block_bytes, dst[at], expected[at]);
		blocks_compared += rows * row_blocks;
	}
}

/* Quantizing costs the definition a microsecond a value in some types: fewer rounds for larger
 * blocks. */
static void quantizes_like_the_definition(const struct qc_qtype *type)
{
	size_t rounds = type->block_elems >= 256 ? 3 : type->block_elems >= 32 ? 8 : 12;
	static float weight[MAX_ELEMS];

	for (size_t i = 0; i < MAX_ELEMS; i++)
		weight[i] = random_below(8) ? fabsf(random_normal()) : 0;
	for (size_t round = 0; round < (quick ? 1 : rounds); round++) {
		for (size_t k = 0; k < N_KINDS; k++) {
			for (size_t s = 0; s < N_SHAPES; s++) {
				size_t n = shapes[s][0] * shapes[s][1];
				if (n * type->block_elems > (quick ? MAX_ELEMS / 8 : MAX_ELEMS) ||
				    (type->block_elems >= 256 && n > 130))
					continue;
				if (!type->needs_imatrix)
					compare_quantize(type, &kinds[k], shapes[s][0],
							 shapes[s][1], NULL);
				if (type->uses_imatrix && n <= 64)
					compare_quantize(type, &kinds[k], shapes[s][0],
							 shapes[s][1], weight);
			}
		}
	}
}

/* Equal bits; in arithmetic types a NaN is any NaN (which one comes out of a NaN scale is not C's
 * to say). */
static bool same_float(const struct qc_qtype *type, float a, float b)
{
	return qc_f32_bits(a) == qc_f32_bits(b) || (!type->is_float && isnan(a) && isnan(b));
}

/* `n_blocks` blocks at src. */
static void compare_dequantize(const struct qc_qtype *type, const uint8_t *src, size_t n_blocks)
{
	size_t n = n_blocks * type->block_elems;
	const struct qc_variant *v;

	type->dequantize(src, expected_floats, n_blocks);
	for (size_t i = 0; (v = qc_variant_at(i)); i++) {
		float *x = decoded + random_below(4);
		size_t at = 0;

		if (v->type != type || !v->dequantize || !variant_runs(v))
			continue;
		memset(x, 0x5a, (n + GUARD) * sizeof(*x));
		v->dequantize(src, x, n_blocks);
		while (at < n && same_float(type, x[at], expected_floats[at]))
			at++;
		CHECK(at == n, "%s %s, %zu blocks: value %zu is %a, not %a", type->name,
		      qc_isa_name(v->isa), n_blocks, at, (double)x[at],
		      (double)expected_floats[at]);
		for (at = n; at < n + GUARD && qc_f32_bits(x[at]) == 0x5a5a5a5a;)
			at++;
		CHECK(at == n + GUARD, "%s %s, %zu blocks: wrote behind the end, at value %zu",
		      type->name, qc_isa_name(v->isa), n_blocks, at);
		blocks_compared += n_blocks;
	}
}

static void dequantizes_like_the_definition(const struct qc_qtype *type)
{
	for (int round = 0; round < (quick ? 20 : 60); round++) {
		uint8_t *src = bytes + random_below(4);
		size_t n_blocks = round < 20 ? (size_t)round
					     : random_below(MAX_ELEMS / type->block_elems + 1);

		for (size_t i = 0; i < n_blocks * type->block_bytes; i++)
			src[i] = (uint8_t)random_bits();
		compare_dequantize(type, src, n_blocks);
	}
}

static void converts_every_16_bit_pattern(const struct qc_qtype *type)
{
	for (uint32_t i = 0; i < 65536; i++)
		qc_put_le16(bytes + 2 * i, (uint16_t)i);
	compare_dequantize(type, bytes, 65536);
}

static void fill_pattern(float *x)
{
	static const uint32_t low_halves[] = {0,      1,      0x7ff,  0x800,  0xfff,  0x1000,
					      0x1001, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000,
					      0x8001, 0xefff, 0xf000, 0xffff};
	static uint32_t next;

	for (int i = 0; i < CHUNK; i++, next++)
		x[i] = qc_bits_f32((next >> 4 & 0xffff) << 16 | low_halves[next & 15]);
}

/* All upper halves of a float, NaN and infinity too, with lower halves on and around every rounding
 * border. */
static void rounds_every_upper_half(const struct qc_qtype *type)
{
	static const struct kind patterns = {"patterns", fill_pattern};

	for (int i = 0; i < 16; i++)
		compare_quantize(type, &patterns, 16, 65536 / 16 / type->block_elems, NULL);
}

static void every_variant_equals_its_definition(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		const struct qc_variant *v;
		bool quantizes = false, dequantizes = false;

		for (size_t i = 0; (v = qc_variant_at(i)); i++) {
			if (v->type != *t || !variant_runs(v))
				continue;
			quantizes |= v->quantize != NULL;
			dequantizes |= v->dequantize != NULL;
		}
		if (quantizes)
			quantizes_like_the_definition(*t);
		if (dequantizes)
			dequantizes_like_the_definition(*t);
		if (dequantizes && (*t)->is_float && (*t)->block_bytes == 2)
			converts_every_16_bit_pattern(*t);
		if (quantizes && (*t)->is_float)
			rounds_every_upper_half(*t);
	}
	CHECK(quick || cpu == QC_ISA_SCALAR || blocks_compared >= 1000000,
	      "compared %llu blocks, not a million", (unsigned long long)blocks_compared);
}

static void every_variant_row_is_complete(void)
{
	const struct qc_variant *v, *w;

	for (size_t i = 0; (v = qc_variant_at(i)); i++) {
		CHECK(qc_qtype_find(v->type->name) == v->type, "%s is not registered",
		      v->type->name);
		CHECK(v->isa != QC_ISA_SCALAR, "%s: a variant of level scalar", v->type->name);
		CHECK(v->quantize || v->dequantize, "%s %s: an empty row", v->type->name,
		      qc_isa_name(v->isa));
		CHECK(!v->quantize || v->type->quantize, "%s: a variant without a definition",
		      v->type->name);
		CHECK(!v->dequantize || v->type->dequantize, "%s: a variant without a definition",
		      v->type->name);
		for (size_t j = 0; j < i; j++) {
			w = qc_variant_at(j);
			CHECK(w->type != v->type || w->isa != v->isa ||
				      !(w->quantize && v->quantize),
			      "%s %s is listed twice", v->type->name, qc_isa_name(v->isa));
		}
	}
}

static void the_best_allowed_variant_is_chosen(void)
{
	const struct qc_variant *v;

	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		CHECK(qc_fast_quantize(*t, QC_ISA_SCALAR) == (*t)->quantize, "%s: scalar is masked",
		      (*t)->name);
		CHECK(qc_fast_dequantize(*t, QC_ISA_SCALAR) == (*t)->dequantize,
		      "%s: scalar is masked", (*t)->name);
	}
	for (size_t i = 0; (v = qc_variant_at(i)); i++) {
		if (v->quantize)
			CHECK(qc_fast_quantize(v->type, v->isa) == v->quantize,
			      "%s at %s is not its own variant", v->type->name,
			      qc_isa_name(v->isa));
		if (v->dequantize)
			CHECK(qc_fast_dequantize(v->type, v->isa) == v->dequantize,
			      "%s at %s is not its own variant", v->type->name,
			      qc_isa_name(v->isa));
	}
}

static void qconv_cpu_masks_what_the_cpu_has(void)
{
	static const char *const absent[] = {"sse9", "AVX2", "avx", "avx2 ", "avx5122", "0", " "};
	enum qc_isa isa = QC_ISA_SCALAR;

	setenv("QCONV_CPU", "", 1);
	CHECK(qc_isa_detect(&isa) && isa == cpu, "empty: %s, not %s", qc_isa_name(isa),
	      qc_isa_name(cpu));
	for (size_t i = 0; i < sizeof(absent) / sizeof(*absent); i++) {
		setenv("QCONV_CPU", absent[i], 1);
		isa = QC_ISA_SCALAR;
		CHECK(!qc_isa_detect(&isa) && isa == cpu, "'%s' was accepted, or gave %s",
		      absent[i], qc_isa_name(isa));
	}
	for (int level = QC_ISA_SCALAR; level <= QC_ISA_AVX512; level++) {
		bool has = level == QC_ISA_SCALAR || level == (int)cpu ||
			   (level == QC_ISA_AVX2 && cpu == QC_ISA_AVX512);
		setenv("QCONV_CPU", qc_isa_name((enum qc_isa)level), 1);
		CHECK(qc_isa_detect(&isa) == has && (int)isa == (has ? level : (int)cpu),
		      "%s on a CPU with %s gave %s", qc_isa_name((enum qc_isa)level),
		      qc_isa_name(cpu), qc_isa_name(isa));
	}
	unsetenv("QCONV_CPU");
}

static void the_first_nonfinite_value_is_found(void)
{
	static const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000,
				       0xffc00000, 0x7f800001, 0xffffffff};
	enum { N = 1100 };

	for (size_t i = 0; i < N + 4;
	     i++) /* the largest finite floats, denormals and zeros must not alarm */
		floats[i] = i % 3 == 0	 ? FLT_MAX
			    : i % 3 == 1 ? -FLT_MAX
					 : qc_bits_f32(random_bits() & 0x807fffff);
	for (size_t n = 0; n <= N; n += n < 40 ? 1 : 53) {
		float *x = floats + random_below(4);

		CHECK(qc_first_nonfinite(x, n) == n, "%zu finite values: found one at %zu", n,
		      qc_first_nonfinite(x, n));
		for (size_t i = 0; i < n; i++) {
			float old = x[i], old_last = x[n - 1], value = qc_bits_f32(bad[i % 6]);
			size_t found;

			x[n - 1] = qc_bits_f32(bad[(i + 1) % 6]);
			memcpy(&x[i], &value, sizeof(value));
			found = qc_first_nonfinite(x, n);
			x[n - 1] = old_last;
			x[i] = old;
			CHECK(found == i, "%zu values: the first is at %zu, found at %zu", n, i,
			      found);
		}
		x[n] = INFINITY; /* behind the end */
		CHECK(qc_first_nonfinite(x, n) == n, "%zu values: looked behind the end", n);
		x[n] = 1;
	}
}

int main(int argc, char **argv)
{
	quick = argc > 1 && !strcmp(argv[1], "quick");
	unsetenv("QCONV_CPU");
	NEED(qc_isa_detect(&cpu), "no level although QCONV_CPU is not set");
	floats = malloc((MAX_ELEMS + 2 * GUARD) * sizeof(*floats));
	decoded = malloc((MAX_ELEMS + 2 * GUARD) * sizeof(*decoded));
	expected_floats = malloc((MAX_ELEMS + 2 * GUARD) * sizeof(*expected_floats));
	bytes = malloc(MAX_BYTES + 2 * GUARD);
	expected = malloc(MAX_BYTES + 2 * GUARD);
	NEED(floats && decoded && expected_floats && bytes && expected, "out of memory");
	qconv_cpu_masks_what_the_cpu_has();
	every_variant_row_is_complete();
	the_best_allowed_variant_is_chosen();
	the_first_nonfinite_value_is_found();
	every_variant_equals_its_definition();
	printf("%s: %llu blocks compared\n", qc_isa_name(cpu), (unsigned long long)blocks_compared);
	free(floats);
	free(decoded);
	free(expected_floats);
	free(bytes);
	free(expected);
	return test_end();
}
