/* qconv types: what --q takes. */
#include "convert/cli.h"
#include "convert/packing.h"
#include "convert/recipe.h"
#include "formats/format.h"
#include "formats/ggml_types.h"
#include "quant/qtype.h"

static void print_type(const struct qc_qtype *type)
{
	uint32_t id;
	const char *sep = "";

	printf("  %-9s %7.4f  %5u  %5u  %-8s ", type->name,
	       type->block_bytes * 8.0 / type->block_elems, type->block_elems, type->block_bytes,
	       type->needs_imatrix  ? "required"
	       : type->uses_imatrix ? "used"
				    : "-");
	if (qc_ggml_id(type, &id))
		printf("%3u  ", id);
	else
		printf("  -  ");
	for (const struct qc_format *const *format = qc_formats; *format; format++) {
		/* a directory is one of files of another format */
		if (!(*format)->is_dir && (*format)->can_hold && (*format)->can_hold(type)) {
			printf("%s%s", sep, (*format)->name);
			sep = ", ";
		}
	}
	putchar('\n');
}

static int run_types(struct cli_args *args)
{
	const char *name, *about;

	(void)args;
	puts("recipes (--q NAME)");
	for (unsigned i = 0; (name = qc_recipe_name(i, &about)); i++)
		printf("  %-9s %s\n", name, about);
	puts("\npackings (--q NAME [--layout LAYOUT]), for .safetensors files and directories");
	for (const struct qc_packing *const *p = qc_packings; *p; p++)
		printf("  %-9s %-18s  %s\n", (*p)->name, (*p)->layout ? (*p)->layout : "-",
		       (*p)->about);
	puts("\ntypes (--q NAME, --tensor REGEX=NAME)\n"
	     "  name         bits  block  bytes  imatrix   id  written to");
	for (const struct qc_qtype *const *type = qc_qtypes; *type; type++)
		if ((*type)->quantize)
			print_type(*type);
	return QCONV_DONE;
}

static const struct cli_option types_options[] = {{0}};

const struct cli_command cli_types = {
	.name = "types",
	.operands = "",
	.about = "list the recipes and types that --q takes",
	.max_operands = 0,
	.options = types_options,
	.run = run_types,
};
