/* qconv verify: is the file whole, is it the one that was written, how far is it from its source,
 * and will those who load it understand it. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "convert/check.h"
#include "convert/cli.h"
#include "convert/lint.h"

enum { WORST = 10, FINDINGS_A_RULE = 20 };

static int by_error(const void *a, const void *b)
{
	const struct qc_tensor_error *x = *(const struct qc_tensor_error *const *)a;
	const struct qc_tensor_error *y = *(const struct qc_tensor_error *const *)b;

	if (x->rel_rmse != y->rel_rmse)
		return x->rel_rmse < y->rel_rmse ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* The report's entries, worst first (malloc); NULL when there are none or memory is out. */
static const struct qc_tensor_error **sorted_errors(const struct qc_check_report *report)
{
	const struct qc_tensor_error **list = malloc((report->n_errors + 1) * sizeof(*list));

	if (!list)
		return NULL;
	for (size_t i = 0; i < report->n_errors; i++)
		list[i] = &report->errors[i];
	qsort(list, report->n_errors, sizeof(*list), by_error);
	return list;
}

static void print_sqnr(const struct qc_tensor_error *error)
{
	if (error->exact)
		fputs("   exact\n", stdout);
	else
		printf("%8.2f\n", error->sqnr_db);
}

static void print_names(const char *what, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n && i < WORST; i++)
		printf("%s: %s\n", what, names[i]);
	if (n > WORST)
		printf("%s: and %zu more\n", what, n - WORST);
}

static void print_comparison(const struct qc_check_report *report, const char *against)
{
	const struct qc_tensor_error **list = sorted_errors(report);

	printf("against %s: %zu tensors compared, %zu exact, relative RMSE %.6g over the others\n",
	       against, report->n_errors, report->n_exact, report->total_rel_rmse);
	print_names("missing", report->missing, report->n_missing);
	print_names("not in the source", report->extra, report->n_extra);
	print_names("other shape", report->mismatched, report->n_mismatched);
	if (list && report->n_errors > report->n_exact) {
		printf("%-32s %-12s %10s %10s %10s %8s\n", "worst", "type", "rel RMSE", "max error",
		       "cosine", "SQNR dB");
		for (size_t i = 0; i < report->n_errors && i < WORST && !list[i]->exact; i++) {
			printf("%-32s %-12s %10.6f %10.4g %10.7f ", list[i]->name, list[i]->type,
			       list[i]->rel_rmse, list[i]->max_abs, list[i]->cosine);
			print_sqnr(list[i]);
		}
	}
	free(list);
}

static const char *hash_text(enum qc_hash_state state)
{
	return state == QC_HASH_EQUAL	    ? "equal to the manifest"
	       : state == QC_HASH_DIFFERENT ? "DIFFERENT from the manifest"
					    : "no manifest beside the file";
}

static void print_report(const struct qc_check_report *report, const struct cli_args *args)
{
	printf("%s: structure ok, %zu tensors, %" PRIu64 " bytes\n", args->operands[0],
	       report->n_tensors, report->bytes);
	printf("checksums: %s\n", hash_text(report->hashes));
	if (args->against)
		print_comparison(report, args->against);
}

static void print_finding(const struct qc_finding *finding)
{
	printf("%s: ", finding->severity == QC_LINT_ERROR ? "error" : "warning");
	cli_print_text(stdout, finding->subject, strlen(finding->subject));
	fputs(": ", stdout);
	cli_print_text(stdout, finding->found, strlen(finding->found));
	fputs("; expected ", stdout);
	cli_print_text(stdout, finding->expected, strlen(finding->expected));
	printf(" [%s]: %s\n", finding->rule, finding->loader);
}

/* The findings of a rule stand together: only the first ones of each are shown. */
static void print_findings(const struct qc_findings *findings)
{
	const size_t n_warnings = findings->n - findings->n_errors;
	size_t of_rule = 0;

	printf("lint: %zu error%s, %zu warning%s\n", findings->n_errors,
	       findings->n_errors == 1 ? "" : "s", n_warnings, n_warnings == 1 ? "" : "s");
	for (size_t i = 0; i < findings->n; i++) {
		const struct qc_finding *finding = &findings->list[i];
		const bool last = i + 1 == findings->n || finding[1].rule != finding->rule;

		if (of_rule++ < FINDINGS_A_RULE)
			print_finding(finding);
		if (last && of_rule > FINDINGS_A_RULE)
			printf("and %zu more [%s]; --json lists all\n", of_rule - FINDINGS_A_RULE,
			       finding->rule);
		if (last)
			of_rule = 0;
	}
}

static void json_findings(const struct qc_findings *findings)
{
	fputs(",\n  \"findings\": [", stdout);
	for (size_t i = 0; i < findings->n; i++) {
		const struct qc_finding *f = &findings->list[i];

		cli_json_field(i ? ",\n    {" : "\n    {", "severity",
			       f->severity == QC_LINT_ERROR ? "error" : "warning");
		cli_json_field(", ", "rule", f->rule);
		cli_json_field(", ", "subject", f->subject);
		cli_json_field(", ", "found", f->found);
		cli_json_field(", ", "expected", f->expected);
		cli_json_field(", ", "loader", f->loader);
		putchar('}');
	}
	fputs(findings->n ? "\n  ]" : "]", stdout);
}

/* JSON has no infinity: an exact tensor has no SQNR. */
static void json_error(const struct qc_tensor_error *error)
{
	fputs("    {\"name\": ", stdout);
	qc_json_print_string(stdout, error->name, strlen(error->name));
	printf(", \"type\": \"%s\", \"source_type\": \"%s\", \"elements\": %" PRIu64
	       ", \"exact\": %s, \"rel_rmse\": %.9g, "
	       "\"max_error\": %.9g, \"cosine\": %.9g, \"sqnr_db\": ",
	       error->type, error->source_type, error->n, error->exact ? "true" : "false",
	       error->rel_rmse, error->max_abs, error->cosine);
	if (isfinite(error->sqnr_db))
		printf("%.6g}", error->sqnr_db);
	else
		fputs("null}", stdout);
}

static void print_json(const struct qc_check_report *report, const struct qc_findings *findings,
		       const struct cli_args *args, const struct qc_err *err)
{
	static const char *const states[] = {"none", "equal", "different"};

	printf("{\n  \"file\": ");
	qc_json_print_string(stdout, args->operands[0], strlen(args->operands[0]));
	printf(",\n  \"ok\": %s,\n  \"error\": ", err->status ? "false" : "true");
	if (err->status)
		qc_json_print_string(stdout, err->text, strlen(err->text));
	else
		fputs("null", stdout);
	printf(",\n  \"tensors\": %zu,\n  \"bytes\": %" PRIu64 ",\n  \"manifest\": \"%s\"",
	       report->n_tensors, report->bytes, states[report->hashes]);
	if (args->against) {
		printf(",\n  \"exact\": %zu,\n  \"rel_rmse\": %.9g", report->n_exact,
		       report->total_rel_rmse);
		cli_json_names("missing", report->missing, report->n_missing);
		cli_json_names("extra", report->extra, report->n_extra);
		cli_json_names("other_shape", report->mismatched, report->n_mismatched);
		fputs(",\n  \"errors\": [\n", stdout);
		for (size_t i = 0; i < report->n_errors; i++) {
			json_error(&report->errors[i]);
			fputs(i + 1 < report->n_errors ? ",\n" : "\n", stdout);
		}
		fputs("  ]", stdout);
	}
	if (!args->no_lint)
		json_findings(findings);
	fputs("\n}\n", stdout);
}

/* With --tolerance an error above it is a difference; NaN is always above. */
static enum qc_status apply_tolerance(const struct qc_check_report *report, double tolerance,
				      struct qc_err *err)
{
	for (size_t i = 0; i < report->n_errors; i++)
		if (!(report->errors[i].rel_rmse <= tolerance))
			return qc_fail(
				err, QC_DIFFERENT, "tensor '%s': relative RMSE %g is above %g",
				report->errors[i].name, report->errors[i].rel_rmse, tolerance);
	return QC_OK;
}

/* The rules say more than a reader's refusal does: they are asked whenever there is something to
 * read. `status` is that of the check, with its text in `err`; returns what comes of both. */
static enum qc_status run_lint(struct qc_findings *findings, const struct cli_args *args,
			       enum qc_status status, struct qc_err *err)
{
	const bool refused = status == QC_BAD_INPUT || status == QC_UNSUPPORTED;
	struct qc_err own = {0};
	enum qc_status s;

	if (args->no_lint || (status && !refused && status != QC_DIFFERENT))
		return status;
	s = qc_lint(findings, args->operands[0], &args->options, &own);
	if (s && !status) {
		*err = own;
		return s;
	}
	if (!findings->n_errors)
		return status;
	if (!status)
		return qc_fail(err, QC_DIFFERENT, "'%s': lint found %zu error%s", args->operands[0],
			       findings->n_errors, findings->n_errors == 1 ? "" : "s");
	return err->status = QC_DIFFERENT;
}

static int run_verify(struct cli_args *args)
{
	struct cli_progress progress;
	struct qc_check_report report = {0};
	struct qc_findings findings = {0};
	struct qc_err err = {0};
	enum qc_status s;
	bool readable;

	if (args->tolerance >= 0 && !args->against) {
		fputs("qconv: --tolerance needs --against\n", stderr);
		return QCONV_USAGE;
	}
	cli_progress_start(&progress, args->quiet);
	args->options.progress = cli_progress_show;
	args->options.user = &progress;
	s = qc_check(&report, args->operands[0], args->against, &args->options, &err);
	cli_progress_end(&progress);
	if (!s && args->tolerance >= 0)
		s = apply_tolerance(&report, args->tolerance, &err);
	readable = !s || (s == QC_DIFFERENT && report.n_tensors);
	s = run_lint(&findings, args, s, &err);
	if (args->json) {
		print_json(&report, &findings, args, &err);
	} else {
		if (readable)
			print_report(&report, args);
		if (!args->no_lint && (readable || findings.n))
			print_findings(&findings);
	}
	qc_check_report_clear(&report);
	qc_findings_clear(&findings);
	return s ? cli_error(&err) : QCONV_DONE;
}

static const struct cli_option verify_options[] = {
	{"against", "IN", CLI_STRING, offsetof(struct cli_args, against),
	 "compare every tensor with its source: any input that qconv reads"},
	{"tolerance", "X", CLI_NUMBER, offsetof(struct cli_args, tolerance),
	 "a relative RMSE above X is a difference (0: any difference at all)"},
	{"no-lint", NULL, CLI_FLAG, offsetof(struct cli_args, no_lint),
	 "leave out the rules for what loaders assume"},
	{"json", NULL, CLI_FLAG, offsetof(struct cli_args, json),
	 "the report as JSON on standard output"},
	{"threads", "N", CLI_INT, offsetof(struct cli_args, options.threads),
	 "threads to use (default: one per processor)"},
	{"quiet", NULL, CLI_FLAG, offsetof(struct cli_args, quiet), "no progress"},
	{0},
};

const struct cli_command cli_verify = {
	.name = "verify",
	.operands = "FILE|DIR",
	.about = "read a model back: structure, checksums against its manifest, error against its "
		 "source, what loaders assume",
	.min_operands = 1,
	.max_operands = 1,
	.options = verify_options,
	.run = run_verify,
};
