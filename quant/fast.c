/* Which SIMD variants run here: CPU detection, the variant lists, and the jobs' finiteness scan. */
#include "quant/fast.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "quant/variants.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

/* Each list ends with a NULL-typed row. */
static const struct qc_variant *const lists[] = {
#ifdef __x86_64__
	qc_variants_avx2_float,
	qc_variants_avx2_legacy,
	qc_variants_avx2_k,
	qc_variants_avx2_iq,
	qc_variants_avx2_fp4,
	qc_variants_avx512_float,
	qc_variants_avx512_legacy,
	qc_variants_avx512_k,
	qc_variants_avx512_iq,
	qc_variants_avx512_fp4,
#endif
#ifdef __AARCH64EL__ /* 64-bit ARM, little-endian */
	qc_variants_neon_float,
	qc_variants_neon_legacy,
	qc_variants_neon_k,
	qc_variants_neon_iq,
	qc_variants_neon_fp4,
#endif
	NULL,
};

static const char *const isa_names[] = {
	[QC_ISA_SCALAR] = "scalar",
	[QC_ISA_NEON] = "neon",
	[QC_ISA_AVX2] = "avx2",
	[QC_ISA_AVX512] = "avx512",
};

#ifdef __x86_64__
/* Not every compiler's __builtin_cpu_supports() knows f16c. Its registers are AVX's: the system's
 * support for those is part of the answer for avx2. */
static bool cpu_has_f16c(void)
{
	unsigned a, b, c = 0, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

static enum qc_isa cpu_isa(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !cpu_has_f16c())
		return QC_ISA_SCALAR;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
		return QC_ISA_AVX512;
	return QC_ISA_AVX2;
#elif defined(__AARCH64EL__)
	return QC_ISA_NEON; /* part of the base architecture */
#else
	return QC_ISA_SCALAR;
#endif
}

/* Whether a CPU whose best level is `best` also has `isa`. */
static bool isa_within(enum qc_isa isa, enum qc_isa best)
{
	if (isa == QC_ISA_SCALAR || isa == best)
		return true;
	return isa == QC_ISA_AVX2 && best == QC_ISA_AVX512;
}

bool qc_isa_detect(enum qc_isa *isa)
{
	const char *wanted = getenv("QCONV_CPU");

	*isa = cpu_isa();
	if (!wanted || !*wanted)
		return true;
	for (size_t i = 0; i < sizeof(isa_names) / sizeof(*isa_names); i++) {
		if (strcmp(wanted, isa_names[i]) || !isa_within((enum qc_isa)i, *isa))
			continue;
		*isa = (enum qc_isa)i;
		return true;
	}
	return false;
}

const char *qc_isa_name(enum qc_isa isa)
{
	return isa_names[isa];
}

const struct qc_variant *qc_variant_at(size_t index)
{
	for (const struct qc_variant *const *list = lists; *list; list++)
		for (const struct qc_variant *v = *list; v->type; v++)
			if (!index--)
				return v;
	return NULL;
}

qc_quantize_fn *qc_fast_quantize(const struct qc_qtype *type, enum qc_isa isa)
{
	const struct qc_variant *best = NULL;

	for (const struct qc_variant *const *list = lists; *list; list++)
		for (const struct qc_variant *v = *list; v->type; v++)
			if (v->type == type && v->quantize && isa_within(v->isa, isa) &&
			    (!best || v->isa > best->isa))
				best = v;
	return best ? best->quantize : type->quantize;
}

qc_dequantize_fn *qc_fast_dequantize(const struct qc_qtype *type, enum qc_isa isa)
{
	const struct qc_variant *best = NULL;

	for (const struct qc_variant *const *list = lists; *list; list++)
		for (const struct qc_variant *v = *list; v->type; v++)
			if (v->type == type && v->dequantize && isa_within(v->isa, isa) &&
			    (!best || v->isa > best->isa))
				best = v;
	return best ? best->dequantize : type->dequantize;
}

/* Bit 31 is set for NaN and infinity: an exponent of all ones is the only one that carries that
 * far. */
static uint32_t exponent_carry(float x)
{
	return (qc_f32_bits(x) & 0x7fffffff) + 0x00800000;
}

enum { SCAN_CHUNK = 256, SCAN_QUARTER = SCAN_CHUNK / 4 };

/* A loop of fixed length without branches, which compilers make vectors of; four sums keep it from
 * waiting on one. */
static bool chunk_is_finite(const float *x)
{
	uint32_t a = 0, b = 0, c = 0, d = 0;

	for (int i = 0; i < SCAN_QUARTER; i++) {
		a |= exponent_carry(x[i]);
		b |= exponent_carry(x[i + SCAN_QUARTER]);
		c |= exponent_carry(x[i + 2 * SCAN_QUARTER]);
		d |= exponent_carry(x[i + 3 * SCAN_QUARTER]);
	}
	return !((a | b | c | d) >> 31);
}

size_t qc_first_nonfinite(const float *x, size_t n)
{
	size_t i = 0;

	while (n - i >= SCAN_CHUNK && chunk_is_finite(x + i))
		i += SCAN_CHUNK;
	while (i < n && !(exponent_carry(x[i]) >> 31))
		i++;
	return i;
}
