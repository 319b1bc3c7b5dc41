/*
 * general.*: what the model is called, by the converter's habits. The name is that of the
 * repository that config.json remembers, else of the directory: words for hyphens, capitals for
 * words that have none and are no version or size.
 */
#include "formats/arch/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "7b", "v1.5": starts with a digit, or a 'v' and numbers. */
static bool is_version(const char *word, size_t len)
{
	bool after_digit = false;

	if (is_digit(word[0]))
		return true;
	if (word[0] != 'v' || len < 2)
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!is_digit(word[i]) && !(word[i] == '.' && after_digit))
			return false;
		after_digit = is_digit(word[i]);
	}
	return after_digit;
}

/* Capitalize in place, ASCII letters only: the first of every run of letters in a word that has no
 * capital. */
static void title_word(char *word, size_t len)
{
	bool has_lower = false, has_upper = false, in_run = false;

	for (size_t i = 0; i < len; i++) {
		has_lower |= word[i] >= 'a' && word[i] <= 'z';
		has_upper |= word[i] >= 'A' && word[i] <= 'Z';
	}
	if (!has_lower || has_upper || is_version(word, len))
		return;
	for (size_t i = 0; i < len; i++) {
		const bool letter = word[i] >= 'a' && word[i] <= 'z';

		if (letter && !in_run)
			word[i] = (char)(word[i] - 'a' + 'A');
		/* bytes of other letters count as letters, so that no capital follows them */
		in_run = letter || (unsigned char)word[i] >= 0x80;
	}
}

/* "tiny-llama" -> "Tiny Llama", in place. */
static void title(char *text)
{
	char *out = text;

	for (const char *at = text; *at;) {
		const size_t skip = strspn(at, "- \t\r\n\v\f");
		const size_t len = strcspn(at + skip, "- \t\r\n\v\f");

		if (!len)
			break;
		if (out != text)
			*out++ = ' ';
		memmove(out, at + skip, len);
		title_word(out, len);
		out += len;
		at += skip + len;
	}
	*out = 0;
}

/* The repository's name in _name_or_path when it is one and not a path; NULL. */
static char *name_in_config(struct qc_model *model)
{
	const qc_json_value value = qc_json_get(&model->config, QC_JSON_ROOT, "_name_or_path");
	char *text, *slash;

	if (qc_json_type_of(&model->config, value) != QC_JSON_STRING)
		return NULL;
	text = qc_json_string(&model->config, value, &model->arena, NULL);
	slash = text ? strchr(text, '/') : NULL;
	if (slash && strchr(slash + 1, '/'))
		return NULL;
	text = slash ? slash + 1 : text;
	return text && *text ? text : NULL;
}

/* The last part of model->dir, resolved: "." has a name too. */
static char *name_of_dir(struct qc_model *model)
{
	char *full = model->dir ? realpath(model->dir, NULL) : NULL;
	const char *slash = full ? strrchr(full, '/') : NULL;
	char *name = slash && slash[1] ? qc_arena_copy(&model->arena, slash + 1, strlen(slash + 1))
				       : NULL;

	free(full);
	return name;
}

enum qc_status qc_arch_general(struct qc_model *model, struct qc_err *err)
{
	const char *arch = model->arch->name;
	char *name = name_in_config(model);
	enum qc_status s =
		qc_meta_set_string(&model->meta, "general.architecture", arch, strlen(arch), err);

	if (!name)
		name = name_of_dir(model);
	if (!s)
		s = qc_meta_set_string(&model->meta, "general.type", "model", 5, err);
	if (s || !name || !qc_utf8_valid(name, strlen(name)))
		return s;
	title(name);
	return *name ? qc_meta_set_string(&model->meta, "general.name", name, strlen(name), err)
		     : QC_OK;
}

/* Two digits at least, and the unit: 3,672,320 -> "3.7M", 70.6e9 -> "71B". */
static void pretty_count(double n, char *text, size_t size)
{
	static const struct {
		double from, scale;
		char unit;
	} units[] = {{1e12, 1e-12, 'T'}, {1e9, 1e-9, 'B'}, {1e6, 1e-6, 'M'}, {0, 1e-3, 'K'}};
	char whole[48];
	size_t u = 0, digits;

	while (n < units[u].from)
		u++;
	n *= units[u].scale;
	snprintf(whole, sizeof(whole), "%.0f", n);
	digits = strlen(whole) - (whole[0] == '0');
	snprintf(text, size, "%.*f%c", digits < 2 ? (int)(2 - digits) : 0, n, units[u].unit);
}

/* With experts: how many, and the size with one of them, "32x1.7B". */
enum qc_status qc_arch_size_label(struct qc_model *model, struct qc_err *err)
{
	const uint32_t n_experts = qc_arch_u32(model, "{a}.expert_count", 0);
	double n = 0, in_experts = 0;
	char count[48], text[64];

	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *tensor = &model->tensors[i];

		*(strstr(tensor->name, "_exps.") ? &in_experts : &n) +=
			(double)qc_tensor_elems(tensor);
	}
	if (n_experts && in_experts > 0) {
		pretty_count(n + in_experts / n_experts, count, sizeof(count));
		snprintf(text, sizeof(text), "%ux%s", n_experts, count);
	} else if (n > 0) {
		pretty_count(n, text, sizeof(text));
	} else {
		return QC_OK;
	}
	return qc_meta_set_string(&model->meta, "general.size_label", text, strlen(text), err);
}
