/*
 * Checksums of the input files, made while they are read for conversion.
 *
 * Jobs go through the input files from front to back; whoever commits a range hands over the bytes
 * that it was made from. What no job has read in order (headers, dropped tensors, permuted rows) is
 * read here, when the hash gets there. So a file is read once, and its digest is that of the whole
 * file: what `xxhsum -H2` prints.
 */
#ifndef QC_CONVERT_SOURCE_HASH_H
#define QC_CONVERT_SOURCE_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/hash.h"
#include "formats/model.h"
#include "formats/source.h"

struct qc_source_file_hash {
	struct qc_hasher *hasher;
	uint64_t done; /* bytes hashed */
};

/* A zeroed struct is one that hashes nothing. */
struct qc_source_hash {
	const struct qc_model *model;
	struct qc_source_file_hash *files; /* one per file of the model */
	uint8_t *buffer;
};

/* Memory that it takes beside the model's. */
#define QC_SOURCE_HASH_BYTES ((size_t)1 << 20)

QC_MUST_CHECK
enum qc_status qc_source_hash_init(struct qc_source_hash *hash, const struct qc_model *model,
				   struct qc_err *err);

/* The bytes at `extent`, which must be in order, are `bytes`. Those before it that have not come
 * are read first; those that have come already are left out. */
QC_MUST_CHECK
enum qc_status qc_source_hash_add(struct qc_source_hash *hash, const struct qc_extent *extent,
				  const uint8_t *bytes, struct qc_err *err);

/* Read what is left of every file; digests has one entry per file of the model. */
QC_MUST_CHECK
enum qc_status qc_source_hash_finish(struct qc_source_hash *hash, struct qc_digest128 *digests,
				     struct qc_err *err);

void qc_source_hash_clear(struct qc_source_hash *hash);

#endif
