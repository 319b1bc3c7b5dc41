/* The way from GGUF's layout to Hugging Face's: the architecture's table read from right to left.
 * qc_model_set_layout() (formats/model.h) calls it. */
#ifndef QC_FORMATS_LAYOUT_BACK_H
#define QC_FORMATS_LAYOUT_BACK_H

#include "base/attr.h"
#include "base/error.h"
#include "formats/model.h"

/*
 * Give the tensors of a GGUF the names, rows and stacking of a Hugging Face checkpoint: the first
 * row of the table that has the tensor's GGUF name. rope_freqs, which is computed from the
 * configuration, goes (qc_hf_back() puts it there). What GGUF keeps in f32 whatever the checkpoint
 * has (norms, biases, routers) is of the checkpoint's own 16-bit type again when no value changes
 * by it; that is found out by reading it.
 *
 * QC_UNSUPPORTED names a tensor that the architecture does not know or that lacks its other half;
 * QC_BAD_INPUT, QC_IO, QC_NO_MEMORY.
 */
QC_MUST_CHECK
enum qc_status qc_layout_back(struct qc_model *model, struct qc_err *err);

/* The float type that the checkpoint had: that of the first matrix whose type GGUF leaves alone;
 * bf16 when all are quantized. */
const struct qc_qtype *qc_layout_back_dtype(const struct qc_model *model);

#endif
