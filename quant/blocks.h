/*
 * The blocks as they lie on disk, shared by each type's own file and its SIMD variants. Bytes only:
 * a two-byte field is a little-endian f16, so every struct has alignment 1 and no padding. Each
 * type's .c explains its fields.
 */
#ifndef QC_QUANT_BLOCKS_H
#define QC_QUANT_BLOCKS_H

#include <stdint.h>

struct qc_block_q8_0 {
	uint8_t d[2];
	int8_t q[32];
};

struct qc_block_q4_0 {
	uint8_t d[2];
	uint8_t q[16];
};

struct qc_block_q4_1 {
	uint8_t d[2], m[2];
	uint8_t q[16];
};

struct qc_block_q5_0 {
	uint8_t d[2];
	uint8_t high[4];
	uint8_t q[16];
};

struct qc_block_q5_1 {
	uint8_t d[2], m[2];
	uint8_t high[4];
	uint8_t q[16];
};

struct qc_block_mxfp4 {
	uint8_t e;
	uint8_t q[16];
};

struct qc_block_nvfp4 {
	uint8_t d[4];
	uint8_t q[32];
};

/* Eight 6-bit scales and eight 6-bit mins: quant/kscale.h. */
struct qc_kscales {
	uint8_t d[2], dmin[2];
	uint8_t packed[12];
};

struct qc_block_q4_K {
	struct qc_kscales scales;
	uint8_t q[128];
};

struct qc_block_q5_K {
	struct qc_kscales scales;
	uint8_t high[32];
	uint8_t q[128];
};

struct qc_block_q6_K {
	uint8_t low[128];
	uint8_t high[64];
	int8_t scales[16];
	uint8_t d[2];
};

struct qc_block_q2_K {
	uint8_t scales[16];
	uint8_t q[64];
	uint8_t d[2], dmin[2];
};

struct qc_block_q3_K {
	uint8_t high[32];
	uint8_t q[64];
	uint8_t scales[12];
	uint8_t d[2];
};

struct qc_block_iq4_nl {
	uint8_t d[2];
	uint8_t q[16];
};

struct qc_block_iq4_xs {
	uint8_t d[2];
	uint8_t scales_high[2];
	uint8_t scales_low[4];
	uint8_t q[128];
};

struct qc_block_tq1_0 {
	uint8_t q[48], last[4];
	uint8_t d[2];
};

struct qc_block_tq2_0 {
	uint8_t q[64];
	uint8_t d[2];
};

struct qc_block_q1_0 {
	uint8_t d[2];
	uint8_t q[16];
};

struct qc_block_q2_0 {
	uint8_t d[2];
	uint8_t q[16];
};

struct qc_block_iq2_xxs {
	uint8_t d[2];
	uint8_t groups[8][8];
};

struct qc_block_iq2_xs {
	uint8_t d[2];
	uint8_t q[32][2];
	uint8_t scales[8];
};

struct qc_block_iq2_s {
	uint8_t d[2];
	uint8_t q[32], signs[32], high[8];
	uint8_t scales[8];
};

struct qc_block_iq3_xxs {
	uint8_t d[2];
	uint8_t q[64];
	uint8_t words[8][4];
};

struct qc_block_iq3_s {
	uint8_t d[2];
	uint8_t q[64], high[8], signs[32];
	uint8_t scales[4];
};

struct qc_block_iq1_s {
	uint8_t d[2];
	uint8_t q[32];
	uint8_t words[8][2];
};

struct qc_block_iq1_m {
	uint8_t q[32], high[16];
	uint8_t scales[4][2];
};

_Static_assert(sizeof(struct qc_block_q8_0) == 34, "q8_0 is 34 bytes on disk");
_Static_assert(sizeof(struct qc_block_q4_0) == 18, "q4_0 is 18 bytes on disk");
_Static_assert(sizeof(struct qc_block_q4_1) == 20, "q4_1 is 20 bytes on disk");
_Static_assert(sizeof(struct qc_block_q5_0) == 22, "q5_0 is 22 bytes on disk");
_Static_assert(sizeof(struct qc_block_q5_1) == 24, "q5_1 is 24 bytes on disk");
_Static_assert(sizeof(struct qc_block_mxfp4) == 17, "mxfp4 is 17 bytes on disk");
_Static_assert(sizeof(struct qc_block_nvfp4) == 36, "nvfp4 is 36 bytes on disk");
_Static_assert(sizeof(struct qc_block_q4_K) == 144, "q4_K is 144 bytes on disk");
_Static_assert(sizeof(struct qc_block_q5_K) == 176, "q5_K is 176 bytes on disk");
_Static_assert(sizeof(struct qc_block_q6_K) == 210, "q6_K is 210 bytes on disk");
_Static_assert(sizeof(struct qc_block_q2_K) == 84, "q2_K is 84 bytes on disk");
_Static_assert(sizeof(struct qc_block_q3_K) == 110, "q3_K is 110 bytes on disk");
_Static_assert(sizeof(struct qc_block_iq4_nl) == 18, "iq4_nl is 18 bytes on disk");
_Static_assert(sizeof(struct qc_block_iq4_xs) == 136, "iq4_xs is 136 bytes on disk");
_Static_assert(sizeof(struct qc_block_tq1_0) == 54, "tq1_0 is 54 bytes on disk");
_Static_assert(sizeof(struct qc_block_tq2_0) == 66, "tq2_0 is 66 bytes on disk");
_Static_assert(sizeof(struct qc_block_q1_0) == 18, "q1_0 is 18 bytes on disk");
_Static_assert(sizeof(struct qc_block_q2_0) == 18, "q2_0 is 18 bytes on disk");
_Static_assert(sizeof(struct qc_block_iq2_xxs) == 66, "iq2_xxs is 66 bytes on disk");
_Static_assert(sizeof(struct qc_block_iq2_xs) == 74, "iq2_xs is 74 bytes on disk");
_Static_assert(sizeof(struct qc_block_iq2_s) == 82, "iq2_s is 82 bytes on disk");
_Static_assert(sizeof(struct qc_block_iq3_xxs) == 98, "iq3_xxs is 98 bytes on disk");
_Static_assert(sizeof(struct qc_block_iq3_s) == 110, "iq3_s is 110 bytes on disk");
_Static_assert(sizeof(struct qc_block_iq1_s) == 50, "iq1_s is 50 bytes on disk");
_Static_assert(sizeof(struct qc_block_iq1_m) == 56, "iq1_m is 56 bytes on disk");

#endif
