/*
 * The SIMD variant lists of quant/x86/ and quant/arm/, private to quant/ and its tests. Each list
 * ends with a NULL-typed row; fast.c names every list once. A file that adds a list declares it
 * here.
 */
#ifndef QC_QUANT_VARIANTS_H
#define QC_QUANT_VARIANTS_H

#include "quant/bnb.h"
#include "quant/bnb_decode.h"
#include "quant/fast.h"
#include "quant/mxfp4_pack.h"
#include "quant/nvfp4_pack.h"
#include "quant/search_fp4.h"

/* Variants of the E2M1 packings, all of one level. */
struct qc_fp4_kernels {
	enum qc_isa isa;
	qc_improve_groups_fn *improve_groups;
	qc_improve_blocks_fn *improve_blocks;
	qc_nvfp4_encode_fn *nvfp4_encode;
	qc_mxfp4_encode_fn *mxfp4_encode;
};

/* Those of the best level up to `isa`; NULL: the definitions. */
const struct qc_fp4_kernels *qc_fp4_kernels_for(enum qc_isa isa);

/* Variants of bitsandbytes' 4-bit packing. */
struct qc_bnb4_kernels {
	enum qc_isa isa;
	qc_bnb4_pairs_fn *pairs;
	qc_bnb4_encode_fn *encode;
	qc_bnb4_search_fn *search;
	qc_bnb4_search_nested_fn *search_nested;
};

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

extern const struct qc_search_variant qc_search_variants_avx2_fp4[];	 /* x86/fp4_avx2.c */
extern const struct qc_search_variant qc_search_variants_avx512_fp4[];	 /* x86/fp4_avx512.c */
extern const struct qc_search_variant qc_search_variants_avx2[];	 /* x86/search_avx2.c */
extern const struct qc_search_variant qc_search_variants_avx512[];	 /* x86/search_avx512.c */
extern const struct qc_search_variant qc_search_variants_avx2_super[];	 /* x86/super_avx2.c */
extern const struct qc_search_variant qc_search_variants_avx512_super[]; /* x86/super_avx512.c */

extern const struct qc_fp4_kernels qc_fp4_kernels_avx2, qc_fp4_kernels_avx512; /* x86/fp4_*.c */
extern const struct qc_bnb4_kernels qc_bnb4_kernels_avx2,
	qc_bnb4_kernels_avx512;				   /* x86/search_bnb_*.c */
qc_bnb4_pairs_fn qc_bnb4_pairs_avx2, qc_bnb4_pairs_avx512; /* x86/bnb_*.c */
#endif

/* 64-bit ARM, little-endian */
#ifdef __AARCH64EL__
extern const struct qc_variant qc_variants_neon_float[];  /* arm/float_neon.c */
extern const struct qc_variant qc_variants_neon_legacy[]; /* arm/legacy_neon.c */
extern const struct qc_variant qc_variants_neon_k[];	  /* arm/k_neon.c */
extern const struct qc_variant qc_variants_neon_iq[];	  /* arm/iq_neon.c */
extern const struct qc_variant qc_variants_neon_fp4[];	  /* arm/fp4_neon.c */

extern const struct qc_search_variant qc_search_variants_neon[];       /* arm/search_neon.c */
extern const struct qc_search_variant qc_search_variants_neon_fp4[];   /* arm/fp4_neon.c */
extern const struct qc_search_variant qc_search_variants_neon_super[]; /* arm/super_neon.c */

extern const struct qc_fp4_kernels qc_fp4_kernels_neon;	  /* arm/fp4_neon.c */
extern const struct qc_bnb4_kernels qc_bnb4_kernels_neon; /* arm/search_bnb_neon.c */
#endif

#endif
