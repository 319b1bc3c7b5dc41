#include "convert/user_rules.h"

#include <regex.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define MAX_RECIPE_BYTES (1u << 20)

struct qc_user_rule {
	regex_t regex;
	const struct qc_qtype *type;
	const char *why;
};

void qc_user_rules_clear(struct qc_user_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		regfree(&rules->rules[i].regex);
	free(rules->rules);
	memset(rules, 0, sizeof(*rules));
}

const struct qc_qtype *qc_user_rules_match(const struct qc_user_rules *rules, const char *name,
					   const char **why)
{
	for (size_t i = 0; i < rules->n; i++) {
		if (regexec(&rules->rules[i].regex, name, 0, NULL, 0) == 0) {
			*why = rules->rules[i].why;
			return rules->rules[i].type;
		}
	}
	return NULL;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **text, size_t *len)
{
	while (*len && is_space((*text)[*len - 1]))
		--*len;
	while (*len && is_space(**text)) {
		++*text;
		--*len;
	}
}

/* regcomp() takes \d for a plain d, and the rule would silently match nothing. */
static bool has_digit_escape(const char *pattern)
{
	for (const char *p = pattern; *p; p++) {
		if (*p != '\\')
			continue;
		if (p[1] == 'd' || p[1] == 'D')
			return true;
		if (p[1])
			p++;
	}
	return false;
}

static enum qc_status list_types(const char *rule, const char *type, struct qc_err *err)
{
	char names[320];
	size_t used = 0;

	names[0] = 0;
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		size_t len = strlen((*t)->name);

		if (!(*t)->quantize || used + len + 2 > sizeof(names))
			continue;
		if (used)
			names[used++] = ' ';
		memcpy(names + used, (*t)->name, len + 1);
		used += len;
	}
	return qc_fail(err, QC_USAGE, "rule '%s': '%s' is not a type (types: %s)", rule, type,
		       names);
}

static enum qc_status rules_grow(struct qc_user_rules *rules, struct qc_err *err)
{
	size_t cap = rules->cap ? rules->cap * 2 : 16;
	struct qc_user_rule *grown;

	if (rules->n < rules->cap)
		return QC_OK;
	grown = realloc(rules->rules, cap * sizeof(*grown));
	if (!grown)
		return qc_no_memory(err);
	rules->rules = grown;
	rules->cap = cap;
	return QC_OK;
}

/* `text` is the rule as the user gave it. */
static enum qc_status rule_compile(struct qc_user_rules *rules, const char *text,
				   const char *pattern, const struct qc_qtype *type,
				   const char *why, struct qc_err *err)
{
	struct qc_user_rule *rule;
	int failed;

	if (!why)
		return qc_no_memory(err);
	if (has_digit_escape(pattern))
		return qc_fail(err, QC_USAGE,
			       "rule '%s': POSIX regular expressions have no \\d: write [0-9]",
			       text);
	if (rules_grow(rules, err))
		return err->status;
	rule = &rules->rules[rules->n];
	failed = regcomp(&rule->regex, pattern, REG_EXTENDED | REG_NOSUB);
	if (failed) {
		char reason[128];

		regerror(failed, &rule->regex, reason, sizeof(reason));
		return failed == REG_ESPACE ? qc_no_memory(err)
					    : qc_fail(err, QC_USAGE, "rule '%s': %s", text, reason);
	}
	rules->n++;
	rule->type = type;
	rule->why = why;
	return QC_OK;
}

static enum qc_status rule_add(struct qc_user_rules *rules, const char *text, const char *pattern,
			       const char *type_name, struct qc_arena *arena, struct qc_err *err)
{
	const struct qc_qtype *type = qc_qtype_find(type_name);

	if (!type)
		return list_types(text, type_name, err);
	return rule_compile(rules, text, pattern, type, qc_arena_printf(arena, "rule '%s'", text),
			    err);
}

/* "regex = type": the last '=' separates, as a pattern may hold one. */
static enum qc_status rule_parse(struct qc_user_rules *rules, const char *text, size_t len,
				 struct qc_arena *arena, struct qc_err *err)
{
	const char *all = qc_arena_copy(arena, text, len), *equals, *type_text;
	const char *pattern, *type;
	size_t pattern_len, type_len;

	if (!all)
		return qc_no_memory(err);
	equals = strrchr(all, '=');
	if (!equals || memchr(text, 0, len))
		return qc_fail(err, QC_USAGE, "rule '%s' is not of the form REGEX=TYPE", all);
	pattern = all;
	pattern_len = (size_t)(equals - all);
	type_text = equals + 1;
	type_len = strlen(type_text);
	trim(&pattern, &pattern_len);
	trim(&type_text, &type_len);
	if (!pattern_len || !type_len)
		return qc_fail(err, QC_USAGE, "rule '%s' is not of the form REGEX=TYPE", all);
	pattern = qc_arena_copy(arena, pattern, pattern_len);
	type = qc_arena_copy(arena, type_text, type_len);
	if (!pattern || !type)
		return qc_no_memory(err);
	return rule_add(rules, all, pattern, type, arena, err);
}

/* The part of a line before its comment: a '#' at its start or after a blank. */
static size_t without_comment(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] == '#' && (i == 0 || is_space(line[i - 1])))
			return i;
	return len;
}

static enum qc_status load_file(struct qc_user_rules *rules, const char *path,
				struct qc_arena *arena, struct qc_err *err)
{
	char *data = NULL;
	size_t size = 0, line_number = 0;
	enum qc_status s = qc_file_load(path, MAX_RECIPE_BYTES, &data, &size, err);

	for (size_t at = 0; !s && at < size;) {
		const char *line = data + at, *end = memchr(line, '\n', size - at);
		size_t len = end ? (size_t)(end - line) : size - at;

		at += len + 1;
		line_number++;
		len = without_comment(line, len);
		trim(&line, &len);
		if (len && rule_parse(rules, line, len, arena, err))
			s = qc_fail_in(err, "%s:%zu", path, line_number);
	}
	free(data);
	return s;
}

enum qc_status qc_user_rules_load(struct qc_user_rules *rules, const struct qconv_options *options,
				  struct qc_arena *arena, struct qc_err *err)
{
	for (size_t i = 0; i < options->n_tensor_rules; i++) {
		const char *text = options->tensor_rules[i];

		if (rule_parse(rules, text, strlen(text), arena, err))
			return err->status;
	}
	return options->recipe_file ? load_file(rules, options->recipe_file, arena, err) : QC_OK;
}

enum qc_status qc_user_rules_load_skips(struct qc_user_rules *rules,
					const struct qconv_options *options, struct qc_arena *arena,
					struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < options->n_skips; i++)
		s = rule_compile(rules, options->skips[i], options->skips[i], NULL,
				 qc_arena_printf(arena, "--skip '%s'", options->skips[i]), err);
	return s;
}
