/* The stored parts of a bitsandbytes 4-bit weight, for whoever moves them as they are
 * (formats/enc_bnb4.c). */
#ifndef QC_FORMATS_BNB_PARTS_H
#define QC_FORMATS_BNB_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/source.h"

/* Blocks run over the whole weight; element e is map[its code] * absmax[e / block], absmax b under
 * double quantization nested_map[its code] * nested_absmax[b / nested_block] + nested_offset. */
struct qc_bnb_parts {
	uint32_t block;		 /* elements */
	const float *map;	 /* 16 values; fp4's code 8 is -0 */
	uint32_t nested_block;	 /* blocks; 0: there is no double quantization */
	const float *nested_map; /* 256 values */
	float nested_offset;
};

/* False: the source is no such weight, or something is done to its rows. */
bool qc_bnb_parts_of(const struct qc_source *source, struct qc_bnb_parts *parts);

/* (n + 1) / 2 bytes: the codes of elements [first, first + n), first even. Like the following it
 * takes no more scratch than reading rows that hold these elements. */
QC_MUST_CHECK
enum qc_status qc_bnb_parts_codes(const struct qc_source *source, uint64_t first, uint64_t n,
				  uint8_t *dst, struct qc_scratch *scratch, struct qc_err *err);

/* absmax of blocks [first, first + n), decoded where they are quantized. */
QC_MUST_CHECK
enum qc_status qc_bnb_parts_absmax(const struct qc_source *source, uint64_t first, uint64_t n,
				   float *dst, struct qc_scratch *scratch, struct qc_err *err);

/* Under double quantization: the codes of absmax [first, first + n), and nested_absmax of the
 * groups that they are of. */
QC_MUST_CHECK
enum qc_status qc_bnb_parts_nested(const struct qc_source *source, uint64_t first, uint64_t n,
				   uint8_t *codes, float *nested, struct qc_scratch *scratch,
				   struct qc_err *err);

#endif
