/* Options that change the model on its way into a GGUF, as llama-quantize has them: blocks left
 * out, metadata set, entries of the imatrix chosen. */
#ifndef QC_CONVERT_GGUF_OPTIONS_H
#define QC_CONVERT_GGUF_OPTIONS_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"
#include "convert/qconv.h"

/* QC_USAGE: options for GGUF with another target, or that contradict each other. */
QC_MUST_CHECK
enum qc_status qc_gguf_options_check(const struct qc_format *target,
				     const struct qconv_options *options, struct qc_err *err);

/* Leave out the entries that --include-weights and --exclude-weights say. QC_USAGE: none is left.
 */
QC_MUST_CHECK
enum qc_status qc_imatrix_choose(struct qc_imatrix *im, const struct qconv_options *options,
				 struct qc_err *err);

/* --prune-layers: the blocks' tensors are dropped, later blocks move up, with them their entries of
 * the imatrix. The model is in its final layout. QC_USAGE: not a list of blocks that the model has,
 * or all of them. */
QC_MUST_CHECK
enum qc_status qc_prune_blocks(struct qc_plan *plan, const struct qconv_options *options,
			       struct qc_err *err);
/* block_count and arrays with one element a block follow. When types have been chosen:
 * llama-quantize's mixtures go by the number of blocks there was. */
QC_MUST_CHECK
enum qc_status qc_prune_metadata(struct qc_plan *plan, struct qc_err *err);

/* --override-kv KEY=TYPE:VALUE, TYPE one of int, float, bool, str. An int takes the type of the key
 * that is there, else u32 (i32 below 0). QC_USAGE: another form or a key that says how the file is
 * laid out. */
QC_MUST_CHECK
enum qc_status qc_override_kv(struct qc_plan *plan, const struct qconv_options *options,
			      struct qc_err *err);

#endif
