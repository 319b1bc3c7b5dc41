#include "convert/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "formats/model.h"

const struct cli_command *const cli_commands[] = {
	&cli_convert, &cli_inspect, &cli_verify, &cli_eval, &cli_calibrate, &cli_hash,
	&cli_types,   &cli_split,   &cli_merge,	 &cli_meta, &cli_diff,	    NULL,
};

int cli_error(const struct qc_err *err)
{
	fprintf(stderr, "qconv: %s\n", err->text);
	return qc_exit_code(err->status);
}

int cli_api_error(const struct qconv_error *error)
{
	fprintf(stderr, "qconv: %s\n", error->text);
	return error->code;
}

void cli_warn(const char *format, ...)
{
	va_list args;

	fputs("qconv: warning: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

int cli_finish(int code)
{
	int failed = fflush(stdout) || ferror(stdout);

	if (failed && !code) {
		fprintf(stderr, "qconv: cannot write to standard output: %s\n", strerror(errno));
		return QCONV_FAILED;
	}
	return code;
}

const char *cli_bytes(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 999.5 && unit + 1 < sizeof(units) / sizeof(*units)) {
		value /= 1000;
		unit++;
	}
	snprintf(buf, size,
		 unit == 0	 ? "%.0f %s"
		 : value < 9.995 ? "%.2f %s"
		 : value < 99.95 ? "%.1f %s"
				 : "%.0f %s",
		 value, units[unit]);
	return buf;
}

void cli_print_text(FILE *out, const char *text, size_t len)
{
	bool utf8 = qc_utf8_valid(text, len);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		fputc(c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8) ? '?' : c, out);
	}
}

void cli_json_field(const char *before, const char *key, const char *text)
{
	printf("%s\"%s\": ", before, key);
	if (text)
		qc_json_print_string(stdout, text, strlen(text));
	else
		fputs("null", stdout);
}

void cli_json_names(const char *key, const char *const *names, size_t n)
{
	printf(",\n  \"%s\": [", key);
	for (size_t i = 0; i < n; i++) {
		fputs(i ? ", " : "", stdout);
		qc_json_print_string(stdout, names[i], strlen(names[i]));
	}
	putchar(']');
}

void cli_json_drops(const struct qc_model *model)
{
	for (size_t i = 0; i < model->n_drops; i++) {
		cli_json_field(i ? ", {" : "{", "name", model->drops[i].name);
		cli_json_field(", ", "reason", model->drops[i].reason);
		putchar('}');
	}
}

/* "512", "64k", "1.5G", "128MiB": suffixes are binary, as --mem-limit's readers expect of memory;
 * with `decimal`, as llama-gguf-split's readers expect of files, only those with an "i" are. */
static bool parse_size(const char *text, bool decimal, uint64_t *out)
{
	static const char letters[] = "kmgt";
	char *end;
	double value;
	int power = 0;

	errno = 0;
	value = strtod(text, &end);
	if (end == text || errno || !(value >= 0))
		return false;
	if (*end) {
		const char *letter = strchr(letters, *end | 0x20);
		if (!letter)
			return false;
		power = (int)(letter - letters + 1);
		end++;
		decimal = decimal && (*end | 0x20) != 'i';
		if (!strcasecmp(end, "ib") || !strcasecmp(end, "b"))
			end = strchr(end, 0);
	}
	while (power-- > 0)
		value *= decimal ? 1000 : 1024;
	if (*end || !(value < 0x1p63))
		return false;
	*out = (uint64_t)value;
	return true;
}

/* Digits alone. */
static bool parse_count(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *out;
}

static bool usage(const struct cli_command *command, const char *text, const char *what)
{
	fprintf(stderr, "qconv: %s '%s'; 'qconv%s%s --help' lists the options\n", text, what,
		command->name ? " " : "", command->name ? command->name : "");
	return false;
}

static bool list_add(struct cli_list *list, const char *item)
{
	const char **items = realloc(list->items, (list->n + 1) * sizeof(*items));

	if (!items) {
		fputs("qconv: out of memory\n", stderr);
		return false;
	}
	list->items = items;
	items[list->n++] = item;
	return true;
}

static bool store(const struct cli_command *command, const struct cli_option *option,
		  const char *value, struct cli_args *args)
{
	void *field = (char *)args + option->field;
	char *end;
	long n;

	switch (option->kind) {
	case CLI_FLAG:
		*(bool *)field = true;
		return true;
	case CLI_STRING:
		*(const char **)field = value;
		return true;
	case CLI_LIST:
		return list_add(field, value);
	case CLI_INT:
		errno = 0;
		n = strtol(value, &end, 10);
		if (end == value || *end || errno || n < 1 || n > 4096)
			return usage(command, "a number from 1 to 4096 is needed, not", value);
		*(int *)field = (int)n;
		return true;
	case CLI_COUNT:
		if (!parse_count(value, field))
			return usage(command, "a number from 1 on is needed, not", value);
		return true;
	case CLI_SIZE:
	case CLI_DISK_SIZE:
		if (!parse_size(value, option->kind == CLI_DISK_SIZE, field))
			return usage(command, "a size such as 512M or 2G is needed, not", value);
		return true;
	case CLI_NUMBER:
		*(double *)field = strtod(value, &end);
		if (end == value || *end || !(*(double *)field >= 0))
			return usage(command, "a number that is not negative is needed, not",
				     value);
		return true;
	}
	return false;
}

enum { LONG_OPTION = 1 }; /* what getopt_long() returns for one */

/* The option of one letter; NULL. */
static const struct cli_option *find_letter(const struct cli_command *command, int letter)
{
	for (const struct cli_option *o = command->options; o->name; o++)
		if (o->name[0] == '-' && o->name[1] == letter)
			return o;
	return NULL;
}

static bool parse_options(const struct cli_command *command, const struct option *longs, int argc,
			  char **argv, struct cli_args *args)
{
	/* ':' first: a missing argument is told apart from an unknown option */
	char letters[64] = ":h";
	size_t n = strlen(letters);
	int c, index = 0;

	for (const struct cli_option *o = command->options; o->name; o++)
		if (o->name[0] == '-' && n + 3 < sizeof(letters)) {
			letters[n++] = o->name[1];
			if (o->arg)
				letters[n++] = ':';
		}
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, letters, longs, &index)) != -1) {
		if (c == 'h')
			args->help = true;
		else if (c == ':')
			return usage(command, "an argument is missing behind", argv[optind - 1]);
		else if (c == '?')
			return usage(command, "unknown option", argv[optind - 1]);
		else if (!store(command,
				c == LONG_OPTION ? &command->options[index]
						 : find_letter(command, c),
				optarg, args))
			return false;
	}
	return true;
}

bool cli_parse(const struct cli_command *command, int argc, char **argv, struct cli_args *args)
{
	struct option *longs;
	size_t n = 0;
	bool ok;

	memset(args, 0, sizeof(*args));
	args->tolerance = -1;
	while (command->options[n].name)
		n++;
	longs = calloc(n + 2, sizeof(*longs));
	if (!longs) {
		fputs("qconv: out of memory\n", stderr);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		longs[i] =
			(struct option){command->options[i].name,
					command->options[i].arg ? required_argument : no_argument,
					NULL, LONG_OPTION};
	longs[n] = (struct option){"help", no_argument, NULL, 'h'};
	ok = parse_options(command, longs, argc, argv, args);
	free(longs);
	args->options.tensor_rules = args->rules.items;
	args->options.n_tensor_rules = args->rules.n;
	args->options.loras = args->loras.items;
	args->options.n_loras = args->loras.n;
	args->options.skips = args->skips.items;
	args->options.n_skips = args->skips.n;
	args->options.overrides = args->overrides.items;
	args->options.n_overrides = args->overrides.n;
	args->options.included = args->included.items;
	args->options.n_included = args->included.n;
	args->options.excluded = args->excluded.items;
	args->options.n_excluded = args->excluded.n;
	if (!ok || args->help)
		return ok;
	for (; optind < argc; optind++) {
		if (args->n_operands == command->max_operands)
			return usage(command, "one operand too many:", argv[optind]);
		args->operands[args->n_operands++] = argv[optind];
	}
	if (args->n_operands < command->min_operands)
		return usage(command, "operands are missing: this command takes",
			     command->operands);
	return true;
}

void cli_args_clear(struct cli_args *args)
{
	free(args->rules.items);
	free(args->loras.items);
	free(args->skips.items);
	free(args->sets.items);
	free(args->dels.items);
	free(args->inputs.items);
	free(args->overrides.items);
	free(args->included.items);
	free(args->excluded.items);
	args->overrides = args->included = args->excluded = (struct cli_list){0};
	args->rules = args->loras = args->skips = args->sets = args->dels = args->inputs =
		(struct cli_list){0};
}

void cli_help(const struct cli_command *command, FILE *out)
{
	fprintf(out, "usage: qconv %s%s%s%s\n\n%s\n", command->name ? command->name : "",
		command->name ? " " : "", command->operands,
		command->options->name ? " [OPTION ...]" : "", command->about);
	if (command->options->name)
		fputs("\noptions:\n", out);
	for (const struct cli_option *option = command->options; option->name; option++) {
		char left[48];

		snprintf(left, sizeof(left), "%s%s%s%s", *option->name == '-' ? "" : "--",
			 option->name, option->arg ? " " : "", option->arg ? option->arg : "");
		fprintf(out, "  %-26s %s\n", left, option->help);
	}
	if (command->name)
		return;
	fputs("\nother commands ('qconv COMMAND --help' for each):\n", out);
	for (const struct cli_command *const *other = cli_commands + 1; *other; other++)
		fprintf(out, "  %-8s %-17s %s\n", (*other)->name, (*other)->operands,
			(*other)->about);
	fputs("\nexit codes: 0 done, 1 failed, 2 usage, 3 a verification found a difference,\n"
	      "            4 refused because data would be lost, 130 interrupted\n",
	      out);
}
