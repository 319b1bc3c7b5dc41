/* Packings of GGUF outputs: types whose blocks want more than one stored tensor. */
#ifndef QC_CONVERT_TARGET_GGUF_H
#define QC_CONVERT_TARGET_GGUF_H

#include "convert/packing.h"

/* How a tensor of the GGUF becomes more than rows of `type`, or gets there on another way than by
 * its values; NULL when it does not. `scaled`: whoever reads the file multiplies a tensor scale. */
const struct qc_packing *qc_gguf_packing(const struct qc_tensor *tensor,
					 const struct qc_qtype *type, bool scaled);

#endif
