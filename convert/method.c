#include "convert/method.h"

#include <strings.h>

enum qc_status qc_method(const struct qconv_options *options, bool *search, struct qc_err *err)
{
	const char *method = options->method;
	const bool gptq = method && !strcasecmp(method, "gptq");

	*search = !method || gptq || !strcasecmp(method, "search");
	if (!*search && strcasecmp(method, "reference"))
		return qc_fail(err, QC_USAGE,
			       "unknown method '%s' (methods: reference, search, gptq)", method);
	if (gptq && !options->calib)
		return qc_fail(err, QC_USAGE,
			       "--method gptq needs a text to calibrate on: --calib TEXT");
	return QC_OK;
}
