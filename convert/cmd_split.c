/* qconv split, qconv merge: a GGUF model as several files or as one; the same tensors and metadata.
 */
#include <inttypes.h>
#include <string.h>

#include "convert/cli.h"
#include "convert/convert.h"
#include "convert/plan.h"
#include "formats/gguf.h"

enum { DEFAULT_TENSORS = 128 }; /* llama-gguf-split's */

static void print_summary(const struct qc_plan *plan, const struct qconv_summary *summary,
			  const char *output)
{
	char size[16];

	fprintf(stderr, "wrote %s: %zu file%s, %zu tensors, %s in %.2f s\n", output,
		plan->out.n_files, plan->out.n_files == 1 ? "" : "s", plan->n_steps,
		cli_bytes(summary->output_bytes, size, sizeof(size)), summary->seconds);
	fprintf(stderr, "xxh3_128 %s\n", summary->xxh3_128);
}

static void print_files(const struct qc_plan *plan)
{
	for (size_t i = 0; i < plan->out.n_files; i++) {
		const struct qc_out_file *file = &plan->out.files[i];
		uint64_t n = 0;

		for (size_t k = 0; k < plan->n_pieces; k++)
			n += plan->placed[k]->file == i;
		printf("%s%s%" PRIu64 " tensors, %" PRIu64 " bytes\n", file->name ? file->name : "",
		       file->name ? ": " : "", n, file->total_bytes);
	}
}

static enum qc_status move(struct qc_model *model, struct cli_args *args, struct qc_err *err)
{
	struct qc_plan plan = {0};
	struct qconv_summary summary;
	struct cli_progress progress;
	enum qc_status s = qc_plan_move(&plan, model, &args->options, err);

	if (!s && args->dry_run) {
		print_files(&plan);
	} else if (!s) {
		cli_progress_start(&progress, args->quiet);
		args->options.progress = cli_progress_show;
		args->options.user = &progress;
		s = qc_convert_plan(&plan, args->operands[1], &args->options, &summary, err);
		cli_progress_end(&progress);
		if (!s && !args->quiet)
			print_summary(&plan, &summary, args->operands[1]);
	}
	qc_plan_clear(&plan);
	return s;
}

static int run_split(struct cli_args *args)
{
	struct qc_model model = {0};
	struct qc_err err = {0};
	enum qc_status s;

	if (!args->options.split_bytes && !args->options.split_tensors)
		args->options.split_tensors = DEFAULT_TENSORS;
	s = qc_gguf_open_stored(&model, args->operands[0], &err);
	if (!s)
		s = move(&model, args, &err);
	qc_model_close(&model);
	return s ? cli_error(&err) : QCONV_DONE;
}

static enum qc_status check_set(const struct qc_model *model, const char *path, struct qc_err *err)
{
	size_t prefix;
	uint32_t no, count;

	if (model->n_files > 1 || qc_gguf_split_name(path, &prefix, &no, &count))
		return QC_OK;
	return qc_fail(err, QC_USAGE,
		       "'%s' is one whole file: name the first file of a set, "
		       "NAME-00001-of-0000N.gguf",
		       path);
}

static int run_merge(struct cli_args *args)
{
	const char *output = args->operands[1];
	struct qc_model model = {0};
	struct qc_err err = {0};
	enum qc_status s = QC_OK;

	if (qc_format_for_output(output) != &qc_format_gguf)
		s = qc_fail(&err, QC_USAGE, "output '%s': its name must end in .gguf", output);
	if (!s)
		s = qc_gguf_open_stored(&model, args->operands[0], &err);
	if (!s)
		s = check_set(&model, args->operands[0], &err);
	if (!s)
		s = move(&model, args, &err);
	qc_model_close(&model);
	return s ? cli_error(&err) : QCONV_DONE;
}

static const struct cli_option split_options[] = {
	{"split-max-size", "SIZE", CLI_DISK_SIZE, offsetof(struct cli_args, options.split_bytes),
	 "most bytes of tensors in one file: 500M (10^6), 2G (10^9)"},
	{"split-max-tensors", "N", CLI_COUNT, offsetof(struct cli_args, options.split_tensors),
	 "most tensors in one file (default, when no size is given: 128)"},
	{"dry-run", NULL, CLI_FLAG, offsetof(struct cli_args, dry_run),
	 "print what the files would hold, and stop"},
	{"threads", "N", CLI_INT, offsetof(struct cli_args, options.threads),
	 "threads to use (default: one per processor)"},
	{"force", NULL, CLI_FLAG, offsetof(struct cli_args, options.force),
	 "replace an existing output"},
	{"no-manifest", NULL, CLI_FLAG, offsetof(struct cli_args, options.no_manifest),
	 "write no manifest"},
	{"quiet", NULL, CLI_FLAG, offsetof(struct cli_args, quiet), "no progress and no summary"},
	{0},
};

static const struct cli_option merge_options[] = {
	{"dry-run", NULL, CLI_FLAG, offsetof(struct cli_args, dry_run),
	 "print what the files would hold, and stop"},
	{"threads", "N", CLI_INT, offsetof(struct cli_args, options.threads),
	 "threads to use (default: one per processor)"},
	{"force", NULL, CLI_FLAG, offsetof(struct cli_args, options.force),
	 "replace an existing output"},
	{"no-manifest", NULL, CLI_FLAG, offsetof(struct cli_args, options.no_manifest),
	 "write no manifest"},
	{"quiet", NULL, CLI_FLAG, offsetof(struct cli_args, quiet), "no progress and no summary"},
	{0},
};

const struct cli_command cli_split = {
	.name = "split",
	.operands = "FILE OUT-PREFIX",
	.about = "write a GGUF model as OUT-PREFIX-00001-of-0000N.gguf and so on, as "
		 "llama-gguf-split does",
	.min_operands = 2,
	.max_operands = 2,
	.options = split_options,
	.run = run_split,
};

const struct cli_command cli_merge = {
	.name = "merge",
	.operands = "FIRST-FILE OUT",
	.about = "write a split GGUF model as one file",
	.min_operands = 2,
	.max_operands = 2,
	.options = merge_options,
	.run = run_merge,
};
