/* qconv IN OUT: plan, show the plan, convert. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "convert/adapters.h"
#include "convert/cli.h"
#include "convert/convert.h"
#include "convert/plan.h"
#include "convert/tune_plan.h"
#include "convert/writer.h"
#include "formats/arch/arch.h"

static void print_adapters(FILE *out, const struct qc_model *model)
{
	for (const struct qc_adapter *a = model->adapters; a; a = a->next) {
		fputs("adapter  ", out);
		cli_print_text(out, a->path, strlen(a->path));
		fprintf(out, ", scale %g: %s\n", a->scale, a->what);
	}
}

static void print_model_line(FILE *out, const struct qc_plan *plan)
{
	const struct qc_model *model = plan->model;
	char size[16];

	fprintf(out, "source   %s, %zu tensors, %s, %s\n", model->format_detail,
		model->n_tensors + model->n_drops,
		cli_bytes(plan->source_bytes, size, sizeof(size)),
		model->arch ? model->arch->name : "no architecture");
	if (model->arch_note)
		fprintf(out, "         %s\n", model->arch_note);
	if (model->tokenizer_note)
		fprintf(out, "         %s\n", model->tokenizer_note);
	print_adapters(out, model);
}

static void print_imatrix(FILE *out, const struct qc_plan *plan)
{
	const struct qc_imatrix_gaps *gaps = &plan->imatrix_gaps;

	if (!plan->imatrix_path)
		return;
	fputs("imatrix  ", out);
	cli_print_text(out, plan->imatrix_path, strlen(plan->imatrix_path));
	fprintf(out, ": weights for %zu of %zu tensors that use them\n", plan->n_weighted,
		plan->n_weightable);
	if (gaps->matrices)
		fprintf(out, "         %" PRIu64 " experts without data: every channel counts 1\n",
			gaps->matrices);
	if (gaps->channels)
		fprintf(out,
			"         %" PRIu64 " channels without data: they count as the least of "
			"their matrix\n",
			gaps->channels);
}

static void print_totals(FILE *out, const struct qc_plan *plan, const char *output)
{
	char size[16], peak[16], disk[16];
	uint64_t room;

	fprintf(out, "target   %s, %s, method %s: %s (%" PRIu64 " bytes), %.4f bits per weight\n",
		plan->target->name, plan->recipe, plan->method,
		cli_bytes(plan->out.total_bytes, size, sizeof(size)), plan->out.total_bytes,
		qc_plan_bpw(plan));
	print_imatrix(out, plan);
	fprintf(out, "cost     peak memory %s with %u thread%s (%s)",
		cli_bytes(plan->peak_bytes, peak, sizeof(peak)), plan->threads,
		plan->threads == 1 ? "" : "s", qc_isa_name(plan->isa));
	if (qc_disk_free(output, &room))
		fprintf(out, ", disk %s of %s free",
			cli_bytes(plan->out.total_bytes, size, sizeof(size)),
			cli_bytes(room, disk, sizeof(disk)));
	fputc('\n', out);
	if (plan->calibration.bytes)
		fprintf(out, "         and %s for calibration\n",
			cli_bytes(plan->calibration.bytes, size, sizeof(size)));
	if (plan->measure && plan->packing && plan->packing->has_blocksize)
		fputs("         the size is exact but for the last digits of numbers that are "
		      "written as text\n",
		      out);
	if (plan->predicted)
		fprintf(out, "expect   KL divergence %.2g from the model as it is\n",
			plan->predicted_kld);
	fprintf(out, "notes    %zu fallback%s, %zu dropped\n", plan->n_fallbacks,
		plan->n_fallbacks == 1 ? "" : "s", plan->model->n_drops);
}

static void print_warnings(FILE *out, const struct qc_plan *plan)
{
	for (size_t i = 0; i < plan->n_steps; i++) {
		if (!plan->steps[i].fallback)
			continue;
		cli_print_text(out, plan->steps[i].name, strlen(plan->steps[i].name));
		fprintf(out, ": %s\n", plan->steps[i].why);
	}
	for (size_t i = 0; i < plan->model->n_drops; i++) {
		const struct qc_drop *drop = &plan->model->drops[i];

		cli_print_text(out, drop->name, strlen(drop->name));
		fprintf(out, ": dropped: %s\n", drop->reason);
	}
	for (const struct qc_unsaid *unsaid = plan->model->unsaid; unsaid; unsaid = unsaid->next) {
		cli_print_text(out, unsaid->key, strlen(unsaid->key));
		fprintf(out, ": %s\n", unsaid->why);
	}
}

static int name_width(const struct qc_plan *plan)
{
	size_t width = 6;

	for (size_t i = 0; i < plan->n_steps; i++) {
		size_t len = strlen(plan->steps[i].name);
		width = len > width ? len : width;
	}
	return width > 48 ? 48 : (int)width;
}

static void print_steps(const struct qc_plan *plan)
{
	int width = name_width(plan), from = 6;

	for (size_t i = 0; i < plan->n_steps; i++) {
		int len = (int)strlen(qc_tensor_stored_as(plan->steps[i].tensor));

		from = len > from ? len : from;
	}
	printf("%-*s %16s  %-*s -> %-6s %13s  %s\n", width, "tensor", "shape", from, "from", "to",
	       "bytes", "why");
	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct qc_step *step = &plan->steps[i];
		size_t len = strlen(step->name);
		char shape[96];

		qc_tensor_shape_text(step->tensor, shape, sizeof(shape));
		cli_print_text(stdout, step->name, len);
		printf("%*s %16s  %-*s -> %-6s %13" PRIu64 "  %s%s\n",
		       width > (int)len ? width - (int)len : 0, "", shape, from,
		       qc_tensor_stored_as(step->tensor), step->to_name, step->bytes, step->why, step->exact ? ", exact" : "");
	}
}

static void json_step(const struct qc_step *step)
{
	cli_json_field("    {", "name", step->name);
	cli_json_field(", ", "source_name", step->tensor->stored_name);
	fputs(", \"shape\": [", stdout);
	for (uint32_t d = step->tensor->n_dims; d > 0; d--)
		printf("%" PRIu64 "%s", step->tensor->dims[d - 1], d > 1 ? ", " : "");
	fputs("]", stdout);
	cli_json_field(", ", "encoding", step->tensor->encoding);
	printf(", \"from\": \"%s\", \"to\": \"%s\", \"offset\": %" PRIu64 ", \"bytes\": %" PRIu64,
	       step->from->name, step->to_name, step->pieces->offset, step->bytes);
	printf(", \"copy\": %s, \"exact\": %s, \"fallback\": %s", step->copy ? "true" : "false",
	       step->exact ? "true" : "false", step->fallback ? "true" : "false");
	cli_json_field(", ", "why", step->why);
	fputs(", \"stored\": [", stdout);
	for (size_t i = 0; i < step->n_pieces; i++) {
		const struct qc_piece *piece = &step->pieces[i];

		cli_json_field(i ? ", {" : "{", "name", piece->name);
		printf(", \"type\": \"%s\", \"file\": %u, \"offset\": %" PRIu64
		       ", \"bytes\": %" PRIu64 "}",
		       piece->type->name, piece->file, piece->offset, piece->bytes);
	}
	fputs("]}", stdout);
}

static void json_adapters(const struct qc_model *model)
{
	if (!model->adapters)
		return;
	fputs("  ],\n  \"adapters\": [\n", stdout);
	for (const struct qc_adapter *a = model->adapters; a; a = a->next) {
		cli_json_field("    {", "path", a->path);
		printf(", \"scale\": %.17g", a->scale);
		cli_json_field(", ", "what", a->what);
		fputs(a->next ? "},\n" : "}\n", stdout);
	}
}

/* Of a GGUF that becomes a Hugging Face checkpoint. */
static void json_unsaid(const struct qc_model *model)
{
	if (!model->unsaid)
		return;
	fputs("  \"not_brought_back\": [", stdout);
	for (const struct qc_unsaid *unsaid = model->unsaid; unsaid; unsaid = unsaid->next) {
		cli_json_field(unsaid == model->unsaid ? "{" : ", {", "key", unsaid->key);
		cli_json_field(", ", "reason", unsaid->why);
		putchar('}');
	}
	fputs("],\n", stdout);
}

static void json_totals(const struct qc_plan *plan, const char *output)
{
	uint64_t room;

	printf("  \"totals\": {\"tensors\": %zu, \"weights\": %" PRIu64
	       ", \"bits_per_weight\": %.6g, \"source_bytes\": %" PRIu64
	       ", \"output_bytes\": %" PRIu64 ", \"peak_memory_bytes\": %" PRIu64
	       ", \"threads\": %u, \"disk_free_bytes\": ",
	       plan->n_steps, plan->n_weights, qc_plan_bpw(plan), plan->source_bytes,
	       plan->out.total_bytes, plan->peak_bytes, plan->threads);
	if (qc_disk_free(output, &room))
		printf("%" PRIu64, room);
	else
		fputs("null", stdout);
	if (plan->predicted)
		printf(", \"predicted_kld\": %.6g", plan->predicted_kld);
	printf(", \"fallbacks\": %zu, \"dropped\": %zu}\n", plan->n_fallbacks,
	       plan->model->n_drops);
}

static void print_json(const struct qc_plan *plan, const char *output)
{
	const struct qc_model *model = plan->model;

	cli_json_field("{\n  \"source\": {", "path", model->path);
	cli_json_field(", ", "format", model->format_detail);
	cli_json_field(", ", "architecture", model->arch ? model->arch->name : NULL);
	cli_json_field(", ", "note", model->arch_note);
	cli_json_field(", ", "tokenizer", model->tokenizer_note);
	cli_json_field("},\n  \"target\": {", "path", output);
	cli_json_field(", ", "format", plan->target->name);
	cli_json_field(", ", "recipe", plan->recipe);
	cli_json_field(", ", "method", plan->method);
	fputs("},\n  \"tensors\": [\n", stdout);
	for (size_t i = 0; i < plan->n_steps; i++) {
		json_step(&plan->steps[i]);
		fputs(i + 1 < plan->n_steps ? ",\n" : "\n", stdout);
	}
	json_adapters(model);
	fputs("  ],\n  \"dropped\": [", stdout);
	for (size_t i = 0; i < model->n_drops; i++) {
		cli_json_field(i ? ", {" : "{", "name", model->drops[i].name);
		cli_json_field(", ", "reason", model->drops[i].reason);
		putchar('}');
	}
	fputs("],\n", stdout);
	json_unsaid(model);
	json_totals(plan, output);
	puts("}");
}

static void show_dry_run(const struct qc_plan *plan, const struct cli_args *args)
{
	if (args->json) {
		print_json(plan, args->operands[1]);
		return;
	}
	print_steps(plan);
	putchar('\n');
	print_model_line(stdout, plan);
	print_totals(stdout, plan, args->operands[1]);
	print_warnings(stdout, plan);
}

/* What has turned out only while the tensors were read. */
static void print_findings(FILE *out, const struct qc_plan *plan)
{
	size_t n_exact = 0;

	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct qc_step *step = &plan->steps[i];

		n_exact += step->exact;
		if (!step->finding)
			continue;
		cli_print_text(out, step->name, strlen(step->name));
		fprintf(out, ": %s\n", step->finding);
	}
	fprintf(out, "exact    %zu of %zu tensors\n", n_exact, plan->n_steps);
}

/* What calibration has come to: KL divergences on the held-out windows. */
static void print_calibration(FILE *out, const struct qc_plan *plan)
{
	const struct qc_calibration *c = &plan->calibration;

	if (!c->done)
		return;
	fprintf(out,
		"calib    %zu windows of %zu tokens, %zu of them held out: %zu of %zu tensors "
		"better\n"
		"         held-out KL divergence %.6f, %.6f without: %s\n",
		c->n_windows, c->length, c->n_held, c->n_better, c->n_tensors, c->kld,
		c->searched_kld, c->kept ? "kept" : "refused, the output is that of search");
}

static void print_summary(const struct qc_plan *plan, const struct qconv_summary *summary,
			  const char *output)
{
	char in[16], out[16];

	print_findings(stderr, plan);
	print_calibration(stderr, plan);
	fprintf(stderr, "wrote %s: %s from %s in %.2f s (%.2f GB/s), %.4f bits per weight\n",
		output, cli_bytes(summary->output_bytes, out, sizeof(out)),
		cli_bytes(summary->source_bytes, in, sizeof(in)), summary->seconds,
		summary->seconds > 0 ? (double)summary->source_bytes / summary->seconds * 1e-9 : 0,
		qc_plan_bpw(plan));
	fprintf(stderr, "xxh3_128 %s\n", summary->xxh3_128);
}

static void json_summary(const struct qc_plan *plan, const struct qconv_summary *summary,
			 const char *output)
{
	const struct qc_calibration *c = &plan->calibration;
	size_t n_exact = 0;

	for (size_t i = 0; i < plan->n_steps; i++)
		n_exact += plan->steps[i].exact;
	cli_json_field("{", "output", output);
	printf(", \"tensors\": %" PRIu64 ", \"exact\": %zu, \"weights\": %" PRIu64
	       ", \"source_bytes\": %" PRIu64 ", \"output_bytes\": %" PRIu64
	       ", \"seconds\": %.3f, \"xxh3_128\": \"%s\"",
	       summary->n_tensors, n_exact, summary->n_weights, summary->source_bytes,
	       summary->output_bytes, summary->seconds, summary->xxh3_128);
	if (c->done)
		printf(", \"calibration\": {\"windows\": %zu, \"held_out\": %zu, \"tensors\": %zu, "
		       "\"better\": %zu, \"kld\": %.9g, \"kld_search\": %.9g, \"kept\": %s}",
		       c->n_windows, c->n_held, c->n_tensors, c->n_better, c->kld, c->searched_kld,
		       c->kept ? "true" : "false");
	puts("}");
}

static enum qc_status convert(struct qc_plan *plan, struct cli_args *args, struct qc_err *err)
{
	struct cli_progress progress;
	struct qconv_summary summary = {0};
	enum qc_status s;

	if (!args->quiet) {
		print_model_line(stderr, plan);
		print_totals(stderr, plan, args->operands[1]);
		print_warnings(stderr, plan);
	}
	cli_progress_start(&progress, args->quiet);
	args->options.progress = cli_progress_show;
	args->options.user = &progress;
	s = qc_convert_plan(plan, args->operands[1], &args->options, &summary, err);
	cli_progress_end(&progress);
	if (s)
		return s;
	if (args->json)
		json_summary(plan, &summary, args->operands[1]);
	if (!args->quiet)
		print_summary(plan, &summary, args->operands[1]);
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
		s = qc_model_open(&model, args->operands[0], &err);
	if (!s)
		s = qc_adapters_apply(&model, target, &args->options, &err);
	if (!s)
		s = qc_plan_build(&plan, &model, target, &args->options, &err);
	if (!s)
		s = qc_tune_memory(&plan, &args->options, &plan.calibration.bytes, &err);
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
	 "a text, plain or .gz, to calibrate on"},
	{"calib-windows", "N", CLI_SIZE, offsetof(struct cli_args, options.calib_windows),
	 "windows of that text to use (default: 256)"},
	{"calib-ctx", "N", CLI_SIZE, offsetof(struct cli_args, options.calib_ctx),
	 "tokens in each of them (default: 512)"},
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
	{"split-max-tensors", "N", CLI_SIZE, offsetof(struct cli_args, options.split_tensors),
	 "GGUF: write a set of files with at most N tensors each"},
	{"shard-size", "SIZE", CLI_SIZE, offsetof(struct cli_args, options.shard_bytes),
	 "largest .safetensors file of a directory (default: 5 GB)"},
	{"imatrix", "FILE", CLI_STRING, offsetof(struct cli_args, options.imatrix),
	 "weights of importance, from 'qconv calibrate' or llama-imatrix"},
	{"act", "KIND", CLI_STRING, offsetof(struct cli_args, options.act),
	 "nvfp4: write the scales of quantized activations too (W4A4), from --imatrix"},
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
