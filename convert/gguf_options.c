#include "convert/gguf_options.h"

#include <string.h>

#include "formats/meta_text.h"

enum qc_status qc_gguf_options_check(const struct qc_format *target,
				     const struct qconv_options *options, struct qc_err *err)
{
	const struct {
		const char *name;
		bool given;
	} rows[] = {
		{"--output-type", options->output_type != NULL},
		{"--token-embedding-type", options->embedding_type != NULL},
		{"--leave-output-tensor", options->leave_output},
		{"--override-kv", options->n_overrides > 0},
		{"--prune-layers", options->prune_layers != NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].given && target->layout_kind != QC_LAYOUT_GGUF)
			return qc_fail(err, QC_USAGE,
				       "%s is for GGUF: the output must end in .gguf",
				       rows[i].name);
	if (options->prune_layers && options->calib)
		return qc_fail(err, QC_USAGE,
			       "--prune-layers and --calib do not go together: prune first, then "
			       "calibrate the result");
	if (options->n_included && options->n_excluded)
		return qc_fail(err, QC_USAGE,
			       "--include-weights and --exclude-weights contradict each other");
	if ((options->n_included || options->n_excluded) && !options->imatrix)
		return qc_fail(err, QC_USAGE, "%s chooses from an imatrix: --imatrix FILE",
			       options->n_included ? "--include-weights" : "--exclude-weights");
	return QC_OK;
}

static bool holds_any(const char *name, const char *const *parts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strstr(name, parts[i]))
			return true;
	return false;
}

enum qc_status qc_imatrix_choose(struct qc_imatrix *im, const struct qconv_options *options,
				 struct qc_err *err)
{
	size_t kept = 0, all = im->n_entries;

	if (!options->n_included && !options->n_excluded)
		return QC_OK;
	qc_strmap_clear(&im->index);
	for (size_t i = 0; i < all; i++) {
		const struct qc_imatrix_entry entry = im->entries[i];
		bool was_there;

		if ((options->n_included &&
		     !holds_any(entry.name, options->included, options->n_included)) ||
		    holds_any(entry.name, options->excluded, options->n_excluded))
			continue;
		if (qc_strmap_add(&im->index, entry.name, strlen(entry.name), kept, &was_there,
				  err))
			return err->status;
		im->entries[kept++] = entry;
	}
	im->n_entries = kept;
	if (!kept)
		return qc_fail(err, QC_USAGE, "%s leaves none of the imatrix' %zu entries",
			       options->n_included ? "--include-weights" : "--exclude-weights",
			       all);
	return QC_OK;
}

/* The key's bytes up to '='. */
static bool is_fixed(const char *text, size_t len)
{
	static const char *const keys[] = {"general.alignment", "split.no", "split.count",
					   "split.tensors.count"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (strlen(keys[i]) == len && !memcmp(keys[i], text, len))
			return true;
	return false;
}

/* How meta_text.h calls llama-quantize's type; NULL. */
static const char *type_of(const struct qc_meta *meta, const char *key, const char *type,
			   size_t len)
{
	static const struct {
		const char *theirs, *ours;
	} rows[] = {{"int", "u32"}, {"float", "f32"}, {"bool", "bool"}, {"str", "string"}};
	const struct qc_kv *kv = qc_meta_find(meta, key);

	if (len == 3 && !memcmp(type, "int", len)) {
		if (kv && kv->type != QC_KV_STRING && kv->type != QC_KV_ARRAY &&
		    kv->type != QC_KV_BOOL && kv->type != QC_KV_F32 && kv->type != QC_KV_F64)
			return qc_kv_type_name(kv->type);
		return type[len + 1] == '-' ? "i32" : "u32";
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (strlen(rows[i].theirs) == len && !memcmp(rows[i].theirs, type, len))
			return rows[i].ours;
	return NULL;
}

static enum qc_status override(struct qc_plan *plan, const char *text, struct qc_err *err)
{
	struct qc_meta *meta = &plan->model->meta;
	const char *equals = strchr(text, '='), *colon = equals ? strchr(equals, ':') : NULL;
	const char *key, *type;

	if (!colon || equals == text)
		return qc_fail(err, QC_USAGE,
			       "--override-kv '%s' is not of the form KEY=TYPE:VALUE (types: int, "
			       "float, bool, str)",
			       text);
	if (is_fixed(text, (size_t)(equals - text)))
		return qc_fail(err, QC_USAGE,
			       "--override-kv '%s': this key says how the file is laid out", text);
	key = qc_arena_copy(&plan->arena, text, (size_t)(equals - text));
	if (!key)
		return qc_no_memory(err);
	type = type_of(meta, key, equals + 1, (size_t)(colon - equals - 1));
	if (!type)
		return qc_fail(err, QC_USAGE,
			       "--override-kv '%s': '%.*s' is not a type (types: int, float, bool, "
			       "str)",
			       text, (int)(colon - equals - 1), equals + 1);
	text = qc_arena_printf(&plan->arena, "%s=%s:%s", key, colon + 1, type);
	if (!text)
		return qc_no_memory(err);
	return qc_meta_set_text(meta, text, err) ? qc_fail_in(err, "--override-kv") : QC_OK;
}

enum qc_status qc_override_kv(struct qc_plan *plan, const struct qconv_options *options,
			      struct qc_err *err)
{
	for (size_t i = 0; i < options->n_overrides; i++)
		if (override(plan, options->overrides[i], err))
			return err->status;
	return QC_OK;
}
