/* qconv IN OUT: plan, show the plan, convert. */
#include "convert/adapters.h"
#include "convert/cli.h"
#include "convert/convert.h"
#include "convert/plan.h"
#include "convert/tune_plan.h"

static void show_dry_run(const struct qc_plan *plan, const struct cli_args *args)
{
	if (args->json) {
		cli_json_plan(plan, args->operands[1]);
		return;
	}
	cli_print_steps(plan);
	putchar('\n');
	cli_print_plan(stdout, plan, args->operands[1]);
}

static enum qc_status convert(struct qc_plan *plan, struct cli_args *args, struct qc_err *err)
{
	struct cli_progress progress;
	struct qconv_summary summary = {0};
	enum qc_status s;

	if (!args->quiet)
		cli_print_plan(stderr, plan, args->operands[1]);
	cli_progress_start(&progress, args->quiet);
	args->options.progress = cli_progress_show;
	args->options.user = &progress;
	s = qc_convert_plan(plan, args->operands[1], &args->options, &summary, err);
	cli_progress_end(&progress);
	if (s)
		return s;
	if (args->json)
		cli_json_summary(plan, &summary, args->operands[1]);
	if (!args->quiet)
		cli_print_summary(plan, &summary, args->operands[1]);
	return QC_OK;
}

static int run_convert(struct cli_args *args)
{
	const struct qc_format *target;
	struct qc_model model = {0};
	struct qc_plan plan = {0};
	struct qc_err err = {0};
	enum qc_status s = qc_convert_target(args->operands[1], &target, &err);

	if (!s)
		s = qc_adapters_open(&model, args->operands[0], target, &args->options, &err);
	if (!s)
		s = qc_plan_build(&plan, &model, target, &args->options, &err);
	if (!s && args->dry_run)
		show_dry_run(&plan, args);
	else if (!s)
		s = convert(&plan, args, &err);
	qc_plan_clear(&plan);
	qc_model_close(&model);
	return s ? cli_error(&err) : QCONV_DONE;
}

static const struct cli_option convert_options[] = {
	{"q", "NAME", CLI_STRING, offsetof(struct cli_args, options.quant),
	 "recipe or type, see 'qconv types' (default: the source's precision)"},
	{"calib", "TEXT", CLI_STRING, offsetof(struct cli_args, options.calib),
	 "a text, plain or .gz, to calibrate on, or to learn weights of importance from"},
	{"calib-windows", "N", CLI_COUNT, offsetof(struct cli_args, options.calib_windows),
	 "windows of that text to use (default: 256)"},
	{"calib-ctx", "N", CLI_COUNT, offsetof(struct cli_args, options.calib_ctx),
	 "tokens in each of them (default: 512)"},
	{"awq", NULL, CLI_FLAG, offsetof(struct cli_args, options.awq),
	 "with --calib: scale input channels, and the norm or matrix before them inversely, where "
	 "that lowers the error"},
	{"no-bias-correction", NULL, CLI_FLAG,
	 offsetof(struct cli_args, options.no_bias_correction),
	 "with --calib: leave biases as they are"},
	{"calib-gradients", NULL, CLI_FLAG, offsetof(struct cli_args, options.calib_gradients),
	 "with --calib: let rows make up for each other, by the gradients of the predictions"},
	{"target-bpw", "X", CLI_NUMBER, offsetof(struct cli_args, options.target_bpw),
	 "choose every matrix' type so that all tensors together have X bits per weight"},
	{"target-size", "SIZE", CLI_SIZE, offsetof(struct cli_args, options.target_bytes),
	 "the same, for a file of SIZE"},
	{"ladder", "TYPES", CLI_STRING, offsetof(struct cli_args, options.ladder),
	 "types to choose from, with commas between"},
	{"pure", NULL, CLI_FLAG, offsetof(struct cli_args, options.pure),
	 "every matrix the type itself, without the recipe's exceptions"},
	{"tensor", "REGEX=TYPE", CLI_LIST, offsetof(struct cli_args, rules),
	 "type of the tensors whose name matches; repeatable, first match wins"},
	{"recipe", "FILE", CLI_STRING, offsetof(struct cli_args, options.recipe_file),
	 "lines of 'regex = type  # comment', after every --tensor"},
	{"tensor-type", "REGEX=TYPE", CLI_LIST, offsetof(struct cli_args, rules),
	 "the same, as llama-quantize calls it"},
	{"tensor-type-file", "FILE", CLI_STRING, offsetof(struct cli_args, options.recipe_file),
	 "the same as --recipe"},
	{"output-type", "TYPE", CLI_STRING, offsetof(struct cli_args, options.output_type),
	 "GGUF: type of output.weight, or of the embedding that is the head, too"},
	{"output-tensor-type", "TYPE", CLI_STRING, offsetof(struct cli_args, options.output_type),
	 "the same, as llama-quantize calls it"},
	{"token-embedding-type", "TYPE", CLI_STRING,
	 offsetof(struct cli_args, options.embedding_type), "GGUF: type of the token embedding"},
	{"leave-output-tensor", NULL, CLI_FLAG, offsetof(struct cli_args, options.leave_output),
	 "GGUF: output.weight stays as it is"},
	{"prune-layers", "LIST", CLI_STRING, offsetof(struct cli_args, options.prune_layers),
	 "GGUF: leave out these blocks (3,7,8); later ones move up"},
	{"override-kv", "KEY=TYPE:VALUE", CLI_LIST, offsetof(struct cli_args, overrides),
	 "GGUF: set a metadata key, TYPE int, float, bool or str; repeatable"},
	{"include-weights", "PART", CLI_LIST, offsetof(struct cli_args, included),
	 "only those entries of the imatrix whose name holds PART; repeatable"},
	{"exclude-weights", "PART", CLI_LIST, offsetof(struct cli_args, excluded),
	 "all entries of the imatrix but those; repeatable"},
	{"lora", "DIR[:SCALE]", CLI_LIST, offsetof(struct cli_args, loras),
	 "merge this PEFT adapter; repeatable"},
	{"lora-only", NULL, CLI_FLAG, offsetof(struct cli_args, options.lora_only),
	 "write the adapter itself, as a GGUF adapter"},
	{"layout", "NAME", CLI_STRING, offsetof(struct cli_args, options.layout),
	 "safetensors: modelopt, compressed-tensors, gpt-oss or block, as --q has it"},
	{"skip", "REGEX", CLI_LIST, offsetof(struct cli_args, skips),
	 "safetensors: leave the weights whose name matches unpacked; repeatable"},
	{"blocksize", "N", CLI_INT, offsetof(struct cli_args, options.blocksize),
	 "nf4 and fp4: weights that share a scale, 32 to 4096 (default: 64)"},
	{"double-quant", NULL, CLI_FLAG, offsetof(struct cli_args, options.double_quant),
	 "nf4 and fp4: scales in 8 bits"},
	{"split-max-size", "SIZE", CLI_DISK_SIZE, offsetof(struct cli_args, options.split_bytes),
	 "GGUF: write a set of files with at most SIZE of tensors each: 500M, 2G"},
	{"split-max-tensors", "N", CLI_COUNT, offsetof(struct cli_args, options.split_tensors),
	 "GGUF: write a set of files with at most N tensors each"},
	{"shard-size", "SIZE", CLI_SIZE, offsetof(struct cli_args, options.shard_bytes),
	 "largest .safetensors file of a directory (default: 5 GB)"},
	{"imatrix", "FILE", CLI_STRING, offsetof(struct cli_args, options.imatrix),
	 "weights of importance, from 'qconv calibrate' or llama-imatrix"},
	{"act", "KIND", CLI_STRING, offsetof(struct cli_args, options.act),
	 "nvfp4: write the scales of quantized activations too (W4A4), from --imatrix or --calib"},
	{"method", "NAME", CLI_STRING, offsetof(struct cli_args, options.method),
	 "how to quantize: reference (the format's own bytes), search (lower error), gptq (lower "
	 "still, needs --calib and is the default with it)"},
	{"dry-run", NULL, CLI_FLAG, offsetof(struct cli_args, dry_run),
	 "print the plan and stop: types, sizes, memory, disk, fallbacks, drops"},
	{"json", NULL, CLI_FLAG, offsetof(struct cli_args, json),
	 "the plan (--dry-run) or the summary as JSON on standard output"},
	{"threads", "N", CLI_INT, offsetof(struct cli_args, options.threads),
	 "threads to use (default: one per processor)"},
	{"mem-limit", "SIZE", CLI_SIZE, offsetof(struct cli_args, options.mem_limit),
	 "refuse a plan whose peak memory is above SIZE"},
	{"strict", NULL, CLI_FLAG, offsetof(struct cli_args, options.strict),
	 "refuse to drop any tensor"},
	{"force", NULL, CLI_FLAG, offsetof(struct cli_args, options.force),
	 "replace an existing output"},
	{"no-manifest", NULL, CLI_FLAG, offsetof(struct cli_args, options.no_manifest),
	 "write no OUT.qconv.json"},
	{"quiet", NULL, CLI_FLAG, offsetof(struct cli_args, quiet), "no progress and no summary"},
	{0},
};

const struct cli_command cli_convert = {
	.operands = "IN OUT",
	.about = "Convert IN (a Hugging Face directory, a .safetensors or a .gguf) into OUT (a "
		 ".gguf, a\n.safetensors, or a directory).",
	.min_operands = 2,
	.max_operands = 2,
	.options = convert_options,
	.run = run_convert,
};
