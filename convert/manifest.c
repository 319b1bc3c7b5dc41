#include "convert/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "convert/output.h"
#include "formats/arch/arch.h"
#include "formats/gguf.h"

#define MAX_MANIFEST_BYTES QC_JSON_MAX_BYTES

char *qc_manifest_path(const char *output)
{
	struct stat st;
	bool is_dir = !stat(output, &st) && S_ISDIR(st.st_mode);
	char *path;
	size_t prefix;
	uint32_t no, count;

	if (!is_dir && qc_gguf_split_name(output, &prefix, &no, &count) && no)
		return asprintf(&path, "%.*s-%05u-of-%05u.gguf.qconv.json", (int)prefix, output, 1u,
				count) < 0
			       ? NULL
			       : path;
	return asprintf(&path, "%s%s", output, is_dir ? "/" QC_OUTPUT_MANIFEST : ".qconv.json") < 0
		       ? NULL
		       : path;
}

/* `before` "key": "text" */
static void put_text(FILE *out, const char *before, const char *key, const char *text)
{
	fprintf(out, "%s\"%s\": ", before, key);
	if (text)
		qc_json_print_string(out, text, strlen(text));
	else
		fputs("null", out);
}

static void put_file(FILE *out, const char *name, uint64_t bytes, struct qc_digest128 digest)
{
	char hex[33];

	qc_digest128_hex(digest, hex);
	put_text(out, "{", "name", name);
	fprintf(out, ", \"bytes\": %" PRIu64 ", \"xxh3_128\": \"%s\"}", bytes, hex);
}

/* Of outputs that are safetensors. */
static void put_packing_options(FILE *out, const struct qconv_options *options)
{
	put_text(out, ", ", "layout", options->layout);
	fprintf(out, ", \"blocksize\": %d, \"double_quant\": %s, \"shard_bytes\": %" PRIu64,
		options->blocksize, options->double_quant ? "true" : "false", options->shard_bytes);
	fputs(", \"skips\": [", out);
	for (size_t i = 0; i < options->n_skips; i++) {
		fputs(i ? ", " : "", out);
		qc_json_print_string(out, options->skips[i], strlen(options->skips[i]));
	}
	fputs("]", out);
}

static void put_options(FILE *out, const struct qconv_options *options, const struct qc_plan *plan)
{
	const struct qc_model *model = plan->model;

	fprintf(out, ",\n  \"options\": {\"pure\": %s, \"tensor_rules\": [",
		options->pure ? "true" : "false");
	for (size_t i = 0; i < options->n_tensor_rules; i++) {
		fputs(i ? ", " : "", out);
		qc_json_print_string(out, options->tensor_rules[i],
				     strlen(options->tensor_rules[i]));
	}
	put_text(out, "], ", "recipe_file",
		 options->recipe_file ? qc_text_base_name(options->recipe_file) : NULL);
	if (options->imatrix)
		put_text(out, ", ", "imatrix", qc_text_base_name(options->imatrix));
	if (options->calib)
		put_text(out, ", ", "calib", qc_text_base_name(options->calib));
	if (options->awq)
		fprintf(out, ", \"awq\": %s", plan->awq.kept ? "true" : "false");
	if (options->target_bpw > 0 || options->target_bytes) {
		fprintf(out, ", \"target_bpw\": %.17g, \"target_bytes\": %" PRIu64,
			options->target_bpw, options->target_bytes);
		put_text(out, ", ", "ladder", options->ladder);
	}
	if (plan->target->layout_kind == QC_LAYOUT_HF)
		put_packing_options(out, options);
	fputs("}", out);
	if (!model->adapters)
		return;
	fputs(",\n  \"adapters\": [", out);
	for (const struct qc_adapter *a = model->adapters; a; a = a->next) {
		put_text(out, a == model->adapters ? "{" : ", {", "name",
			 qc_text_base_name(a->path));
		fprintf(out, ", \"scale\": %.17g", a->scale);
		put_text(out, ", ", "what", a->what);
		fputs("}", out);
	}
	fputs("]", out);
}

static void put_inputs(FILE *out, const struct qc_model *model, const struct qc_digest128 *sources)
{
	fputs(",\n  \"sources\": [", out);
	for (size_t i = 0; i < model->n_files; i++) {
		fputs(i ? ",\n    " : "\n    ", out);
		put_file(out, qc_text_base_name(model->files[i]->path), model->files[i]->size,
			 sources[i]);
	}
	fputs("\n  ],\n  \"dropped\": [", out);
	for (size_t i = 0; i < model->n_drops; i++) {
		put_text(out, i ? ",\n    {" : "\n    {", "name", model->drops[i].name);
		put_text(out, ", ", "reason", model->drops[i].reason);
		fputs("}", out);
	}
	fputs(model->n_drops ? "\n  ]" : "]", out);
}

/* A directory or a set. */
static bool has_files(const struct qc_plan *plan)
{
	return plan->target->is_dir || plan->out.is_set;
}

/* The name of one of several files (malloc); NULL when memory is out. */
static char *file_name(const struct qc_plan *plan, const char *output, size_t file)
{
	const struct qc_out_file *out = &plan->out.files[file];
	char *path = plan->out.is_set ? qc_output_set_path(output, out) : strdup(out->name);
	char *name = path ? strdup(qc_text_base_name(path)) : NULL;

	free(path);
	return name;
}

static void put_piece(FILE *out, const struct qc_plan *plan, const char *output,
		      const struct qc_piece *piece, struct qc_digest128 digest)
{
	char *name = NULL;
	char hex[33];

	put_text(out, "{", "name", piece->name);
	put_text(out, ", ", "type", piece->type->name);
	fputs(", \"shape\": [", out);
	for (uint32_t d = piece->n_dims; d > 0; d--)
		fprintf(out, "%" PRIu64 "%s", piece->dims[d - 1], d > 1 ? ", " : "");
	fputs("]", out);
	if (has_files(plan)) {
		name = file_name(plan, output, piece->file);
		put_text(out, ", ", "file", name);
		free(name);
	}
	qc_digest128_hex(digest, hex);
	fprintf(out, ", \"offset\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"xxh3_128\": \"%s\"}",
		piece->offset, piece->bytes, hex);
}

static void put_outputs(FILE *out, const struct qc_plan *plan, const char *output,
			const struct qc_job_results *results)
{
	size_t len = strlen(output);
	char *name;

	while (len > 1 && output[len - 1] == '/')
		len--;
	name = strndup(output, len);
	fputs(",\n  \"file\": ", out);
	put_file(out, name ? qc_text_base_name(name) : "", plan->out.total_bytes, results->file);
	free(name);
	if (!has_files(plan))
		return;
	fputs(",\n  \"files\": [", out);
	for (size_t i = 0; i < plan->out.n_files; i++) {
		name = file_name(plan, output, i);
		fputs(i ? ",\n    " : "\n    ", out);
		put_file(out, name ? name : "", plan->out.files[i].total_bytes, results->files[i]);
		free(name);
	}
	fputs("\n  ]", out);
}

enum qc_status qc_manifest_build(const struct qc_plan *plan, const struct qconv_options *options,
				 const char *output, const struct qc_job_results *results,
				 char **text, size_t *size, struct qc_err *err)
{
	const struct qc_model *model = plan->model;
	FILE *out;
	bool failed;

	*text = NULL;
	out = open_memstream(text, size);
	if (!out)
		return qc_no_memory(err);
	put_text(out, "{\n  ", "qconv", qconv_version());
	put_outputs(out, plan, output, results);
	put_text(out, ",\n  ", "format", plan->target->name);
	put_text(out, ",\n  ", "architecture", model->arch ? model->arch->name : NULL);
	put_text(out, ",\n  ", "recipe", plan->recipe);
	put_text(out, ",\n  ", "method", plan->method);
	put_options(out, options, plan);
	put_inputs(out, model, results->sources);
	fputs(",\n  \"tensors\": [", out);
	for (size_t i = 0; i < plan->n_pieces; i++) {
		fputs(i ? ",\n    " : "\n    ", out);
		put_piece(out, plan, output, plan->placed[i],
			  results->tensors[plan->placed[i]->number]);
	}
	fputs("\n  ]\n}\n", out);
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(*text);
		*text = NULL;
		return qc_no_memory(err);
	}
	return QC_OK;
}

/* Reading. */
struct parser {
	struct qc_json json;
	struct qc_manifest *manifest;
	struct qc_err *err;
};

static enum qc_status bad(struct parser *p, const char *what)
{
	return qc_fail(p->err, QC_BAD_INPUT, "not a manifest of qconv: %s", what);
}

static enum qc_status parse_text(struct parser *p, qc_json_value object, const char *key,
				 const char **text)
{
	qc_json_value value = qc_json_get(&p->json, object, key);

	*text = NULL;
	if (qc_json_type_of(&p->json, value) != QC_JSON_STRING)
		return bad(p, key);
	*text = qc_json_string(&p->json, value, &p->manifest->arena, NULL);
	return *text ? QC_OK : qc_no_memory(p->err);
}

static enum qc_status parse_hash(struct parser *p, qc_json_value object, char hex[33])
{
	const char *text;
	enum qc_status s = parse_text(p, object, "xxh3_128", &text);

	if (s)
		return s;
	if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)
		return bad(p, "xxh3_128");
	memcpy(hex, text, 33);
	return QC_OK;
}

static enum qc_status parse_entry(struct parser *p, qc_json_value object, bool is_tensor,
				  struct qc_manifest_entry *entry)
{
	enum qc_status s;

	if (qc_json_type_of(&p->json, object) != QC_JSON_OBJECT)
		return bad(p, is_tensor ? "tensors" : "file");
	s = parse_text(p, object, "name", &entry->name);
	if (!s && is_tensor)
		s = parse_text(p, object, "type", &entry->type);
	if (!s && is_tensor && qc_json_get(&p->json, object, "file"))
		s = parse_text(p, object, "file", &entry->file);
	if (!s)
		s = parse_hash(p, object, entry->xxh3_128);
	if (s)
		return s;
	if (!qc_json_u64(&p->json, qc_json_get(&p->json, object, "bytes"), &entry->bytes))
		return bad(p, "bytes");
	if (is_tensor &&
	    !qc_json_u64(&p->json, qc_json_get(&p->json, object, "offset"), &entry->offset))
		return bad(p, "offset");
	return QC_OK;
}

static enum qc_status parse_list(struct parser *p, const char *key, bool is_tensor,
				 struct qc_manifest_entry **list, size_t *n)
{
	qc_json_value array = qc_json_get(&p->json, QC_JSON_ROOT, key);
	enum qc_status s = QC_OK;

	if (qc_json_type_of(&p->json, array) != QC_JSON_ARRAY)
		return bad(p, key);
	*list = qc_arena_array(&p->manifest->arena, (uint64_t)qc_json_count(&p->json, array) + 1,
			       sizeof(**list));
	if (!*list)
		return qc_no_memory(p->err);
	for (qc_json_value v = qc_json_first(&p->json, array); v && !s;
	     v = qc_json_next(&p->json, v))
		s = parse_entry(p, v, is_tensor, &(*list)[(*n)++]);
	return s;
}

static enum qc_status parse_files(struct parser *p)
{
	struct qc_manifest *m = p->manifest;
	enum qc_status s = QC_OK;

	if (qc_json_get(&p->json, QC_JSON_ROOT, "files"))
		s = parse_list(p, "files", false, &m->files, &m->n_files);
	for (size_t i = 0; !s && i < m->n_files; i++)
		if (strchr(m->files[i].name, '/') || !strcmp(m->files[i].name, "..") ||
		    !strcmp(m->files[i].name, "."))
			s = bad(p, "files");
	return s;
}

static enum qc_status parse_all(struct parser *p)
{
	struct qc_manifest *m = p->manifest;
	const char *version;
	enum qc_status s;

	if (qc_json_type_of(&p->json, QC_JSON_ROOT) != QC_JSON_OBJECT)
		return bad(p, "no object");
	s = parse_text(p, QC_JSON_ROOT, "qconv", &version);
	if (!s)
		s = parse_entry(p, qc_json_get(&p->json, QC_JSON_ROOT, "file"), false, &m->file);
	if (!s)
		s = parse_files(p);
	return s ? s : parse_list(p, "tensors", true, &m->tensors, &m->n_tensors);
}

enum qc_status qc_manifest_read(struct qc_manifest *manifest, const char *path, struct qc_err *err)
{
	struct parser p = {.manifest = manifest, .err = err};
	char *text = NULL;
	size_t size = 0;
	enum qc_status s;

	memset(manifest, 0, sizeof(*manifest));
	s = qc_file_load(path, MAX_MANIFEST_BYTES, &text, &size, err);
	if (s)
		return s;
	s = qc_json_parse(&p.json, text, size, 0, err);
	if (!s)
		s = parse_all(&p);
	if (s) {
		s = qc_fail_in(err, "'%s'", path);
		qc_manifest_clear(manifest);
	}
	qc_json_clear(&p.json);
	free(text);
	return s;
}

void qc_manifest_clear(struct qc_manifest *manifest)
{
	qc_arena_clear(&manifest->arena);
	memset(manifest, 0, sizeof(*manifest));
}
