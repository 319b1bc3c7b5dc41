/* A Hugging Face checkpoint as it is stored: for whoever examines the files themselves. */
#ifndef QC_FORMATS_HF_STORED_H
#define QC_FORMATS_HF_STORED_H

#include "base/attr.h"
#include "base/error.h"
#include "formats/model.h"

/* Open `path` (a directory, an index, a shard, a .safetensors file) with its tensors under their
 * stored names and in their stored types: nothing is folded or named, config.json and the tokenizer
 * are not read, and what the index says of the tensors is not compared with them. The errors are
 * those of the container: QC_IO, QC_BAD_INPUT (no safetensors, shards that are missing),
 * QC_UNSUPPORTED, QC_NO_MEMORY. On failure the model is cleared. */
QC_MUST_CHECK
enum qc_status qc_hf_open_stored(struct qc_model *model, const char *path, struct qc_err *err);

#endif
