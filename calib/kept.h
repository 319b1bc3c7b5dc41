/* Decoded weights that stay in memory from call to call, so that a text that grows token by token
 * need not decode all of them for each. */
#ifndef QC_CALIB_KEPT_H
#define QC_CALIB_KEPT_H

#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "calib/forward.h"

/* What the weights take as floats, those of the output head in *head. */
void qc_kept_bytes(const struct qc_forward *forward, uint64_t *blocks, uint64_t *head);

/* From now on keep weights, as they are used, in up to `bytes` bytes: the output head if it fits,
 * then those of blocks. They stay until qc_forward_close(); a second call changes nothing.
 * QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_keep_weights(struct qc_forward *forward, uint64_t bytes, struct qc_err *err);

#endif
