/* Every type by name, for code that means one in particular (wire numbers, variants). Loops use
 * qc_qtypes. */
#ifndef QC_QUANT_TYPES_H
#define QC_QUANT_TYPES_H

#include "quant/qtype.h"

/* plain floats, each in its own file */
extern const struct qc_qtype qc_f64, qc_f32, qc_f16, qc_bf16;
/* groups of 32 */
extern const struct qc_qtype qc_q8_0, qc_q4_0, qc_q4_1, qc_q5_0, qc_q5_1;
/* K-quants: super-blocks of 256 */
extern const struct qc_qtype qc_q2_K, qc_q3_K, qc_q4_K, qc_q5_K, qc_q6_K;
/* non-linear levels (iq4.h), points of grids (iq_search.h), ternary points (iq1.h) */
extern const struct qc_qtype qc_iq4_nl, qc_iq4_xs;
extern const struct qc_qtype qc_iq2_xxs, qc_iq2_xs, qc_iq2_s, qc_iq3_xxs, qc_iq3_s;
extern const struct qc_qtype qc_iq1_s, qc_iq1_m;
/* one, two and three levels, with one scale a block */
extern const struct qc_qtype qc_q1_0, qc_q2_0, qc_tq1_0, qc_tq2_0;
/* integers.c: dequantize only */
extern const struct qc_qtype qc_i8, qc_i16, qc_i32, qc_i64, qc_u8, qc_u16, qc_u32, qc_u64, qc_bool;
/* f8.c: dequantize only */
extern const struct qc_qtype qc_f8_e4m3, qc_f8_e5m2, qc_f8_e8m0, qc_f8_e4m3fnuz, qc_f8_e5m2fnuz,
	qc_f4;
/* opaque.c: no codec, only sizes */
extern const struct qc_qtype qc_c64, qc_f6_e2m3, qc_f6_e3m2;
extern const struct qc_qtype qc_q8_1, qc_q8_K;
extern const struct qc_qtype qc_mxfp4, qc_nvfp4;

#endif
