/*
 * SIMD variants, chosen at run time.
 *
 * Scalar C in the type's own file is the definition; a variant equals it byte for byte (it puts
 * whole blocks in lanes, so that each block's sums keep their order).
 * QCONV_CPU=scalar|avx2|avx512|neon masks what the CPU offers, for tests.
 */
#ifndef QC_QUANT_FAST_H
#define QC_QUANT_FAST_H

#include <stdbool.h>

#include "quant/qtype.h"

enum qc_isa {
	QC_ISA_SCALAR = 0,
	QC_ISA_NEON,
	QC_ISA_AVX2,   /* AVX2 + F16C */
	QC_ISA_AVX512, /* AVX-512 F, BW, DQ, VL */
};

/* One row of a variant table (quant/x86/ and quant/arm/ each export such lists). */
struct qc_variant {
	const struct qc_qtype *type;
	enum qc_isa isa;
	qc_quantize_fn *quantize;     /* NULL: this variant has none */
	qc_dequantize_fn *dequantize; /* NULL: this variant has none */
};

/* The best level this CPU has and QCONV_CPU allows; false when QCONV_CPU names an unknown or absent
 * level (*isa is then what the CPU has). Reads the environment once per call: call it at start-up.
 */
bool qc_isa_detect(enum qc_isa *isa);
const char *qc_isa_name(enum qc_isa isa);

/* The fastest implementation of `type` at a level up to `isa`: the type's own scalar function when
 * there is no variant. NULL when the type has no such function at all. */
qc_quantize_fn *qc_fast_quantize(const struct qc_qtype *type, enum qc_isa isa);
qc_dequantize_fn *qc_fast_dequantize(const struct qc_qtype *type, enum qc_isa isa);

/* A variant of a type's search, listed beside the others (quant/fast_search.c). */
struct qc_search_variant {
	const struct qc_qtype *type;
	enum qc_isa isa;
	qc_quantize_fn *search;
};

/* The fastest search likewise; qc_fast_quantize()'s where the type has no search. */
qc_quantize_fn *qc_fast_search(const struct qc_qtype *type, enum qc_isa isa);

/* Row `index` of the search variants of this build; NULL behind the last. */
const struct qc_search_variant *qc_search_variant_at(size_t index);

/* Row `index` of the variants of this build, in a fixed order, for tests; NULL behind the last. */
const struct qc_variant *qc_variant_at(size_t index);

/* Index of the first value that is NaN or infinite, or n. */
size_t qc_first_nonfinite(const float *x, size_t n);

#endif
