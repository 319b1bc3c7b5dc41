#include "convert/meta_edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "convert/lint.h"
#include "formats/arch/arch.h"
#include "formats/gguf.h"
#include "formats/meta_text.h"
#include "formats/model.h"

static const char *const fixed_keys[] = {
	QC_GGUF_ALIGNMENT_KEY, "split.no", "split.count", "split.tensors.count", NULL,
};

static enum qc_status check_key(const char *key, size_t len, struct qc_err *err)
{
	for (const char *const *fixed = fixed_keys; *fixed; fixed++)
		if (strlen(*fixed) == len && !memcmp(*fixed, key, len))
			return qc_fail(
				err, QC_REFUSED,
				"key '%s' says how the file is laid out: it cannot be edited",
				*fixed);
	return QC_OK;
}

/* tokenizer.ggml.*_token_id: llama.cpp passes over an id that no token has. */
static enum qc_status check_token_id(const struct qc_meta *meta, const char *edit,
				     struct qc_err *err)
{
	static const char before[] = "tokenizer.ggml.", behind[] = "_token_id";
	const struct qc_kv *tokens = qc_meta_find(meta, "tokenizer.ggml.tokens");
	const size_t len = strcspn(edit, "="), n_behind = sizeof(behind) - 1;
	char key[128];
	uint32_t id;

	if (!tokens || len >= sizeof(key) || len < sizeof(before) + n_behind ||
	    memcmp(edit, before, sizeof(before) - 1) ||
	    memcmp(edit + len - n_behind, behind, n_behind))
		return QC_OK;
	memcpy(key, edit, len);
	key[len] = 0;
	if (qc_meta_u32(meta, key, &id) && id < tokens->n)
		return QC_OK;
	return qc_fail(err, QC_REFUSED,
		       "'%.128s': an id below %llu, the number of tokens, is needed", edit,
		       (unsigned long long)tokens->n);
}

static enum qc_status set_template(struct qc_meta *meta, const char *path, struct qc_err *err)
{
	char *text = NULL;
	size_t size = 0;
	enum qc_status s = qc_file_load(path, QC_GGUF_MAX_STRING, &text, &size, err);

	if (!s && !qc_utf8_valid(text, size))
		s = qc_fail(err, QC_BAD_INPUT, "template '%s' is not UTF-8", path);
	if (!s)
		s = qc_meta_set_string(meta, "tokenizer.chat_template", text, size, err);
	free(text);
	return s;
}

/* The model with `meta` in the place of its metadata; with NULL as it is. A later file of a set has
 * no metadata of a model. */
static enum qc_status reads_as_model(const char *path, const struct qc_meta *meta,
				     struct qc_err *err)
{
	struct qc_model model = {0};
	enum qc_status s = qc_gguf_open_stored(&model, path, err);

	if (!s && meta)
		s = qc_meta_assign(&model.meta, meta, err);
	if (!s)
		s = qc_gguf_check_meta(&model.meta, err);
	if (!s)
		s = qc_arch_from_meta(&model, err);
	qc_model_close(&model);
	return s;
}

static bool is_later_file(const struct qc_meta *meta)
{
	uint32_t no;

	return qc_meta_u32(meta, "split.no", &no) && no;
}

/* *at: where to look first, as both lists have much the same order. */
static bool has_finding(const struct qc_findings *list, const struct qc_finding *finding,
			size_t *at)
{
	for (size_t n = 0; n < list->n; n++, *at = (*at + 1) % list->n)
		if (!strcmp(list->list[*at].rule, finding->rule) &&
		    !strcmp(list->list[*at].subject, finding->subject))
			return true;
	return false;
}

/* QC_REFUSED for the first error that the edited file would have and the file has not. */
static enum qc_status check_loaders(const char *path, const struct qc_meta *meta,
				    struct qc_err *err)
{
	static const struct qconv_options options;
	struct qc_findings before, after = {0};
	size_t at = 0;
	enum qc_status s = qc_lint_edited(&before, path, NULL, &options, err);

	if (!s)
		s = qc_lint_edited(&after, path, meta, &options, err);
	for (size_t i = 0; !s && i < after.n; i++) {
		const struct qc_finding *found = &after.list[i];

		if (found->severity == QC_LINT_ERROR && !has_finding(&before, found, &at))
			s = qc_fail(err, QC_REFUSED,
				    "'%s': not with this metadata: %s: %s, expected %s (%s); "
				    "--force writes it",
				    path, found->subject, found->found, found->expected,
				    found->loader);
	}
	qc_findings_clear(&before);
	qc_findings_clear(&after);
	return s;
}

enum qc_status qc_meta_edit_apply(struct qc_gguf_header *header, const struct qc_meta_edits *edits,
				  struct qc_err *err)
{
	struct qc_meta *meta = &header->meta;
	struct qc_err before = {0};
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < edits->n_removals; i++) {
		const char *key = edits->removals[i];

		s = check_key(key, strlen(key), err);
		if (!s && !qc_meta_find(meta, key))
			s = qc_fail(err, QC_USAGE, "'%s' has no key '%.64s'", header->file.path,
				    key);
		if (!s)
			qc_meta_remove(meta, key);
	}
	for (size_t i = 0; !s && i < edits->n_sets; i++) {
		s = check_key(edits->sets[i], strcspn(edits->sets[i], "="), err);
		if (!s)
			s = qc_meta_set_text(meta, edits->sets[i], err);
	}
	for (size_t i = 0; !s && i < edits->n_sets; i++)
		s = check_token_id(meta, edits->sets[i], err);
	if (!s && edits->template_file)
		s = set_template(meta, edits->template_file, err);
	if (s || is_later_file(meta) || reads_as_model(header->file.path, NULL, &before))
		return s; /* a file that could not be read as a model cannot be broken further */
	s = reads_as_model(header->file.path, meta, err);
	if (s == QC_BAD_INPUT || s == QC_UNSUPPORTED)
		return err->status = QC_REFUSED,
		       qc_fail_in(err, "'%s': not with this metadata", header->file.path);
	return s || edits->force ? s : check_loaders(header->file.path, meta, err);
}
