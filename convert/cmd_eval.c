/* qconv eval: how well a model predicts a text, and how far it is from a reference. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "calib/eval.h"
#include "convert/cli.h"

enum { DEFAULT_MEMORY = 1 << 30 };

/* One model at work. */
struct subject {
	struct qc_model model;
	struct qc_forward *forward;
};

/* One updating line, on a terminal only. */
static void show_line(const struct cli_args *args, const char *what, size_t done, size_t n)
{
	if (!args->quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r%s %zu of %zu  %s", what, done, n, done == n ? "\n" : "");
}

static void show_blocks(void *user, uint32_t done, uint32_t n)
{
	show_line(user, "block", done, n);
}

static void show_windows(void *user, size_t done, size_t n)
{
	show_line(user, "window", done, n);
}

/* Its forward pass, with activations in a temporary file past `limit` bytes. */
static enum qc_status start(struct subject *subject, const struct cli_args *args, uint64_t limit,
			    enum qc_inputs inputs, struct qc_err *err)
{
	const struct qc_forward_options options = {
		.threads = args->options.threads,
		.mem_limit = limit,
		.stop = &cli_stop,
		.inputs = inputs,
		.progress = show_blocks,
		.progress_user = (void *)(uintptr_t)args,
	};

	return qc_forward_open(&subject->forward, &subject->model, &options, err);
}

static void close_subject(struct subject *subject)
{
	qc_forward_close(subject->forward);
	qc_model_close(&subject->model);
}

static enum qc_status make_windows(const struct subject *subject, const struct cli_args *args,
				   struct qc_windows *windows, struct qc_err *err)
{
	const struct qc_window_options options = {
		.length = args->ctx ? args->ctx : QC_WINDOW_LENGTH,
		.most = args->windows,
		.full = args->full,
	};

	if (options.length > QC_WINDOW_LONGEST)
		return qc_fail(err, QC_USAGE, "--ctx %zu is above %d", options.length,
			       QC_WINDOW_LONGEST);
	return qc_windows_of_text(windows, &subject->model, args->text, &options, err);
}

static void print_percentiles(const char *unit, const double *percents, const double *values,
			      size_t n, double scale, int digits)
{
	for (size_t i = 0; i < n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%4.1f%%", percents[i]);
		printf("%-7s %s: %*.*f%s\n",
		       percents[i] == 100  ? "Maximum"
		       : percents[i] == 50 ? "Median"
		       : percents[i] == 0  ? "Minimum"
					   : name,
		       unit, scale == 100 ? 6 : 10, digits, scale * values[i],
		       scale == 100 ? "%" : "");
	}
}

static void print_estimate(const char *name, struct qc_estimate e)
{
	printf("%-30s: %10.6f \u00b1 %10.6f\n", name, e.value, e.error);
}

/* The block of llama-perplexity --kl-divergence, names and order. */
static void print_comparison(const struct qc_comparison *c)
{
	puts("====== Perplexity statistics ======");
	print_estimate("Mean PPL(Q)", c->model.ppl);
	print_estimate("Mean PPL(base)", c->reference.ppl);
	printf("Cor(ln(PPL(Q)), ln(PPL(base))): %6.2f%%\n", 100 * c->correlation);
	print_estimate("Mean ln(PPL(Q)/PPL(base))", c->log_ratio);
	print_estimate("Mean PPL(Q)/PPL(base)", c->ratio);
	print_estimate("Mean PPL(Q)-PPL(base)", c->difference);
	puts("\n====== KL divergence statistics ======");
	printf("Mean    KLD: %10.6f \u00b1 %10.6f\n", c->kld.value, c->kld.error);
	print_percentiles("KLD", qc_kld_percentiles, c->kld_at, QC_KLD_PERCENTILES, 1, 6);
	puts("\n====== Token probability statistics ======");
	printf("Mean    \u0394p: %6.3f \u00b1 %5.3f %%\n", 100 * c->dp.value, 100 * c->dp.error);
	print_percentiles("\u0394p", qc_dp_percentiles, c->dp_at, QC_DP_PERCENTILES, 100, 3);
	printf("RMS \u0394p    : %6.3f \u00b1 %5.3f %%\n", 100 * c->dp_rms.value,
	       100 * c->dp_rms.error);
	printf("Same top p: %6.3f \u00b1 %5.3f %%\n", 100 * c->same_top.value,
	       100 * c->same_top.error);
}

static void print_json(const struct qc_eval *eval, const struct qc_comparison *c)
{
	printf("{\"nll\": %.9g, \"nll_error\": %.9g, \"ppl\": %.9g, \"ppl_error\": %.9g, "
	       "\"tokens\": %zu",
	       eval->nll.value, eval->nll.error, eval->ppl.value, eval->ppl.error, eval->tokens);
	if (c)
		printf(",\n \"kld\": {\"mean\": %.9g, \"error\": %.9g, \"max\": %.9g, \"p999\": "
		       "%.9g, \"median\": %.9g},\n \"ppl_ratio\": %.9g, \"ppl_ratio_error\": "
		       "%.9g, \"dp_mean\": %.9g, \"dp_rms\": %.9g, \"same_top\": %.9g",
		       c->kld.value, c->kld.error, c->kld_at[0], c->kld_at[1], c->kld_at[5],
		       c->ratio.value, c->ratio.error, c->dp.value, c->dp_rms.value,
		       c->same_top.value);
	puts("}");
}

/* The arithmetic of the peak: all models at once, and what is kept of every token. */
static enum qc_status check_memory(const struct subject *subjects, int n_subjects,
				   const struct qc_windows *windows, const struct cli_args *args,
				   struct qc_err *err)
{
	uint64_t peak = qc_eval_bytes(windows), spilled = 0;
	char size[16];

	if (args->dry_run)
		printf("%zu windows of %zu tokens\n", windows->n, windows->length);
	for (int i = 0; i < n_subjects; i++) {
		struct qc_forward_plan plan;

		qc_forward_plan(subjects[i].forward, windows->n, windows->length, &plan);
		if (args->dry_run)
			cli_print_memory(subjects[i].model.path, &plan);
		if (!qc_add(peak, plan.peak, &peak))
			peak = UINT64_MAX;
		spilled += plan.spilled;
	}
	if (args->dry_run) {
		printf("tokens and their losses: %s\n",
		       cli_bytes(qc_eval_bytes(windows), size, sizeof(size)));
		printf("peak memory %s, beside the program, its vocabulary and the text",
		       cli_bytes(peak, size, sizeof(size)));
		printf("; temporary file %s\n", cli_bytes(spilled, size, sizeof(size)));
	}
	return cli_check_memory(peak, args->options.mem_limit, err);
}

static enum qc_status measure(struct subject *subjects, const struct qc_windows *windows,
			      struct cli_args *args, struct qc_err *err)
{
	const struct qc_eval_options options = {.progress = show_windows, .user = args};
	struct qc_comparison comparison = {0};
	struct qc_eval eval = {0};
	enum qc_status s;

	if (args->against)
		s = qc_eval_against(subjects[0].forward, subjects[1].forward, windows, &options,
				    &comparison, err);
	else
		s = qc_eval_windows(subjects[0].forward, windows, &options, &eval, err);
	if (!s && args->against)
		eval = comparison.model;
	if (!s && args->json)
		print_json(&eval, args->against ? &comparison : NULL);
	else if (!s && args->against)
		print_comparison(&comparison);
	else if (!s)
		printf("%zu windows of %zu, %zu tokens scored\nnll %.6f +/- %.6f\n"
		       "Final estimate: PPL = %.4f +/- %.5f\n",
		       windows->n, windows->length, eval.tokens, eval.nll.value, eval.nll.error,
		       eval.ppl.value, eval.ppl.error);
	return s;
}

/* The model and, with --against, its reference. Only the model's inputs are rounded. */
static enum qc_status evaluate(struct subject subjects[2], struct cli_args *args,
			       enum qc_inputs inputs, struct qc_err *err)
{
	const int n = args->against ? 2 : 1;
	const uint64_t memory = args->options.mem_limit ? args->options.mem_limit : DEFAULT_MEMORY;
	struct qc_windows windows = {0};
	uint64_t losses;
	enum qc_status s = qc_model_open(&subjects[0].model, args->operands[0], err);

	if (!s && args->against)
		s = qc_model_open(&subjects[1].model, args->against, err);
	if (!s)
		s = make_windows(&subjects[0], args, &windows, err);
	losses = s ? 0 : qc_eval_bytes(&windows);
	for (int i = 0; !s && i < n; i++)
		s = start(&subjects[i], args, losses < memory ? (memory - losses) / (unsigned)n : 1,
			  i ? QC_INPUTS_F32 : inputs, err);
	if (!s)
		s = check_memory(subjects, n, &windows, args, err);
	if (!s && !args->dry_run)
		s = measure(subjects, &windows, args, err);
	qc_windows_clear(&windows);
	return s;
}

static int run_eval(struct cli_args *args)
{
	struct subject subjects[2] = {0};
	enum qc_inputs inputs = QC_INPUTS_F32;
	struct qc_err err = {0};
	enum qc_status s;

	if (!args->text == !args->prompt) {
		fputs("qconv: eval needs a text to measure, --text FILE, or one to go on with, "
		      "--prompt TEXT\n",
		      stderr);
		return QCONV_USAGE;
	}
	if (args->options.act && !qc_inputs_find(args->options.act, &inputs)) {
		fprintf(stderr, "qconv: --act '%s': the kinds are nvfp4 and fp8\n",
			args->options.act);
		return QCONV_USAGE;
	}
	if (args->prompt &&
	    (args->against || args->json || args->full || args->ctx || args->windows)) {
		fputs("qconv: --against, --json, --full, --ctx and --windows go with --text, not "
		      "with "
		      "--prompt\n",
		      stderr);
		return QCONV_USAGE;
	}
	if (args->text && args->n_tokens) {
		fputs("qconv: -n goes with --prompt, not with --text\n", stderr);
		return QCONV_USAGE;
	}
	if (args->prompt)
		return cli_generate(args);
	s = evaluate(subjects, args, inputs, &err);
	close_subject(&subjects[0]);
	close_subject(&subjects[1]);
	return s ? cli_error(&err) : QCONV_DONE;
}

static const struct cli_option eval_options[] = {
	{"text", "FILE", CLI_STRING, offsetof(struct cli_args, text),
	 "the text to predict, plain or .gz"},
	{"against", "IN", CLI_STRING, offsetof(struct cli_args, against),
	 "a reference: print how far the predictions are from its"},
	{"ctx", "N", CLI_COUNT, offsetof(struct cli_args, ctx),
	 "tokens in a window (default: 512)"},
	{"windows", "N", CLI_COUNT, offsetof(struct cli_args, windows),
	 "use the first N windows (default: all)"},
	{"full", NULL, CLI_FLAG, offsetof(struct cli_args, full),
	 "score every prediction; without it the second half of each window, as llama-perplexity"},
	{"act", "KIND", CLI_STRING, offsetof(struct cli_args, options.act),
	 "round activations as kernels with quantized ones do: nvfp4, fp8"},
	{"json", NULL, CLI_FLAG, offsetof(struct cli_args, json),
	 "the numbers as JSON on standard output"},
	{"prompt", "TEXT", CLI_STRING, offsetof(struct cli_args, prompt),
	 "instead: go on with this text, always with the most probable token"},
	{"-n", "N", CLI_COUNT, offsetof(struct cli_args, n_tokens),
	 "with --prompt: so many tokens at most (default: 64)"},
	{"dry-run", NULL, CLI_FLAG, offsetof(struct cli_args, dry_run),
	 "print what memory it would take, and stop"},
	{"mem-limit", "BYTES", CLI_SIZE, offsetof(struct cli_args, options.mem_limit),
	 "peak memory: activations go to a temporary file (default: that from 1G on, no limit)"},
	{"threads", "N", CLI_INT, offsetof(struct cli_args, options.threads),
	 "threads to use (default: one per processor)"},
	{"quiet", NULL, CLI_FLAG, offsetof(struct cli_args, quiet), "no progress"},
	{0},
};

const struct cli_command cli_eval = {
	.name = "eval",
	.operands = "MODEL",
	.about = "run a model on a text: perplexity, divergence from a reference, generated text",
	.min_operands = 1,
	.max_operands = 1,
	.options = eval_options,
	.run = run_eval,
};
