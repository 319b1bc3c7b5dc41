/* qconv types: what --q takes, what it costs and what it loses. */
#include "convert/cli.h"

#include <math.h>
#include <string.h>

#include "convert/packing.h"
#include "convert/recipe.h"
#include "convert/recipes.h"
#include "convert/type_error.h"
#include "formats/format.h"
#include "formats/ggml_types.h"
#include "quant/qtype.h"

static const char *imatrix_text(const struct qc_qtype *type)
{
	for (const struct qc_recipe_starved *row = qc_recipe_starved; row->type; row++)
		if (!row->recipe && !strcmp(row->type, type->name))
			return "required";
	return type->uses_imatrix ? "used" : "-";
}

static void print_formats(const struct qc_qtype *type)
{
	const char *sep = "";

	for (const struct qc_format *const *format = qc_formats; *format; format++) {
		/* a directory is one of files of another format */
		if (!(*format)->is_dir && (*format)->can_hold && (*format)->can_hold(type)) {
			printf("%s%s", sep, (*format)->name);
			sep = ", ";
		}
	}
}

/* A NAN is not printed. */
static void print_pair(double reference, double search, int digits)
{
	printf("%9.*f  ", digits, reference);
	if (isnan(search))
		printf("%9s  ", "-");
	else
		printf("%9.*f  ", digits, search);
}

static enum qc_status print_type(const struct qc_qtype *type, enum qc_isa isa, bool measure,
				 struct qc_err *err)
{
	struct qc_type_error error;
	struct qc_type_speed speed;
	uint32_t id;

	if (qc_type_error(type, isa, &error, err))
		return err->status;
	if (measure && qc_type_speed(type, isa, &speed, err))
		return err->status;
	printf("  %-8s %7.4f  %5u  %5u  %-8s ", type->name,
	       type->block_bytes * 8.0 / type->block_elems, type->block_elems, type->block_bytes,
	       imatrix_text(type));
	if (qc_ggml_id(type, &id))
		printf("%3u  ", id);
	else
		printf("  -  ");
	print_pair(error.reference, type->search ? error.search : NAN, 6);
	if (measure) {
		print_pair(speed.reference, type->search ? speed.search : NAN, 2);
		printf("%6.2f  ", speed.decode);
	}
	print_formats(type);
	putchar('\n');
	return QC_OK;
}

static enum qc_status print_types(bool measure, struct qc_err *err)
{
	enum qc_isa isa;
	enum qc_status s = QC_OK;

	if (!qc_isa_detect(&isa))
		return qc_fail(err, QC_USAGE,
			       "QCONV_CPU: not a level that this CPU has (it has %s)",
			       qc_isa_name(isa));
	puts("\ntypes (--q NAME, --tensor REGEX=NAME); error: of the reference and of the search "
	     "method, "
	     "relative RMS\non numbers like weights");
	if (measure)
		printf("ns: nanoseconds a weight to make it by either and to decode it, one "
		       "thread, %s\n",
		       qc_isa_name(isa));
	printf("  name        bits  block  bytes  imatrix   id      error     search  %swritten "
	       "to\n",
	       measure ? "       ns     search  decode  " : "");
	for (const struct qc_qtype *const *type = qc_qtypes; !s && *type; type++)
		if ((*type)->quantize)
			s = print_type(*type, isa, measure, err);
	return s;
}

static int run_types(struct cli_args *args)
{
	struct qc_err err = {0};
	const char *name, *about;

	puts("recipes (--q NAME)");
	for (unsigned i = 0; (name = qc_recipe_name(i, &about)); i++)
		printf("  %-9s %s\n", name, about);
	puts("\npackings (--q NAME [--layout LAYOUT]), for .safetensors files and directories");
	for (const struct qc_packing *const *p = qc_packings; *p; p++)
		printf("  %-9s %-18s  %s\n", (*p)->name, (*p)->layout ? (*p)->layout : "-",
		       (*p)->about);
	return print_types(args->measure, &err) ? cli_error(&err) : QCONV_DONE;
}

static const struct cli_option types_options[] = {
	{"measure", NULL, CLI_FLAG, offsetof(struct cli_args, measure),
	 "measure how fast each type is made and decoded here"},
	{0},
};

const struct cli_command cli_types = {
	.name = "types",
	.operands = "",
	.about = "list the recipes and types that --q takes, with the error of each",
	.max_operands = 0,
	.options = types_options,
	.run = run_types,
};
