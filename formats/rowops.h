/* What the row operations share: reading another source's rows in either of their forms. */
#ifndef QC_FORMATS_ROWOPS_H
#define QC_FORMATS_ROWOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/source.h"

/* Bytes of a row, as blocks or as floats. */
static inline size_t row_bytes(const struct qc_source *source, bool raw)
{
	return raw ? source->cols / source->type->block_elems * source->type->block_bytes
		   : source->cols * sizeof(float);
}

/* Those of the larger form. */
static inline size_t row_bytes_max(const struct qc_source *source)
{
	const size_t f32 = row_bytes(source, false), raw = row_bytes(source, true);

	return f32 > raw ? f32 : raw;
}

QC_MUST_CHECK
static inline enum qc_status read_rows(const struct qc_source *source, bool raw, uint64_t row,
				       uint64_t n, void *dst, struct qc_scratch *scratch,
				       struct qc_err *err)
{
	if (!n)
		return QC_OK;
	return raw ? qc_source_read_raw(source, row, n, dst, scratch, err)
		   : qc_source_read_f32(source, row, n, dst, scratch, err);
}

#endif
