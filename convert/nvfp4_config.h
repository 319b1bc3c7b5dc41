/* quantization_config of NVFP4 checkpoints, and ModelOpt's own file (convert/packing.h). */
#ifndef QC_CONVERT_NVFP4_CONFIG_H
#define QC_CONVERT_NVFP4_CONFIG_H

#include <stdio.h>

#include "convert/plan.h"

/* The number of the piece that is a weight's input scale. */
enum { QC_NVFP4_INPUT = 3 };

void qc_nvfp4_modelopt_config(FILE *out, const struct qc_plan *plan);
void qc_nvfp4_modelopt_extra(FILE *out, const struct qc_plan *plan);
void qc_nvfp4_compressed_config(FILE *out, const struct qc_plan *plan);

#endif
