/* Layers with one input that loaders run as one (vLLM's packed_modules_mapping, TensorRT-LLM's
 * fused modules): they take one tensor scale, and one way of storing weights, for all of them. */
#ifndef QC_CONVERT_FUSED_LAYERS_H
#define QC_CONVERT_FUSED_LAYERS_H

#include <stddef.h>

struct qc_fused_layer {
	const char *end;   /* of the module's name: ".q_proj" */
	const char *group; /* "qkv" */
	const char *all;   /* for people: "q_proj, k_proj and v_proj" */
};

/* The entry of a module; NULL: it is run alone. *prefix: so much of the name does its group share.
 */
const struct qc_fused_layer *qc_fused_layer_find(const char *module, size_t *prefix);

#endif
