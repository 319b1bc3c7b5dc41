/* qconv hash: checksums of a model file, per tensor and whole. */
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "convert/check.h"
#include "convert/cli.h"
#include "convert/digest.h"

struct hash_output {
	const struct cli_args *args;
	const char *name; /* the file's name without its folder, as gguf-hash prints it */
};

static enum qc_status print_tensor(const struct qc_tensor *tensor, struct qc_digest128 xxh3,
				   uint64_t xxh64, void *user, struct qc_err *err)
{
	const struct hash_output *output = user;
	char hex[33];

	(void)err;
	if (output->args->gguf_hash) {
		printf("%-8s  %016" PRIx64 "  %s:", "xxh64", xxh64, output->name);
	} else {
		qc_digest128_hex(xxh3, hex);
		printf("%s  %s:", hex, output->name);
	}
	cli_print_text(stdout, tensor->stored_name, strlen(tensor->stored_name));
	putchar('\n');
	return QC_OK;
}

/* The whole file, header included: what `xxhsum -H2 FILE` prints. */
static enum qc_status print_files(const struct qc_model *model, const struct cli_args *args,
				  struct qc_err *err)
{
	for (size_t i = 0; i < model->n_files; i++) {
		struct qc_digest128 digest;
		enum qc_status s = qc_hash_file(model->files[i], &args->options, &digest, err);
		char hex[33];

		if (s)
			return s;
		qc_digest128_hex(digest, hex);
		printf("%s  %s\n", hex, qc_text_base_name(model->files[i]->path));
	}
	return QC_OK;
}

static int run_hash(struct cli_args *args)
{
	const char *path = args->operands[0], *slash = strrchr(path, '/');
	struct hash_output output = {args, slash && slash[1] ? slash + 1 : path};
	struct qc_model model = {0};
	struct qc_digest128 all;
	uint64_t all64;
	struct qc_err err = {0};
	enum qc_status s = qc_model_open(&model, path, &err);

	if (!s)
		s = qc_digest_tensors(&model, &args->options, print_tensor, &output, &all, &all64,
				      &err);
	if (!s && args->gguf_hash)
		printf("%-8s  %016" PRIx64 "  %s\n", "xxh64", all64, output.name);
	else if (!s)
		s = print_files(&model, args, &err);
	qc_model_close(&model);
	return s ? cli_error(&err) : QCONV_DONE;
}

static const struct cli_option hash_options[] = {
	{"gguf-hash", NULL, CLI_FLAG, offsetof(struct cli_args, gguf_hash),
	 "xxh64 lines as llama.cpp's gguf-hash writes and checks them"},
	{0},
};

const struct cli_command cli_hash = {
	.name = "hash",
	.operands = "FILE",
	.about = "print XXH3-128 checksums of every tensor and of the file",
	.min_operands = 1,
	.max_operands = 1,
	.options = hash_options,
	.run = run_hash,
};
