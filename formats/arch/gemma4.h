/* What the two files of gemma4 share. */
#ifndef QC_FORMATS_ARCH_GEMMA4_H
#define QC_FORMATS_ARCH_GEMMA4_H

#include "base/attr.h"
#include "formats/arch/arch.h"

/* Whether the block computes keys and values itself. */
bool qc_gemma4_has_kv(const struct qc_model *model, uint32_t layer);

/* qc_arch.finish: sizes by block, the pattern of windows, rotation, experts. QC_BAD_INPUT where
 * config.json contradicts itself, QC_UNSUPPORTED for what GGUF's gemma4 does not have. */
QC_MUST_CHECK
enum qc_status qc_gemma4_finish(struct qc_model *model, struct qc_err *err);

#endif
