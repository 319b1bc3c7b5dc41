/* Checksums of the tensors of a model file, read in bounded memory. */
#ifndef QC_CONVERT_DIGEST_H
#define QC_CONVERT_DIGEST_H

#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/hash.h"
#include "convert/qconv.h"
#include "formats/model.h"

/* Called once per tensor in the model's order; a status other than QC_OK ends the walk. */
typedef enum qc_status qc_digest_fn(const struct qc_tensor *tensor, struct qc_digest128 xxh3,
				    uint64_t xxh64, void *user, struct qc_err *err);

/* XXH3-128 and XXH64 of each tensor's stored bytes (without padding), and of all of them one after
 * the other. */
QC_MUST_CHECK
enum qc_status qc_digest_tensors(const struct qc_model *model, const struct qconv_options *options,
				 qc_digest_fn *each, void *user, struct qc_digest128 *all,
				 uint64_t *all64, struct qc_err *err);

#endif
