/* qconv diff: what is different between two models. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "convert/cli.h"
#include "convert/diff.h"

static void print_type(const struct qc_kv *kv)
{
	fputs(qc_kv_type_name(kv->elem), stdout);
	if (kv->type == QC_KV_ARRAY)
		printf("[%" PRIu64 "]", kv->n);
}

static void print_key(char sign, const struct qc_kv *kv)
{
	printf("%c ", sign);
	cli_print_text(stdout, kv->key, strlen(kv->key));
	putchar(' ');
	print_type(kv);
	fputs(" = ", stdout);
	cli_print_value(kv, false);
	putchar('\n');
}

static void print_change(const struct qc_meta_difference *d)
{
	const bool types = d->a->type != d->b->type || d->a->elem != d->b->elem;

	fputs("~ ", stdout);
	cli_print_text(stdout, d->a->key, strlen(d->a->key));
	if (types || d->a->type == QC_KV_ARRAY) {
		putchar(' ');
		print_type(d->a);
		fputs(" -> ", stdout);
		print_type(d->b);
	}
	if (d->n_elements) {
		printf(": %" PRIu64 " elements differ, the first is %" PRIu64 "\n", d->n_elements,
		       d->first);
		return;
	}
	fputs(": ", stdout);
	cli_print_value(d->a, false);
	fputs(" -> ", stdout);
	cli_print_value(d->b, false);
	putchar('\n');
}

static void print_meta(const struct qc_diff *diff)
{
	printf("metadata: %zu removed, %zu added, %zu changed\n", diff->n_removed, diff->n_added,
	       diff->n_changed);
	for (size_t i = 0; i < diff->n_keys; i++) {
		const struct qc_meta_difference *d = &diff->keys[i];

		if (d->a && d->b)
			print_change(d);
		else
			print_key(d->a ? '-' : '+', d->a ? d->a : d->b);
	}
}

static void print_tensor(const struct qc_tensor *tensor)
{
	char shape[96];

	qc_tensor_shape_text(tensor, shape, sizeof(shape));
	printf(" %s %s", tensor->source->type->name, shape);
}

/* The report's names with what their tensors are. The names are in the model's order, so one walk
 * finds them all. */
static void print_listed(char sign, const struct qc_model *model, const char *const *names,
			 size_t n)
{
	for (size_t i = 0, k = 0; i < n; i++) {
		while (k < model->n_tensors && strcmp(model->tensors[k].name, names[i]) != 0 &&
		       strcmp(model->tensors[k].stored_name, names[i]) != 0)
			k++;
		printf("%c ", sign);
		cli_print_text(stdout, names[i], strlen(names[i]));
		if (k < model->n_tensors)
			print_tensor(&model->tensors[k++]);
		putchar('\n');
	}
}

static bool is_different(const struct qc_tensor_error *e)
{
	return !e->exact || strcmp(e->type, e->source_type) != 0;
}

static void print_tensors(const struct qc_diff *diff)
{
	const struct qc_check_report *r = &diff->tensors;

	printf("tensors: %zu removed, %zu added, %zu of another shape; of %zu others %zu have "
	       "another type, %zu other values\n",
	       r->n_missing, r->n_extra, r->n_mismatched, r->n_errors, diff->n_other_type,
	       r->n_errors - r->n_exact);
	print_listed('-', &diff->a, r->missing, r->n_missing);
	print_listed('+', &diff->b, r->extra, r->n_extra);
	print_listed('<', &diff->a, r->mismatched, r->n_mismatched);
	for (size_t i = 0; i < r->n_errors; i++) {
		const struct qc_tensor_error *e = &r->errors[i];

		if (!is_different(e))
			continue;
		fputs("~ ", stdout);
		cli_print_text(stdout, e->name, strlen(e->name));
		if (strcmp(e->type, e->source_type) != 0)
			printf(" %s -> %s", e->source_type, e->type);
		else
			printf(" %s", e->type);
		if (e->exact)
			fputs(", the same values\n", stdout);
		else
			printf(", relative RMSE %.6g, max error %.4g\n", e->rel_rmse, e->max_abs);
	}
	if (r->n_errors > r->n_exact)
		printf("over all that differ: relative RMSE %.6g\n", r->total_rel_rmse);
}

/* A side of a difference: null, or type and value; of an array only its length. */
static void json_side(const char *name, const struct qc_kv *kv)
{
	printf(", \"%s\": ", name);
	if (!kv) {
		fputs("null", stdout);
		return;
	}
	printf("{\"type\": \"%s%s\", ", qc_kv_type_name(kv->elem),
	       kv->type == QC_KV_ARRAY ? "[]" : "");
	if (kv->type == QC_KV_ARRAY) {
		printf("\"length\": %" PRIu64 "}", kv->n);
		return;
	}
	fputs("\"value\": ", stdout);
	cli_print_value(kv, true);
	putchar('}');
}

static void json_number(const char *key, double value)
{
	if (isfinite(value))
		printf(", \"%s\": %.9g", key, value);
	else
		printf(", \"%s\": null", key);
}

static void json_tensors(const struct qc_check_report *r)
{
	bool first = true;

	cli_json_names("removed", r->missing, r->n_missing);
	cli_json_names("added", r->extra, r->n_extra);
	cli_json_names("other_shape", r->mismatched, r->n_mismatched);
	fputs(",\n  \"tensors\": [", stdout);
	for (size_t i = 0; i < r->n_errors; i++) {
		const struct qc_tensor_error *e = &r->errors[i];

		if (!is_different(e))
			continue;
		cli_json_field(first ? "\n    {" : ",\n    {", "name", e->name);
		cli_json_field(", ", "a", e->source_type);
		cli_json_field(", ", "b", e->type);
		json_number("rel_rmse", e->rel_rmse);
		json_number("max_error", e->max_abs);
		putchar('}');
		first = false;
	}
	fputs(first ? "]" : "\n  ]", stdout);
}

static void print_json(const struct qc_diff *diff, const struct cli_args *args)
{
	cli_json_field("{\n  ", "a", args->operands[0]);
	cli_json_field(",\n  ", "b", args->operands[1]);
	printf(",\n  \"equal\": %s,\n  \"metadata\": [", diff->equal ? "true" : "false");
	for (size_t i = 0; i < diff->n_keys; i++) {
		const struct qc_meta_difference *d = &diff->keys[i];

		cli_json_field(i ? ",\n    {" : "\n    {", "key", (d->a ? d->a : d->b)->key);
		json_side("a", d->a);
		json_side("b", d->b);
		if (d->n_elements)
			printf(", \"elements\": %" PRIu64 ", \"first\": %" PRIu64, d->n_elements,
			       d->first);
		putchar('}');
	}
	fputs(diff->n_keys ? "\n  ]" : "]", stdout);
	printf(",\n  \"compared\": %zu,\n  \"exact\": %zu", diff->tensors.n_errors,
	       diff->tensors.n_exact);
	json_tensors(&diff->tensors);
	fputs("\n}\n", stdout);
}

static int run_diff(struct cli_args *args)
{
	struct cli_progress progress;
	struct qc_diff diff = {0};
	struct qc_err err = {0};
	enum qc_status s;
	int code = QCONV_DONE;

	cli_progress_start(&progress, args->quiet);
	args->options.progress = cli_progress_show;
	args->options.user = &progress;
	s = qc_diff_run(&diff, args->operands[0], args->operands[1], &args->options, &err);
	cli_progress_end(&progress);
	if (s)
		return cli_error(&err);
	if (args->json) {
		print_json(&diff, args);
	} else if (!diff.equal) {
		print_meta(&diff);
		print_tensors(&diff);
	}
	if (!diff.equal)
		code = QCONV_DIFFERENT;
	qc_diff_clear(&diff);
	return code;
}

static const struct cli_option diff_options[] = {
	{"json", NULL, CLI_FLAG, offsetof(struct cli_args, json), "as JSON on standard output"},
	{"threads", "N", CLI_INT, offsetof(struct cli_args, options.threads),
	 "threads to use (default: one per processor)"},
	{"quiet", NULL, CLI_FLAG, offsetof(struct cli_args, quiet), "no progress"},
	{0},
};

const struct cli_command cli_diff = {
	.name = "diff",
	.operands = "A B",
	.about = "compare two models: metadata, tensors, types, and the error of every tensor",
	.min_operands = 2,
	.max_operands = 2,
	.options = diff_options,
	.run = run_diff,
};
