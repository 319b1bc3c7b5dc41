/* --lora and --lora-only: what happens to a model between opening and planning. */
#ifndef QC_CONVERT_ADAPTERS_H
#define QC_CONVERT_ADAPTERS_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/qconv.h"
#include "formats/format.h"
#include "formats/model.h"

/* The model at `path` as a conversion takes it: opened, options->loras merged into it in their
 * order; with options->lora_only, the one adapter itself. Reads no tensor data. `model` is for
 * qc_model_close(), on failure too. QC_USAGE for options that do not go together, and what
 * qc_model_open(), qc_model_apply_lora() and qc_model_only_lora() return. */
QC_MUST_CHECK
enum qc_status qc_adapters_open(struct qc_model *model, const char *path,
				const struct qc_format *target, const struct qconv_options *options,
				struct qc_err *err);

#endif
