#include "convert/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "convert/adapters.h"
#include "convert/awq_plan.h"
#include "convert/check.h"
#include "convert/exact.h"
#include "convert/jobs.h"
#include "convert/learn.h"
#include "convert/manifest.h"
#include "convert/output.h"
#include "convert/output_checks.h"
#include "convert/read_back.h"
#include "convert/tune_plan.h"
#include "convert/writer.h"

const char *qconv_version(void)
{
	return QC_VERSION;
}

enum qc_status qc_convert_target(const char *output, const struct qc_format **format,
				 struct qc_err *err)
{
	char names[128];
	size_t used = 0;

	*format = qc_format_for_output(output);
	if (*format)
		return QC_OK;
	names[0] = 0;
	for (const struct qc_format *const *f = qc_formats; *f; f++) {
		int n = (*f)->layout && (*f)->extension
				? snprintf(names + used, sizeof(names) - used, "%s%s",
					   used ? ", " : "", (*f)->extension)
				: 0;

		if (n < 0 || (size_t)n >= sizeof(names) - used)
			break;
		used += (size_t)n;
	}
	return qc_fail(err, QC_USAGE,
		       "output '%s': its ending names no format that qconv writes (endings: %s; "
		       "a directory has none, or a slash)",
		       output, names);
}

/* A conversion that is under way: the output and, unless it is not wanted, its manifest. */
struct conversion {
	struct qc_plan *plan;
	const struct qconv_options *options;
	const char *output;
	char *manifest_path; /* beside a file; NULL: none wanted, or the output is a directory */
	bool replace_manifest;
	struct qc_output out;
	struct qc_writer manifest;
	struct qc_job_results results;
	struct qc_tuning *tuning; /* NULL: none */
};

/* A manifest that is ours but whose file is gone, or is about to be replaced, may go too. */
static bool is_ours(const char *path)
{
	struct qc_manifest manifest;
	struct qc_err err;
	bool ours = !qc_manifest_read(&manifest, path, &err);

	if (ours)
		qc_manifest_clear(&manifest);
	return ours;
}

/* The output is none of the files that are read beside the model. */
static enum qc_status check_others(const struct conversion *c, struct qc_err *err)
{
	const char *const others[] = {c->options->calib, c->options->imatrix,
				      c->options->recipe_file};
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < sizeof(others) / sizeof(*others); i++)
		s = qc_output_is_not(c->output, others[i], err);
	return s;
}

static enum qc_status prepare(struct conversion *c, struct qc_err *err)
{
	const struct qc_model *model = c->plan->model;
	bool is_dir = c->plan->target->is_dir;
	const struct qc_out *out = &c->plan->out;
	enum qc_status s = check_others(c, err);
	char *first;

	if (!s)
		s = qc_output_precheck(c->output, is_dir, model, out, c->options->force, err);
	if (s || c->options->no_manifest || is_dir)
		return s;
	first = out->is_set ? qc_output_set_path(c->output, &out->files[0]) : NULL;
	free(c->manifest_path);
	c->manifest_path =
		out->is_set && !first ? NULL : qc_manifest_path(first ? first : c->output);
	free(first);
	if (!c->manifest_path)
		return qc_no_memory(err);
	c->replace_manifest = c->options->force || is_ours(c->manifest_path);
	return qc_writer_precheck(c->manifest_path, model, 0, c->replace_manifest, err);
}

static enum qc_status write_manifest(struct conversion *c, struct qc_err *err)
{
	char *text = NULL;
	size_t size = 0;
	enum qc_status s;

	if (c->options->no_manifest)
		return QC_OK;
	s = qc_manifest_build(c->plan, c->options, c->output, &c->results, &text, &size, err);
	if (!s && c->plan->target->is_dir) {
		s = qc_output_add(&c->out, QC_OUTPUT_MANIFEST, text, size, err);
		free(text);
		return s;
	}
	if (!s)
		s = qc_writer_create(&c->manifest, c->manifest_path, c->plan->model, size,
				     c->replace_manifest, err);
	if (!s)
		s = qc_writer_write(&c->manifest, 0, text, size, err);
	free(text);
	return s;
}

/* Everything up to the two renames; the manifest is whole and synced before the output takes its
 * name. */
static enum qc_status produce(struct conversion *c, struct qc_err *err)
{
	enum qc_status s = prepare(c, err);

	if (!s)
		s = qc_awq_plan(c->plan, c->options, &c->tuning, err);
	if (!s && c->plan->measure &&
	    c->plan->out.is_set) /* there may be more files now, or fewer */
		s = prepare(c, err);
	if (!s)
		s = qc_output_create(&c->out, c->output, c->plan->target->is_dir, c->plan->model,
				     &c->plan->out, c->options->force, err);
	if (!s)
		s = qc_jobs_run(c->plan, &c->out, c->options, &c->results, err);
	if (!s)
		s = qc_plan_conclude(c->plan, err);
	if (!s)
		s = qc_read_back(&c->out, c->plan, c->options, &c->results, err);
	if (!s)
		s = write_manifest(c, err);
	if (!s)
		s = qc_model_unchanged(c->plan->model, err);
	if (!s && c->options->stop && *c->options->stop)
		s = qc_fail(err, QC_INTERRUPTED, "interrupted");
	if (!s)
		s = qc_output_commit(&c->out, err);
	if (!s && c->manifest_path)
		s = qc_writer_commit(&c->manifest, err);
	return s;
}

/* The same plan, with weights that the text gives; the model is opened anew, as planning has
 * brought it into the target's layout. */
static enum qc_status learn(struct conversion *c, struct qc_err *err)
{
	struct qc_model *model = c->plan->model;
	const struct qc_format *target = c->plan->target;
	char *path = strdup(model->path);
	struct qc_imatrix weights = {0};
	const struct qc_plan_given given = {.weights = &weights};
	enum qc_status s = path ? prepare(c, err) : qc_no_memory(err);

	if (!s)
		s = qc_learn(c->plan, c->options, &weights, err);
	if (!s) {
		qc_plan_clear(c->plan);
		qc_model_close(model);
		s = qc_adapters_open(model, path, target, c->options, err);
	}
	if (!s)
		s = qc_plan_build_given(c->plan, model, target, c->options, &given, err);
	qc_imatrix_clear(&weights);
	free(path);
	return s;
}

enum qc_status qc_convert_plan(struct qc_plan *plan, const char *output,
			       const struct qconv_options *options, struct qconv_summary *summary,
			       struct qc_err *err)
{
	struct conversion c = {.plan = plan, .options = options, .output = output};
	double started = qc_seconds();
	enum qc_status s = plan->learning.peak ? learn(&c, err) : QC_OK;

	if (!s)
		s = produce(&c, err);
	if (!s && summary) {
		*summary = (struct qconv_summary){
			.n_tensors = plan->n_steps,
			.n_weights = plan->n_weights,
			.source_bytes = plan->source_bytes,
			.output_bytes = plan->out.total_bytes,
			.seconds = qc_seconds() - started,
		};
		qc_digest128_hex(c.results.file, summary->xxh3_128);
	}
	qc_output_close(&c.out);
	qc_writer_close(&c.manifest);
	qc_job_results_clear(&c.results);
	qc_tuning_free(c.tuning);
	free(c.manifest_path);
	return s;
}

int qc_public_result(const struct qc_err *err, enum qc_status s, struct qconv_error *error)
{
	int code = qc_exit_code(s);

	if (error) {
		error->code = code;
		memcpy(error->text, s ? err->text : "", s ? sizeof(error->text) : 1);
	}
	return code;
}

_Static_assert(sizeof(((struct qconv_error *)0)->text) == sizeof(((struct qc_err *)0)->text),
	       "the public error holds every text");

int qconv_convert(const char *input, const char *output, const struct qconv_options *options,
		  struct qconv_summary *summary, struct qconv_error *error)
{
	static const struct qconv_options defaults;
	const struct qc_format *target;
	struct qc_model model = {0};
	struct qc_plan plan = {0};
	struct qc_err err = {0};
	enum qc_status s = qc_convert_target(output, &target, &err);

	if (!options)
		options = &defaults;
	if (!s)
		s = qc_adapters_open(&model, input, target, options, &err);
	if (!s)
		s = qc_plan_build(&plan, &model, target, options, &err);
	if (!s)
		s = qc_convert_plan(&plan, output, options, summary, &err);
	qc_plan_clear(&plan);
	qc_model_close(&model);
	return qc_public_result(&err, s, error);
}

int qconv_verify(const char *output, const struct qconv_options *options, struct qconv_error *error)
{
	static const struct qconv_options defaults;
	struct qc_check_report report = {0};
	struct qc_err err = {0};
	enum qc_status s;

	s = qc_check(&report, output, NULL, options ? options : &defaults, &err);
	qc_check_report_clear(&report);
	return qc_public_result(&err, s, error);
}
