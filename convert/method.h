/* --method: reference, search or gptq. */
#ifndef QC_CONVERT_METHOD_H
#define QC_CONVERT_METHOD_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/qconv.h"

/* *search: blocks are searched for, which is also what gptq does where nothing is calibrated.
 * QC_USAGE for an unknown method, and for gptq without a text. */
QC_MUST_CHECK
enum qc_status qc_method(const struct qconv_options *options, bool *search, struct qc_err *err);

#endif
