/*
 * What stands beside the weights in a Hugging Face directory: config.json, brought up to date in
 * the members that change (quantization_config, the dtype) with every other byte kept, what a
 * packing adds to it (hf_quant_config.json), and copies of the tokenizer's and other small files.
 */
#ifndef QC_CONVERT_SIDE_FILES_H
#define QC_CONVERT_SIDE_FILES_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"

/* Add them all to plan->out; files to be copied are opened the first time. QC_BAD_INPUT: a
 * config.json that is none. */
QC_MUST_CHECK
enum qc_status qc_side_files_add(struct qc_plan *plan, struct qc_err *err);

#endif
