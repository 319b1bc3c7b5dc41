/* Whole conversions for tests: through the public function, or through a plan that tells more. */
#ifndef QC_TESTS_CONVERT_RUN_H
#define QC_TESTS_CONVERT_RUN_H

#include "convert/convert.h"
#include "convert/plan.h"
#include "tests/st_files.h"

/* Convert into the test's folder (tests/st_files.h) and expect success; the output's hash, valid
 * until the next call. */
static inline const char *converts(const char *input, const char *name,
				   const struct qconv_options *options)
{
	static struct qconv_summary summary;
	struct qconv_error error = {0};
	int code = qconv_convert(input, st_path(name), options, &summary, &error);

	CHECK(code == QCONV_DONE && !error.code, "%s to %s: %d '%s'", input, name, code,
	      error.text);
	return code ? "failed" : summary.xxh3_128;
}

/* What a conversion said of itself. */
struct outcome {
	size_t n, n_exact; /* steps */
	size_t n_unsaid;   /* keys that do not come back */
	char finding[256]; /* the last one */
};

/* Convert into any path. */
static inline struct outcome converted(const char *input, const char *output,
				       const struct qconv_options *options)
{
	const struct qc_format *target;
	struct qc_model model = {0};
	struct qc_plan plan = {0};
	struct qc_err err = {0};
	struct outcome outcome = {0};
	enum qc_status s = qc_convert_target(output, &target, &err);

	if (!s)
		s = qc_model_open(&model, input, &err);
	if (!s)
		s = qc_plan_build(&plan, &model, target, options, &err);
	if (!s)
		s = qc_convert_plan(&plan, output, options, NULL, &err);
	CHECK(!s, "%s to %s: %s", input, output, err.text);
	outcome.n = plan.n_steps;
	for (size_t i = 0; i < plan.n_steps; i++) {
		outcome.n_exact += plan.steps[i].exact;
		if (plan.steps[i].finding)
			snprintf(outcome.finding, sizeof(outcome.finding), "%s",
				 plan.steps[i].finding);
	}
	for (const struct qc_unsaid *u = model.unsaid; u; u = u->next)
		outcome.n_unsaid++;
	qc_plan_clear(&plan);
	qc_model_close(&model);
	return outcome;
}

#endif
