/*
 * Scales for a quantized KV cache, which ModelOpt, compressed-tensors and others store beside the
 * weights of attention: no weights, and nothing that another format has a place for. Dropped.
 */
#include <string.h>

#include "formats/fold.h"
#include "formats/parts.h"

static enum qc_status kv_scales_fold(struct qc_fold *fold, const struct qc_tensor *trigger,
				     const char *base, bool *taken, struct qc_err *err)
{
	if (!strstr(base, "attn") || qc_tensor_elems(trigger) != 1)
		return QC_OK;
	*taken = true;
	return qc_fold_drop(fold, base, trigger->stored_name + strlen(base),
			    "scale of a quantized KV cache", err);
}

static const char *const triggers[] = {
	".k_scale", ".v_scale", ".q_scale", ".prob_scale", NULL,
};

const struct qc_encoding qc_encoding_kv_scales = {
	.name = "KV cache scales",
	.triggers = triggers,
	.fold = kv_scales_fold,
};
