/* qconv calibrate: importance matrices from a text, and put together. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "convert/calibrate.h"
#include "convert/cli.h"

enum { WORST = 10, NAMED = 5 };

struct clock {
	const struct cli_args *args;
	double started, shown;
	double first; /* the part that was done when it started */
	unsigned tenth;
	bool open;
};

/* One updating line on a terminal, else a plain one about every ten percent. */
static void show_progress(void *user, double part, size_t done, size_t n)
{
	struct clock *clock = user;
	const bool terminal = isatty(STDERR_FILENO);
	const double time = qc_seconds();
	const unsigned tenth = (unsigned)(part * 10);
	double left;

	if (clock->args->quiet)
		return;
	if (!clock->started) {
		clock->started = time;
		clock->first = part;
		clock->tenth = tenth;
	}
	if (terminal ? time - clock->shown < 0.2 : tenth <= clock->tenth)
		return;
	clock->shown = time;
	clock->tenth = tenth;
	left = part > clock->first ? (time - clock->started) * (1 - part) / (part - clock->first)
				   : 0;
	fprintf(stderr, "%scalibrate  window %zu of %zu  %.0f%%  ETA %d:%02d%s",
		terminal ? "\r" : "", done, n, part * 100, (int)left / 60, (int)left % 60,
		terminal ? "\033[K" : "\n");
	clock->open = terminal;
}

static void end_progress(struct clock *clock)
{
	if (clock->open)
		fputs("\r\033[K", stderr);
	clock->open = false;
}

/* A matrix of experts and how many tokens chose it. */
struct expert {
	const struct qc_imatrix_entry *entry;
	uint64_t index;
	double share; /* of the tokens that one of this many experts has on average */
};

static int fewest_first(const void *a, const void *b)
{
	const struct expert *x = a, *y = b;

	if (x->share != y->share)
		return x->share < y->share ? -1 : 1;
	return strcmp(x->entry->name, y->entry->name) ? strcmp(x->entry->name, y->entry->name)
	       : x->index < y->index		      ? -1
						      : x->index > y->index;
}

static double mean_count(const struct qc_imatrix_entry *e)
{
	double sum = 0;

	for (uint64_t i = 0; i < e->n; i++)
		sum += (double)e->counts[i];
	return sum / (double)e->n;
}

/* The same tokens go into all matrices of an expert: one entry of them is enough. */
static bool is_repeated(const struct qc_imatrix *im, size_t i)
{
	const struct qc_imatrix_entry *e = &im->entries[i], *before = e;

	while (before > im->entries && (--before)->n < 2)
		;
	return before < e && before->n == e->n &&
	       !memcmp(before->counts, e->counts, e->n * sizeof(*e->counts));
}

/* All experts, those with the fewest tokens first (malloc); NULL: none, or no memory. */
static struct expert *experts(const struct qc_imatrix *im, size_t *n, size_t *empty)
{
	struct expert *list;
	size_t room = 0;

	*n = *empty = 0;
	for (size_t i = 0; i < im->n_entries; i++)
		room += im->entries[i].n > 1 ? im->entries[i].n : 0;
	list = room ? calloc(room, sizeof(*list)) : NULL;
	for (size_t i = 0; list && i < im->n_entries; i++) {
		const struct qc_imatrix_entry *e = &im->entries[i];
		const double mean = mean_count(e);

		if (e->n < 2 || is_repeated(im, i))
			continue;
		for (uint64_t m = 0; m < e->n; m++) {
			list[*n] = (struct expert){e, m, mean > 0 ? e->counts[m] / mean : 0};
			*empty += !(e->counts[m] > 0);
			++*n;
		}
	}
	if (list)
		qsort(list, *n, sizeof(*list), fewest_first);
	return list;
}

static void print_coverage(const struct qc_imatrix *im)
{
	size_t n, empty;
	struct expert *list = experts(im, &n, &empty);

	if (list) {
		printf("experts    %zu, %zu without a token; those with the fewest:\n", n, empty);
		printf("           %-40s %6s %10s %8s\n", "weight", "expert", "tokens", "of mean");
	}
	for (size_t i = 0; list && i < n && i < WORST; i++) {
		char name[48];

		snprintf(name, sizeof(name), "%.40s", list[i].entry->name);
		fputs("           ", stdout);
		cli_print_text(stdout, name, strlen(name));
		printf("%*s %6" PRIu64 " %10.0f %7.1f%%\n", 40 - (int)strlen(name), "",
		       list[i].index, (double)list[i].entry->counts[list[i].index],
		       100 * list[i].share);
	}
	free(list);
}

/* Channels that were 0 for every token, in matrices that had some. */
static uint64_t silent_channels(const struct qc_imatrix_entry *e)
{
	uint64_t n = 0;

	for (uint64_t m = 0; m < e->n; m++)
		for (uint64_t c = 0; e->counts[m] > 0 && c < e->cols; c++)
			n += !(e->sums[m * e->cols + c] > 0);
	return n;
}

static void print_silent(const struct qc_imatrix *im)
{
	size_t n_entries = 0;

	for (size_t i = 0; i < im->n_entries; i++) {
		const struct qc_imatrix_entry *e = &im->entries[i];
		const uint64_t n = silent_channels(e);

		if (!n)
			continue;
		if (!n_entries++)
			puts("no data    channels that were always 0; they will count as the least "
			     "of their matrix:");
		if (n_entries > NAMED)
			continue;
		fputs("           ", stdout);
		cli_print_text(stdout, e->name, strlen(e->name));
		printf(": %" PRIu64 " of %" PRIu64 "\n", n, e->n * e->cols);
	}
	if (n_entries > NAMED)
		printf("           and %zu more weights\n", n_entries - NAMED);
}

static void print_unseen(const struct qc_calibration *c)
{
	const struct qc_tensor *tensor;
	size_t at = 0, n = 0;

	while ((tensor = qc_calibrate_unseen(c, &at))) {
		if (!n++)
			puts("no data    tensors that took part in no product; they will have no "
			     "weights:");
		if (n > NAMED)
			continue;
		fputs("           ", stdout);
		cli_print_text(stdout, tensor->name, strlen(tensor->name));
		putchar('\n');
	}
	if (n > NAMED)
		printf("           and %zu more\n", n - NAMED);
}

static void print_result(const struct qc_calibration *c)
{
	const struct qc_imatrix *im = &c->im;

	if (c->resumed)
		printf("resumed    after %zu of %zu windows\n", c->resumed, c->windows.n);
	printf("calibrated %zu weights, %u windows of %u tokens\n", im->n_entries, im->n_chunks,
	       im->chunk_size);
	print_coverage(im);
	print_silent(im);
	print_unseen(c);
	fputs("wrote      ", stdout);
	cli_print_text(stdout, c->options->output, strlen(c->options->output));
	putchar('\n');
}

static void json_coverage(const struct qc_imatrix *im)
{
	size_t n, empty;
	struct expert *list = experts(im, &n, &empty);

	printf(",\n \"experts\": %zu, \"experts_without_data\": %zu, \"worst_experts\": [", n,
	       empty);
	for (size_t i = 0; list && i < n && i < WORST; i++) {
		cli_json_field(i ? ",\n  {" : "\n  {", "weight", list[i].entry->name);
		printf(", \"expert\": %" PRIu64 ", \"tokens\": %.0f, \"of_mean\": %.6g}",
		       list[i].index, (double)list[i].entry->counts[list[i].index], list[i].share);
	}
	fputs("]", stdout);
	free(list);
}

static void json_result(const struct qc_calibration *c)
{
	const struct qc_imatrix *im = &c->im;
	const struct qc_tensor *tensor;
	uint64_t silent = 0;
	size_t at = 0, n = 0;

	for (size_t i = 0; i < im->n_entries; i++)
		silent += silent_channels(&im->entries[i]);
	cli_json_field("{", "output", c->options->output);
	printf(", \"entries\": %zu, \"windows\": %u, \"ctx\": %u, \"resumed\": %zu, "
	       "\"channels_without_data\": %" PRIu64,
	       im->n_entries, im->n_chunks, im->chunk_size, c->resumed, silent);
	json_coverage(im);
	fputs(",\n \"tensors_without_data\": [", stdout);
	while ((tensor = qc_calibrate_unseen(c, &at))) {
		fputs(n++ ? ", " : "", stdout);
		cli_json_field("{", "name", tensor->name);
		putchar('}');
	}
	puts("]}");
}

static void show_plan(const struct qc_calibration *c)
{
	struct qc_collect_plan plan;
	char size[16];

	if (!c->forward) {
		puts("only puts files together");
		return;
	}
	qc_calibrate_memory(c, &plan);
	printf("windows    %zu of %zu tokens, %u at a time\n", c->windows.n, c->windows.length,
	       c->state.group);
	cli_print_memory("memory", &plan.forward);
	printf("  %-9s %8s  sums of squares\n", "sums", cli_bytes(plan.stats, size, sizeof(size)));
	printf("  %-9s %8s  beside the program and the model's tables\n", "peak",
	       cli_bytes(plan.peak, size, sizeof(size)));
}

static void json_plan(const struct qc_calibration *c)
{
	struct qc_collect_plan plan = {0};

	if (c->forward)
		qc_calibrate_memory(c, &plan);
	printf("{\"windows\": %zu, \"ctx\": %zu, \"group\": %u, \"weights_bytes\": %" PRIu64
	       ", \"states_bytes\": %" PRIu64 ", \"spilled_bytes\": %" PRIu64
	       ", \"work_bytes\": %" PRIu64 ", \"sums_bytes\": %" PRIu64
	       ", \"peak_bytes\": %" PRIu64 "}\n",
	       c->windows.n, c->windows.length, c->state.group, plan.forward.weights,
	       plan.forward.states, plan.forward.spilled, plan.forward.work, plan.stats, plan.peak);
}

static int run_calibrate(struct cli_args *args)
{
	struct clock clock = {.args = args};
	const struct qc_calibrate_options options = {
		.model = args->n_operands ? args->operands[0] : NULL,
		.text = args->text,
		.output = args->output,
		.inputs = args->inputs.items,
		.n_inputs = args->inputs.n,
		.length = args->ctx,
		.most = args->windows,
		.full = args->full,
		.head = args->process_output,
		.legacy = args->dat,
		.force = args->options.force,
		.resume = args->resume,
		.threads = args->options.threads,
		.mem_limit = args->options.mem_limit,
		.stop = &cli_stop,
		.progress = show_progress,
		.user = &clock,
	};
	struct qc_calibration c;
	struct qc_err err = {0};
	enum qc_status s = qc_calibrate_open(&c, &options, &err);

	if (!s && args->dry_run)
		(args->json ? json_plan : show_plan)(&c);
	else if (!s)
		s = qc_calibrate_run(&c, &err);
	end_progress(&clock);
	if (!s && !args->dry_run && (args->json || !args->quiet))
		(args->json ? json_result : print_result)(&c);
	qc_calibrate_close(&c);
	return s ? cli_error(&err) : QCONV_DONE;
}

static const struct cli_option calibrate_options[] = {
	{"text", "FILE", CLI_STRING, offsetof(struct cli_args, text),
	 "the text to run the model on, plain or .gz"},
	{"-o", "FILE", CLI_STRING, offsetof(struct cli_args, output),
	 "the importance matrix to write"},
	{"in", "FILE", CLI_LIST, offsetof(struct cli_args, inputs),
	 "add this importance matrix; repeatable, and then MODEL may be left out"},
	{"ctx", "N", CLI_COUNT, offsetof(struct cli_args, ctx),
	 "tokens in a window (default: 512)"},
	{"windows", "N", CLI_COUNT, offsetof(struct cli_args, windows),
	 "use the first N windows (default: all)"},
	{"full", NULL, CLI_FLAG, offsetof(struct cli_args, full),
	 "a BOS before each window, not in place of its first token as llama-imatrix has it"},
	{"process-output", NULL, CLI_FLAG, offsetof(struct cli_args, process_output),
	 "the output head too"},
	{"dat", NULL, CLI_FLAG, offsetof(struct cli_args, dat),
	 "write the legacy form (also with an output name that ends in .dat)"},
	{"resume", NULL, CLI_FLAG, offsetof(struct cli_args, resume),
	 "go on from where an interrupted run with the same arguments has come"},
	{"dry-run", NULL, CLI_FLAG, offsetof(struct cli_args, dry_run),
	 "print windows and memory and stop"},
	{"json", NULL, CLI_FLAG, offsetof(struct cli_args, json),
	 "the summary as JSON on standard output"},
	{"mem-limit", "SIZE", CLI_SIZE, offsetof(struct cli_args, options.mem_limit),
	 "activations past it go to a temporary file; refuse what cannot be kept below it"},
	{"threads", "N", CLI_INT, offsetof(struct cli_args, options.threads),
	 "threads to use (default: one per processor)"},
	{"force", NULL, CLI_FLAG, offsetof(struct cli_args, options.force),
	 "replace an existing output"},
	{"quiet", NULL, CLI_FLAG, offsetof(struct cli_args, quiet), "no progress and no summary"},
	{0},
};

const struct cli_command cli_calibrate = {
	.name = "calibrate",
	.operands = "[MODEL]",
	.about = "run a model on a text: the importance of its channels, for --imatrix",
	.min_operands = 0,
	.max_operands = 1,
	.options = calibrate_options,
	.run = run_calibrate,
};
