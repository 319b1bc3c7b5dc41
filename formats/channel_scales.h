/*
 * Scales that move from one weight into another and leave what the model computes as it is: input
 * channel j of some matrices is multiplied by s_j, and what makes that channel (a norm's weights,
 * the rows of another matrix and its bias) divided by it. (Lin et al., "AWQ", 2023.)
 */
#ifndef QC_FORMATS_CHANNEL_SCALES_H
#define QC_FORMATS_CHANNEL_SCALES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/strmap.h"
#include "formats/model.h"

/* What happens to one tensor. */
struct qc_channel_scale {
	const char *name; /* in GGUF: "blk.0.attn_q.weight" */
	/* Factors of its inputs: one set for all its matrices, or one for each. NULL: none. */
	float *in;
	uint64_t n_in, in_sets;
	float *out; /* of all its outputs, those of each matrix one after the other; NULL: none */
	uint64_t n_out; /* all of them */
	float *instead; /* of a norm: its n_out weights, as GGUF has them; NULL: none */
};

/* Zeroed is empty. */
struct qc_channel_scales {
	struct qc_arena arena;
	struct qc_channel_scale *list; /* malloc */
	size_t n, cap;
	struct qc_strmap by_name;
};

void qc_channel_scales_clear(struct qc_channel_scales *scales);

/* The entry of a name, made when there is none; valid until the next is made. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_channel_scales_at(struct qc_channel_scales *scales, const char *name,
				    struct qc_channel_scale **entry, struct qc_err *err);

/* Put the scales on top of the tensors of `model`, in whichever layout it is; `scales` must outlive
 * it. Those of a model's tensors that are not there are left out. QC_UNSUPPORTED: a tensor of
 * another shape, named; QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_channel_scales_apply(const struct qc_channel_scales *scales,
				       struct qc_model *model, struct qc_err *err);

/* Whether they change the tensor. */
bool qc_channel_scales_touch(const struct qc_channel_scales *scales,
			     const struct qc_tensor *tensor);

#endif
