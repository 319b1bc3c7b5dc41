/*
 * --calib TEXT where --imatrix FILE would do: weights of importance and ranges of activations that
 * a conversion needs, learnt from the text before anything is written.
 *
 * They are learnt for --method search and reference, for --act, and for types that cannot be made
 * without weights; --method gptq has what it needs from its own passes (convert/tune_plan.h), and a
 * choice of types for a size likewise (convert/budget.h).
 */
#ifndef QC_CONVERT_LEARN_H
#define QC_CONVERT_LEARN_H

#include "base/attr.h"
#include "base/error.h"
#include "calib/windows.h"
#include "convert/plan.h"
#include "convert/qconv.h"

/* Whether the options alone ask for it. */
bool qc_learn_asked(const struct qconv_options *options);

/* Plan with weights that are not known yet: plan->imatrix gets an entry for every matrix product of
 * the model, all of them 1, and plan->learning what the passes will take. Nothing is done when the
 * plan has weights. QC_BAD_INPUT: the text (calib/text_file.h), or too little of it;
 * QC_UNSUPPORTED: --mem-limit allows less than one window needs; errors as qc_forward_open(). */
QC_MUST_CHECK
enum qc_status qc_learn_expect(struct qc_plan *plan, const struct qconv_options *options,
			       struct qc_err *err);

/* Run the text through the model: the weights for another plan of the same conversion. `im` is
 * empty before. Progress is told as phase "calibrate". QC_BAD_INPUT: a NaN activation;
 * QC_INTERRUPTED, errors of reading. */
QC_MUST_CHECK
enum qc_status qc_learn(const struct qc_plan *plan, const struct qconv_options *options,
			struct qc_imatrix *im, struct qc_err *err);

/* The windows of options->calib: spread evenly over the text, every eighth held out and so at the
 * end where *n_held is asked for (NULL: none is). A short text is cut into shorter windows where no
 * length was asked for. QC_BAD_INPUT: too few windows to hold one out. */
QC_MUST_CHECK
enum qc_status qc_learn_windows(struct qc_windows *windows, size_t *n_held,
				const struct qc_model *model, const struct qconv_options *options,
				struct qc_err *err);

/* How many there are at most. */
size_t qc_learn_most(const struct qconv_options *options);

/* One window in so many is held out, or fewer. */
enum { QC_LEARN_HELD_OUT = 8 };

#endif
