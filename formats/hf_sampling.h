/* How a published model is to be sampled: generation_config.json and GGUF's general.sampling.*. */
#ifndef QC_FORMATS_HF_SAMPLING_H
#define QC_FORMATS_HF_SAMPLING_H

#include "base/attr.h"
#include "base/error.h"
#include "base/json_out.h"
#include "formats/model.h"

/* Set general.sampling.* from model->dir's generation_config.json, names and types as in
 * llama.cpp's converter (gguf-py/gguf/metadata.py). Nothing where there is no such file; a member
 * that is no number of its kind is passed over, since it is advice. */
QC_MUST_CHECK
enum qc_status qc_hf_read_sampling(struct qc_model *model, struct qc_err *err);

/* The way back: members of generation_config.json, in the object that is open in `out`. */
void qc_hf_put_sampling(const struct qc_model *model, struct qc_json_out *out);

#endif
