/*
 * The SIMD variant lists of quant/x86/ and quant/arm/, private to quant/ and its tests. Each list
 * ends with a NULL-typed row; fast.c names every list once. A file that adds a list declares it
 * here.
 */
#ifndef QC_QUANT_VARIANTS_H
#define QC_QUANT_VARIANTS_H

#include "quant/fast.h"

#ifdef __x86_64__
extern const struct qc_variant qc_variants_avx2_float[];   /* x86/float_avx2.c: f32, f16, bf16 */
extern const struct qc_variant qc_variants_avx2_legacy[];  /* x86/legacy_avx2.c: q8_0, q4_*, q5_* */
extern const struct qc_variant qc_variants_avx2_k[];	   /* x86/k_avx2.c: the K-quants */
extern const struct qc_variant qc_variants_avx2_iq[];	   /* x86/iq_avx2.c: the iq types */
extern const struct qc_variant qc_variants_avx512_float[]; /* x86/float_avx512.c */
extern const struct qc_variant qc_variants_avx512_legacy[]; /* x86/legacy_avx512.c */
extern const struct qc_variant qc_variants_avx512_k[];	    /* x86/k_avx512.c */
extern const struct qc_variant qc_variants_avx512_iq[];	    /* x86/iq_avx512.c */

extern const struct qc_variant qc_variants_avx2_fp4[];	 /* x86/fp4_avx2.c: mxfp4, nvfp4 */
extern const struct qc_variant qc_variants_avx512_fp4[]; /* x86/fp4_avx512.c */

extern const struct qc_search_variant qc_search_variants_avx2_fp4[];   /* x86/fp4_avx2.c */
extern const struct qc_search_variant qc_search_variants_avx512_fp4[]; /* x86/fp4_avx512.c */
extern const struct qc_search_variant qc_search_variants_avx2[];       /* x86/search_avx2.c */
extern const struct qc_search_variant qc_search_variants_avx512[];     /* x86/search_avx512.c */
extern const struct qc_search_variant qc_search_variants_avx2_super[];	 /* x86/super_avx2.c */
extern const struct qc_search_variant qc_search_variants_avx512_super[]; /* x86/super_avx512.c */
#endif

/* 64-bit ARM, little-endian */
#ifdef __AARCH64EL__
extern const struct qc_variant qc_variants_neon_float[];  /* arm/float_neon.c */
extern const struct qc_variant qc_variants_neon_legacy[]; /* arm/legacy_neon.c */
#endif

#endif
