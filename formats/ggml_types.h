/* GGUF's numbers for tensor types. */
#ifndef QC_FORMATS_GGML_TYPES_H
#define QC_FORMATS_GGML_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/qtype.h"

/* One past the largest id that ggml has given out. */
#define QC_GGML_TYPES 43

/* The type with GGUF id `id`; NULL when ggml has none (removed and unknown ids). */
const struct qc_qtype *qc_ggml_type(uint32_t id);

/* The id of `type`; false when GGUF has no such type. */
bool qc_ggml_id(const struct qc_qtype *type, uint32_t *id);

/* What is known about an id that qc_ggml_type() does not give: "q4_2, removed from ggml", "iq4_ks,
 * private to ik_llama.cpp"; NULL when nothing is. For error texts. */
const char *qc_ggml_foreign_type(uint32_t id);

#endif
