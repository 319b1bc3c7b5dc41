/* One GGUF file whose metadata is to change and whose tensors are to stay as they lie. */
#ifndef QC_FORMATS_GGUF_HEADER_H
#define QC_FORMATS_GGUF_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/file.h"
#include "formats/meta.h"

/* A zeroed struct is a closed one. */
struct qc_gguf_header {
	struct qc_file file;
	struct qc_arena arena;
	struct qc_meta meta; /* as read; the caller changes it */
	uint64_t n_tensors, alignment;
	uint64_t infos_start, infos_bytes; /* the tensor table */
	uint64_t data_start;		   /* a multiple of the alignment */
};

/* Open and check one file: metadata and the tensor table. Of a split set it is this file alone.
 * QC_IO, QC_BAD_INPUT, QC_NO_MEMORY; QC_UNSUPPORTED for a big-endian file. */
QC_MUST_CHECK
enum qc_status qc_gguf_header_open(struct qc_gguf_header *header, const char *path,
				   struct qc_err *err);

/* The bytes before the tensors' data with the metadata as it is now (malloc): version 3, the tensor
 * table unchanged, padded to the alignment, which must be the one that was read (QC_REFUSED). */
QC_MUST_CHECK
enum qc_status qc_gguf_header_build(const struct qc_gguf_header *header, uint8_t **bytes,
				    size_t *size, struct qc_err *err);

void qc_gguf_header_close(struct qc_gguf_header *header);

#endif
