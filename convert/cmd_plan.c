/* A conversion's plan and its outcome, for people. */
#include <inttypes.h>
#include <string.h>

#include "convert/cli.h"
#include "convert/plan.h"
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
	fputs(plan->learnt ? "learns   " : "imatrix  ", out);
	cli_print_text(out, plan->imatrix_path, strlen(plan->imatrix_path));
	if (plan->learning.peak)
		fprintf(out, ", %zu windows of %zu tokens", plan->learning.n_windows,
			plan->learning.length);
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
		fprintf(out, "         %s of it for calibration\n",
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
	if (plan->packing && plan->packing->loaders && plan->packing->loaders(plan))
		fprintf(out, "loaders  %s\n", plan->packing->loaders(plan));
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

void cli_print_plan(FILE *out, const struct qc_plan *plan, const char *output)
{
	print_model_line(out, plan);
	print_totals(out, plan, output);
	print_warnings(out, plan);
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

void cli_print_steps(const struct qc_plan *plan)
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
		       qc_tensor_stored_as(step->tensor), step->to_name, step->bytes, step->why,
		       step->exact ? ", exact" : "");
	}
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
	const struct qc_calibrated *c = &plan->calibration;

	if (!c->done)
		return;
	fprintf(out,
		"calib    %zu windows of %zu tokens, %zu of them held out: %zu of %zu tensors "
		"better\n"
		"         held-out KL divergence %.6f, %.6f without: %s\n",
		c->n_windows, c->length, c->n_held, c->n_better, c->n_tensors, c->kld,
		c->searched_kld, c->kept ? "kept" : "refused, the output is that of search");
	if (c->n_gradients)
		fprintf(out,
			"         rows make up for each other by gradients of %" PRIu64
			" predictions\n",
			c->n_gradients);
	if (c->n_biases)
		fprintf(out, "         biases of %zu matrices corrected: %.6f, %.6f without: %s\n",
			c->n_biases, c->biased_kld, c->unbiased_kld,
			c->biases_kept ? "kept" : "refused");
}

/* And what scaled channels have. */
static void print_scaling(FILE *out, const struct qc_plan *plan)
{
	const struct qc_scaling *a = &plan->awq;

	if (!a->done)
		return;
	fprintf(out, "awq      channels of %zu of %zu inputs scaled", a->n_scaled, a->n_groups);
	if (a->n_scaled)
		fprintf(out, "\n         held-out KL divergence %.6f with them, %.6f without: %s",
			a->kld, a->plain_kld, a->kept ? "kept" : "refused");
	fputc('\n', out);
}

void cli_print_summary(const struct qc_plan *plan, const struct qconv_summary *summary,
		       const char *output)
{
	char in[16], out[16];

	print_findings(stderr, plan);
	print_calibration(stderr, plan);
	print_scaling(stderr, plan);
	fprintf(stderr, "wrote %s: %s from %s in %.2f s (%.2f GB/s), %.4f bits per weight\n",
		output, cli_bytes(summary->output_bytes, out, sizeof(out)),
		cli_bytes(summary->source_bytes, in, sizeof(in)), summary->seconds,
		summary->seconds > 0 ? (double)summary->source_bytes / summary->seconds * 1e-9 : 0,
		qc_plan_bpw(plan));
	fprintf(stderr, "xxh3_128 %s\n", summary->xxh3_128);
}
