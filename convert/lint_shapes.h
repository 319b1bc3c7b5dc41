/* The shapes that the parts of each scheme must have: one function a scheme, called for weights
 * that have all parts that they need, of the right types. Each reports what it finds. */
#ifndef QC_CONVERT_LINT_SHAPES_H
#define QC_CONVERT_LINT_SHAPES_H

#include "base/attr.h"
#include "base/error.h"

struct lint;
struct lint_module;

typedef enum qc_status lint_shapes_fn(struct lint *lint, const struct lint_module *module);

QC_MUST_CHECK lint_shapes_fn lint_nvfp4_shapes; /* lint_fp4_shapes.c */
QC_MUST_CHECK lint_shapes_fn lint_mxfp4_shapes;
QC_MUST_CHECK lint_shapes_fn lint_fp8_shapes;  /* lint_fp8.c */
QC_MUST_CHECK lint_shapes_fn lint_bnb4_shapes; /* lint_bnb.c */
QC_MUST_CHECK lint_shapes_fn lint_bnb8_shapes;
QC_MUST_CHECK lint_shapes_fn lint_gptq_shapes; /* lint_int.c */
QC_MUST_CHECK lint_shapes_fn lint_awq_shapes;
QC_MUST_CHECK lint_shapes_fn lint_ct_packed_shapes;
QC_MUST_CHECK lint_shapes_fn lint_ct_int8_shapes;

#endif
