/* What the program's commands share: option tables, messages, numbers for people. The only code
 * that prints. */
#ifndef QC_CONVERT_CLI_H
#define QC_CONVERT_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/qconv.h"

/* What a repeatable option was given, in order. */
struct cli_list {
	const char **items;
	size_t n;
};

/* Everything that options and operands can set. */
struct cli_args {
	const char *operands[2];
	int n_operands;
	struct qconv_options options;
	struct cli_list rules, loras, skips, sets, dels, inputs; /* storage of the options' lists */
	struct cli_list overrides, included, excluded;
	bool measure, dry_run, json, quiet, gguf_hash, no_lint, help;
	bool resume, process_output, dat;
	const char *against, *text, *prompt, *output;
	uint64_t ctx, windows, n_tokens; /* 0: not given */
	bool full;
	bool show, in_place;
	const char *template_file;
	double tolerance; /* < 0: not given */
};

enum cli_kind {
	CLI_FLAG,
	CLI_STRING,
	CLI_LIST,
	CLI_INT,
	CLI_COUNT, /* uint64_t, from 1 on */
	CLI_SIZE,
	CLI_DISK_SIZE,
	CLI_NUMBER,
};

/* One row of an option table: the same row parses the option and prints its help. */
struct cli_option {
	const char *name; /* without "--"; "-n" is one of one letter; NULL ends the table */
	const char *arg;  /* NULL for a flag */
	enum cli_kind kind;
	size_t field; /* offsetof(struct cli_args, ...) */
	const char *help;
};

struct cli_command {
	const char *name;     /* NULL for the conversion itself */
	const char *operands; /* "FILE|DIR" */
	const char *about;
	int min_operands, max_operands;
	const struct cli_option *options;
	int (*run)(struct cli_args *args); /* returns the exit code */
};

extern const struct cli_command cli_convert, cli_inspect, cli_verify, cli_eval, cli_hash, cli_types,
	cli_split, cli_merge, cli_meta, cli_diff, cli_calibrate;
/* All commands, the conversion first; NULL-terminated. */
extern const struct cli_command *const cli_commands[];

/* Parse argv (behind the command's name) by the command's table; on failure prints why and returns
 * false. */
bool cli_parse(const struct cli_command *command, int argc, char **argv, struct cli_args *args);
void cli_args_clear(struct cli_args *args);

void cli_help(const struct cli_command *command, FILE *out);

/* "qconv: TEXT" on stderr; returns the exit code of err->status. */
int cli_error(const struct qc_err *err);
/* The same for the public API's error. */
int cli_api_error(const struct qconv_error *error);
/* "qconv: warning: TEXT" on stderr. */
QC_PRINTF(1, 2) void cli_warn(const char *format, ...);

/* Flush stdout; a failure (closed pipe, full disk) is an error like any other. Returns `code` or 1.
 */
int cli_finish(int code);

/* 1234567 -> "1.23 MB"; decimal units. `buf` of 16 bytes is enough; returns it. */
const char *cli_bytes(uint64_t bytes, char *buf, size_t size);

/* Print text from a file: control characters and bytes that are not UTF-8 become '?'. */
void cli_print_text(FILE *out, const char *text, size_t len);

/* One member of a JSON object on stdout, with `before` (a comma, a brace) in front; a NULL text is
 * null. */
void cli_json_field(const char *before, const char *key, const char *text);
/* One that is an array of names, on a line of its own behind another member. */
void cli_json_names(const char *key, const char *const *names, size_t n);
/* What the model leaves out, as the objects of an array. */
struct qc_model;
void cli_json_drops(const struct qc_model *model);

/* cmd_values.c: a metadata value on stdout; for people long ones are cut short. */
struct qc_kv;
void cli_print_value(const struct qc_kv *kv, bool json);

/* cmd_plan.c: where a conversion comes from, what it makes at what cost, and what it does not bring
 * along; every tensor, on stdout; and how it went, on stderr. */
struct qc_plan;
void cli_print_plan(FILE *out, const struct qc_plan *plan, const char *output);
void cli_print_steps(const struct qc_plan *plan);
void cli_print_summary(const struct qc_plan *plan, const struct qconv_summary *summary,
		       const char *output);
/* cmd_plan_json.c: the same on stdout. */
void cli_json_plan(const struct qc_plan *plan, const char *output);
void cli_json_summary(const struct qc_plan *plan, const struct qconv_summary *summary,
		      const char *output);

/* cmd_progress.c: the progress callback; `user` is a struct cli_progress. One updating line on a
 * terminal, else a plain line about every ten percent. */
struct cli_progress {
	bool terminal, quiet;
	bool line_open;
	double started, last_shown;
	const char *phase;
	unsigned last_tenth;
};
void cli_progress_start(struct cli_progress *progress, bool quiet);
void cli_progress_show(const struct qconv_progress *state, void *user);
void cli_progress_end(struct cli_progress *progress);

/* cmd_memory.c: what a forward pass takes, line by line, under a heading; and the refusal of a peak
 * above --mem-limit. */
struct qc_forward_plan;
void cli_print_memory(const char *heading, const struct qc_forward_plan *plan);
QC_MUST_CHECK
enum qc_status cli_check_memory(uint64_t peak, uint64_t limit, struct qc_err *err);

/* cmd_generate.c: qconv eval MODEL --prompt TEXT. */
int cli_generate(struct cli_args *args);

/* Set by SIGINT, SIGTERM and SIGHUP (main.c). */
extern volatile sig_atomic_t cli_stop;

#endif
