/* A conversion's plan and its outcome, as JSON. */
#include <inttypes.h>
#include <string.h>

#include "convert/cli.h"
#include "convert/plan.h"
#include "convert/writer.h"
#include "formats/arch/arch.h"

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

void cli_json_plan(const struct qc_plan *plan, const char *output)
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
	if (plan->packing && plan->packing->loaders)
		cli_json_field(", ", "loaders", plan->packing->loaders(plan));
	fputs("},\n  \"tensors\": [\n", stdout);
	for (size_t i = 0; i < plan->n_steps; i++) {
		json_step(&plan->steps[i]);
		fputs(i + 1 < plan->n_steps ? ",\n" : "\n", stdout);
	}
	json_adapters(model);
	fputs("  ],\n  \"dropped\": [", stdout);
	cli_json_drops(model);
	fputs("],\n", stdout);
	json_unsaid(model);
	json_totals(plan, output);
	puts("}");
}

void cli_json_summary(const struct qc_plan *plan, const struct qconv_summary *summary,
		      const char *output)
{
	const struct qc_calibrated *c = &plan->calibration;
	const struct qc_scaling *a = &plan->awq;
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
	if (c->n_gradients)
		printf(", \"gradients\": %" PRIu64, c->n_gradients);
	if (c->n_biases)
		printf(", \"biases\": {\"matrices\": %zu, \"kld\": %.9g, \"kld_without\": %.9g, "
		       "\"kept\": %s}",
		       c->n_biases, c->biased_kld, c->unbiased_kld,
		       c->biases_kept ? "true" : "false");
	if (a->done)
		printf(", \"awq\": {\"inputs\": %zu, \"scaled\": %zu, \"kld\": %.9g, "
		       "\"kld_without\": %.9g, \"kept\": %s}",
		       a->n_groups, a->n_scaled, a->kld, a->plain_kld, a->kept ? "true" : "false");
	puts("}");
}
