/*
 * The codes of types with large blocks as their blocks hold them; scales are left alone. Each
 * type's own .c has the layout.
 */
#ifndef QC_QUANT_KPACK_H
#define QC_QUANT_KPACK_H

#include <stdint.h>

#include "quant/blocks.h"

void qc_q2_0_pack(const uint8_t codes[64], struct qc_block_q2_0 *block);    /* 0..3 */
void qc_tq1_0_pack(const uint8_t codes[256], struct qc_block_tq1_0 *block); /* 0..2 */
void qc_q3_K_pack(const uint8_t codes[256], struct qc_block_q3_K *block);   /* 0..7 */
void qc_q5_K_pack(const uint8_t codes[256], struct qc_block_q5_K *block);   /* 0..31 */
void qc_q6_K_pack(const uint8_t codes[256], struct qc_block_q6_K *block);   /* 0..63 */

#endif
