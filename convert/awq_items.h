/* What convert/awq_plan.c (the whole), awq_solve.c (one input) and awq_rounded.c (the model as it
 * would be written) share. */
#ifndef QC_CONVERT_AWQ_ITEMS_H
#define QC_CONVERT_AWQ_ITEMS_H

#include "base/strmap.h"
#include "calib/awq.h"
#include "calib/windows.h"
#include "convert/plan.h"
#include "formats/channel_scales.h"

/* How a step's rows come out of the conversion, without its files: blocks of `type`, whose values
 * are multiplied by the factor of their matrix. */
struct qc_step_rounding {
	const struct qc_step *step;
	const struct qc_qtype *type; /* NULL: nothing is quantized */
	qc_quantize_fn *quantize;
	qc_dequantize_fn *dequantize;
};

/* The scales that were found for a group. */
struct qc_awq_result {
	struct qc_awq_group group;
	const float *s; /* [n] of the input's channels */
};

struct qc_awq {
	struct qc_plan *plan; /* without scales */
	const struct qconv_options *options;
	struct qc_arena arena;
	struct qc_strmap steps; /* GGUF name of the tensor -> step */
	struct qc_model model;
	struct qc_forward *forward; /* of it, as it is */
	struct qc_windows windows;  /* the held-out ones at the end */
	size_t n_held;
	size_t n_groups;
	struct qc_awq_result *results; /* of the groups that gain; malloc */
	size_t n_results, cap_results;
};

/* awq_rounded.c: false when the step is quantized in a way that rows do not show. */
bool qc_step_rounding_of(const struct qc_plan *plan, const struct qc_step *step,
			 struct qc_step_rounding *rounding);

/* awq_rounded.c: the mean divergence, in nats, of the held-out windows' predictions by what `plan`
 * would write from those of a->forward, which has run all windows. */
QC_MUST_CHECK
enum qc_status qc_awq_divergence(struct qc_awq *a, const struct qc_plan *plan, double *kld,
				 struct qc_err *err);

/* awq_solve.c: for qc_awq_options; `user` is a struct qc_awq. */
bool qc_awq_wants(void *user, const struct qc_awq_group *group);
QC_MUST_CHECK
enum qc_status qc_awq_solve(void *user, const struct qc_awq_group *group,
			    const struct qc_awq_input *input, struct qc_err *err);

/* awq_fold.c: `scales` (empty) of the results whose kind is among `kinds`, a bit each.
 * QC_NO_MEMORY, errors of reading norms. */
QC_MUST_CHECK
enum qc_status qc_awq_fold(const struct qc_awq *a, unsigned kinds, struct qc_channel_scales *scales,
			   struct qc_err *err);

/* awq_fold.c: fill a->steps. */
QC_MUST_CHECK
enum qc_status qc_awq_name_steps(struct qc_awq *a, struct qc_err *err);

/* awq_fold.c: the step of a weight of the engine (any, where several hold a part of it); NULL. */
const struct qc_step *qc_awq_step(const struct qc_awq *a, const char *name);

#endif
