/* Tensors that recipes leave alone, by their names and dimensions (the lists are in recipes.c). */
#ifndef QC_CONVERT_RECIPE_KEEP_H
#define QC_CONVERT_RECIPE_KEEP_H

#include <stdint.h>

#include "formats/model.h"

/* ggml's count: trailing dimensions of 1 are not dimensions. */
uint32_t qc_recipe_dims(const struct qc_tensor *tensor);

/* Why llama-quantize leaves the tensor as it is; NULL when it may be quantized. */
const char *qc_recipe_why_kept(const struct qc_tensor *tensor);

/* Why llama.cpp's converter writes the tensor as F32; NULL when it does not. */
const char *qc_recipe_why_f32(const struct qc_tensor *tensor);

#endif
