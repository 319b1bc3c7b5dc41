/* Rules that the user gives: `REGEX=TYPE` options and recipe files, first match wins. */
#ifndef QC_CONVERT_USER_RULES_H
#define QC_CONVERT_USER_RULES_H

#include <stddef.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "convert/qconv.h"
#include "quant/qtype.h"

struct qc_user_rule;

/* A zeroed struct is an empty list. */
struct qc_user_rules {
	struct qc_user_rule *rules;
	size_t n, cap;
};

/* Compile options->tensor_rules, then options->recipe_file. QC_USAGE names the rule, or file and
 * line. Texts for people live in `arena`. */
QC_MUST_CHECK
enum qc_status qc_user_rules_load(struct qc_user_rules *rules, const struct qconv_options *options,
				  struct qc_arena *arena, struct qc_err *err);

/* Compile options->skips: rules without a type. QC_USAGE. */
QC_MUST_CHECK
enum qc_status qc_user_rules_load_skips(struct qc_user_rules *rules,
					const struct qconv_options *options, struct qc_arena *arena,
					struct qc_err *err);

/* The type that the first rule matching `name` asks for, NULL when none matches; *why gets a text
 * in the arena, and is left alone when none matches. */
const struct qc_qtype *qc_user_rules_match(const struct qc_user_rules *rules, const char *name,
					   const char **why);

void qc_user_rules_clear(struct qc_user_rules *rules);

#endif
