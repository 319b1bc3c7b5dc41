/* qconv inspect: what is in a file or directory, without reading tensor data. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "convert/cli.h"
#include "formats/arch/arch.h"
#include "formats/format.h"
#include "formats/model.h"

/* How many tensors, elements and bytes are of each type. */
struct histogram_row {
	const char *stored_as;
	uint64_t n, elems, bytes;
};

struct histogram {
	struct histogram_row rows[64];
	size_t n;
	uint64_t elems, bytes;
};

static void count_types(const struct qc_model *model, struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *tensor = &model->tensors[i];
		uint64_t elems = qc_tensor_elems(tensor), bytes = qc_tensor_stored_bytes(tensor);
		size_t r = 0;

		while (r < h->n && strcmp(h->rows[r].stored_as, qc_tensor_stored_as(tensor)))
			r++;
		if (r == sizeof(h->rows) / sizeof(*h->rows))
			continue;
		if (r == h->n)
			h->rows[h->n++].stored_as = qc_tensor_stored_as(tensor);
		h->rows[r].n++;
		h->rows[r].elems += elems;
		h->rows[r].bytes += bytes;
		h->elems += elems;
		h->bytes += bytes;
	}
}

static double bits_per(uint64_t bytes, uint64_t elems)
{
	return elems ? 8.0 * (double)bytes / (double)elems : 0;
}

static void print_text(const struct qc_model *model, const struct histogram *h)
{
	char size[16], shape[96];

	printf("%s: %s\n", model->path, model->format_detail);
	printf("architecture: %s%s%s\n", model->arch ? model->arch->name : "none",
	       model->arch_note ? "; " : "", model->arch_note ? model->arch_note : "");
	if (model->tokenizer_note)
		printf("tokenizer: %s\n", model->tokenizer_note);
	printf("tensors: %zu, %" PRIu64 " weights, %s, %.4f bits per weight\n", model->n_tensors,
	       h->elems, cli_bytes(h->bytes, size, sizeof(size)), bits_per(h->bytes, h->elems));
	for (size_t i = 0; i < h->n; i++)
		printf("  %-8s %5" PRIu64 " tensors %14" PRIu64 " weights %14" PRIu64 " bytes\n",
		       h->rows[i].stored_as, h->rows[i].n, h->rows[i].elems, h->rows[i].bytes);
	printf("metadata: %zu keys\n", model->meta.n);
	for (size_t i = 0; i < model->meta.n; i++) {
		const struct qc_kv *kv = &model->meta.kvs[i];

		fputs("  ", stdout);
		cli_print_text(stdout, kv->key, strlen(kv->key));
		printf(" (%s%s) = ", kv->type == QC_KV_ARRAY ? "array of " : "",
		       qc_kv_type_name(kv->elem));
		cli_print_value(kv, false);
		putchar('\n');
	}
	puts("tensors:");
	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *tensor = &model->tensors[i];

		qc_tensor_shape_text(tensor, shape, sizeof(shape));
		fputs("  ", stdout);
		cli_print_text(stdout, tensor->name, strlen(tensor->name));
		printf("  %s  %s  %" PRIu64 " bytes", shape, qc_tensor_stored_as(tensor),
		       qc_tensor_stored_bytes(tensor));
		if (strcmp(tensor->name, tensor->stored_name)) {
			fputs("  stored as ", stdout);
			cli_print_text(stdout, tensor->stored_name, strlen(tensor->stored_name));
		}
		putchar('\n');
	}
	for (size_t i = 0; i < model->n_drops; i++) {
		fputs("  left out: ", stdout);
		cli_print_text(stdout, model->drops[i].name, strlen(model->drops[i].name));
		printf(": %s\n", model->drops[i].reason);
	}
}

static void json_tensor(const struct qc_tensor *tensor)
{
	cli_json_field("    {", "name", tensor->name);
	cli_json_field(", ", "stored_name", tensor->stored_name);
	printf(", \"type\": \"%s\"", tensor->source->type->name);
	cli_json_field(", ", "encoding", tensor->encoding);
	fputs(", \"shape\": [", stdout);
	for (uint32_t d = tensor->n_dims; d > 0; d--)
		printf("%" PRIu64 "%s", tensor->dims[d - 1], d > 1 ? ", " : "");
	printf("], \"bytes\": %" PRIu64 "}", qc_tensor_stored_bytes(tensor));
}

static void print_json(const struct qc_model *model, const struct histogram *h)
{
	cli_json_field("{\n  ", "path", model->path);
	cli_json_field(",\n  ", "format", model->format_detail);
	cli_json_field(",\n  ", "architecture", model->arch ? model->arch->name : NULL);
	cli_json_field(",\n  ", "architecture_note", model->arch_note);
	cli_json_field(",\n  ", "tokenizer", model->tokenizer_note);
	printf(",\n  \"weights\": %" PRIu64 ",\n  \"bytes\": %" PRIu64
	       ",\n  \"bits_per_weight\": %.6g",
	       h->elems, h->bytes, bits_per(h->bytes, h->elems));
	fputs(",\n  \"types\": {", stdout);
	for (size_t i = 0; i < h->n; i++)
		printf("%s\"%s\": {\"tensors\": %" PRIu64 ", \"weights\": %" PRIu64
		       ", \"bytes\": %" PRIu64 "}",
		       i ? ", " : "", h->rows[i].stored_as, h->rows[i].n, h->rows[i].elems,
		       h->rows[i].bytes);
	fputs("},\n  \"metadata\": {\n", stdout);
	for (size_t i = 0; i < model->meta.n; i++) {
		const struct qc_kv *kv = &model->meta.kvs[i];

		fputs("    ", stdout);
		qc_json_print_string(stdout, kv->key, strlen(kv->key));
		printf(": {\"type\": \"%s%s\", \"value\": ",
		       kv->type == QC_KV_ARRAY ? "array of " : "", qc_kv_type_name(kv->elem));
		cli_print_value(kv, true);
		fputs(i + 1 < model->meta.n ? "},\n" : "}\n", stdout);
	}
	fputs("  },\n  \"tensors\": [\n", stdout);
	for (size_t i = 0; i < model->n_tensors; i++) {
		json_tensor(&model->tensors[i]);
		fputs(i + 1 < model->n_tensors ? ",\n" : "\n", stdout);
	}
	fputs("  ],\n  \"dropped\": [", stdout);
	cli_json_drops(model);
	fputs("]\n}\n", stdout);
}

static int run_inspect(struct cli_args *args)
{
	struct qc_model model = {0};
	struct histogram histogram;
	struct qc_err err = {0};
	enum qc_status s = qc_model_open(&model, args->operands[0], &err);

	if (!s) {
		count_types(&model, &histogram);
		if (args->json)
			print_json(&model, &histogram);
		else
			print_text(&model, &histogram);
	}
	qc_model_close(&model);
	return s ? cli_error(&err) : QCONV_DONE;
}

static const struct cli_option inspect_options[] = {
	{"json", NULL, CLI_FLAG, offsetof(struct cli_args, json),
	 "everything, arrays whole, as JSON"},
	{0},
};

const struct cli_command cli_inspect = {
	.name = "inspect",
	.operands = "FILE|DIR",
	.about = "print format, architecture, metadata, tensors, types and bits per weight",
	.min_operands = 1,
	.max_operands = 1,
	.options = inspect_options,
	.run = run_inspect,
};
