/* A GGUF as a Hugging Face checkpoint: tensors, config.json, generation_config.json, tokenizer. */
#ifndef QC_FORMATS_HF_BACK_H
#define QC_FORMATS_HF_BACK_H

#include "base/attr.h"
#include "base/error.h"
#include "formats/model.h"

/*
 * Bring a GGUF of a known architecture to Hugging Face's layout: its tensors
 * (formats/layout_back.h), the texts beside them (model->sides). Then the way there is gone in
 * memory, from these texts and names: it must give the tensors that the GGUF has, and what comes
 * out otherwise in the metadata is listed in model->unsaid.
 *
 * QC_UNSUPPORTED, QC_BAD_INPUT: tensors or hyper-parameters that no Hugging Face checkpoint of the
 * architecture has. A tokenizer that cannot be written is no error: model->unsaid has its keys.
 */
QC_MUST_CHECK
enum qc_status qc_hf_back(struct qc_model *model, struct qc_err *err);

/* hf_back_check.c: the second half; `before` are the tensors of the GGUF. */
QC_MUST_CHECK
enum qc_status qc_hf_back_check(struct qc_model *model, const struct qc_tensor *before, size_t n,
				struct qc_err *err);

#endif
