/* --lora and --lora-only: what happens to a model between opening and planning. */
#ifndef QC_CONVERT_ADAPTERS_H
#define QC_CONVERT_ADAPTERS_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/qconv.h"
#include "formats/format.h"
#include "formats/model.h"

/* Merge options->loras into `model` in their order; with options->lora_only, make the model the one
 * adapter itself. Reads no tensor data. QC_USAGE for options that do not go together, and what
 * qc_model_apply_lora() and qc_model_only_lora() return. */
QC_MUST_CHECK
enum qc_status qc_adapters_apply(struct qc_model *model, const struct qc_format *target,
				 const struct qconv_options *options, struct qc_err *err);

/* The model at `path` as a conversion takes it: opened, with its adapters. `model` is for
 * qc_model_close(), on failure too. Errors as qc_model_open() and qc_adapters_apply(). */
QC_MUST_CHECK
enum qc_status qc_adapters_open(struct qc_model *model, const char *path,
				const struct qc_format *target, const struct qconv_options *options,
				struct qc_err *err);

#endif
