/* qconv meta: show and change a GGUF file's metadata. */
#include <string.h>

#include "convert/cli.h"
#include "convert/meta_edit.h"

static void print_all(const struct qc_meta *meta)
{
	for (size_t i = 0; i < meta->n; i++) {
		const struct qc_kv *kv = &meta->kvs[i];

		cli_print_text(stdout, kv->key, strlen(kv->key));
		printf(" %s%s = ", qc_kv_type_name(kv->elem), kv->type == QC_KV_ARRAY ? "[]" : "");
		cli_print_value(kv, false);
		putchar('\n');
	}
}

static void report(const char *path, const struct qc_meta_outcome *outcome)
{
	if (outcome->manifest_removed)
		cli_warn("'%s.qconv.json' is removed: its checksums were of the file as it was",
			 path);
	fprintf(stderr, outcome->unchanged ? "%s: nothing to change\n" : "%s: changed\n", path);
}

static int run_meta(struct cli_args *args)
{
	const char *path = args->operands[0];
	const struct qc_meta_edits edits = {
		.sets = args->sets.items,
		.n_sets = args->sets.n,
		.removals = args->dels.items,
		.n_removals = args->dels.n,
		.template_file = args->template_file,
		.in_place = args->in_place,
		.force = args->options.force,
	};
	const bool edit = edits.n_sets || edits.n_removals || edits.template_file;
	struct qc_gguf_header header = {0};
	struct qc_meta_outcome outcome = {0};
	struct qc_err err = {0};
	enum qc_status s = QC_OK;

	if (edit && !args->show)
		s = qc_meta_edit_recover(path, &outcome.restored, &err);
	if (outcome.restored)
		cli_warn("'%s': an interrupted --in-place was undone first", path);
	if (!s)
		s = qc_gguf_header_open(&header, path, &err);
	if (!s)
		s = qc_meta_edit_apply(&header, &edits, &err);
	if (!s && (args->show || !edit)) {
		print_all(&header.meta);
	} else if (!s) {
		s = qc_meta_edit_write(&header, &edits, &args->options, &outcome, &err);
		if (!s && !args->quiet)
			report(path, &outcome);
	}
	qc_gguf_header_close(&header);
	return s ? cli_error(&err) : QCONV_DONE;
}

static const struct cli_option meta_options[] = {
	{"set", "KEY=VALUE[:TYPE]", CLI_LIST, offsetof(struct cli_args, sets),
	 "set a key; the type is the existing key's or u8 ... f64, bool, string, string[]"},
	{"del", "KEY", CLI_LIST, offsetof(struct cli_args, dels), "remove a key"},
	{"template", "FILE", CLI_STRING, offsetof(struct cli_args, template_file),
	 "the file's text becomes the chat template"},
	{"show", NULL, CLI_FLAG, offsetof(struct cli_args, show),
	 "print all keys as they would be, and write nothing"},
	{"in-place", NULL, CLI_FLAG, offsetof(struct cli_args, in_place),
	 "write the header only, where the new one fits (the old one is kept aside meanwhile)"},
	{"force", NULL, CLI_FLAG, offsetof(struct cli_args, options.force),
	 "write metadata that no loader would take, too"},
	{"quiet", NULL, CLI_FLAG, offsetof(struct cli_args, quiet), "no summary"},
	{0},
};

const struct cli_command cli_meta = {
	.name = "meta",
	.operands = "FILE",
	.about = "show a GGUF file's metadata, or change it and leave the tensors as they are",
	.min_operands = 1,
	.max_operands = 1,
	.options = meta_options,
	.run = run_meta,
};
