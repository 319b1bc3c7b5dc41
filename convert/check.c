#include "convert/check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/strmap.h"
#include "convert/compare.h"
#include "convert/manifest.h"
#include "convert/step.h"
#include "formats/format.h"
#include "formats/hf.h"

#define READ_BYTES (1u << 20)

enum qc_status qc_hash_file(const struct qc_file *file, const struct qconv_options *options,
			    struct qc_digest128 *digest, struct qc_err *err)
{
	struct qconv_progress progress = {.phase = "hash", .bytes_total = file->size};
	struct qc_hasher *hasher = qc_hasher_new();
	uint8_t *buffer = malloc(READ_BYTES);
	enum qc_status s = hasher && buffer ? QC_OK : qc_no_memory(err);

	for (uint64_t at = 0; !s && at < file->size;) {
		uint64_t left = file->size - at, n = left < READ_BYTES ? left : READ_BYTES;

		if (options->stop && *options->stop)
			s = qc_fail(err, QC_INTERRUPTED, "interrupted");
		else
			s = qc_file_read(file, at, buffer, (size_t)n, err);
		if (s)
			break;
		qc_hasher_add(hasher, buffer, (size_t)n);
		at += n;
		progress.bytes_done = at;
		if (options->progress)
			options->progress(&progress, options->user);
	}
	if (!s)
		*digest = qc_hasher_digest(hasher);
	free(buffer);
	qc_hasher_free(hasher);
	return s;
}

/* One verification. */
struct check {
	struct qc_check_report *report;
	const struct qconv_options *options;
	struct qc_model file, source;
	struct qc_strmap names; /* of the file's tensors -> index */
	struct qc_compare_pair *pairs;
	size_t n_pairs;
	bool stored_names; /* of both, as one is a bag of tensors */
	struct qc_err *err;
};

static const char *name_of(const struct check *c, const struct qc_tensor *tensor)
{
	return c->stored_names ? tensor->stored_name : tensor->name;
}

static enum qc_status index_names(struct check *c)
{
	bool was_there;

	for (size_t i = 0; i < c->file.n_tensors; i++) {
		const char *name = name_of(c, &c->file.tensors[i]);

		if (qc_strmap_add(&c->names, name, strlen(name), i, &was_there, c->err))
			return c->err->status;
	}
	return QC_OK;
}

/* XXH3-128 of one tensor's stored bytes, for telling which one of a changed file it is. */
static enum qc_status hash_extent(const struct qc_file *file, uint64_t offset, uint64_t bytes,
				  char hex[33], struct qc_err *err)
{
	struct qc_hasher *hasher = qc_hasher_new();
	uint8_t *buffer = malloc(READ_BYTES);
	enum qc_status s = hasher && buffer ? QC_OK : qc_no_memory(err);

	while (!s && bytes) {
		size_t n = bytes < READ_BYTES ? (size_t)bytes : READ_BYTES;

		s = qc_file_read(file, offset, buffer, n, err);
		if (!s)
			qc_hasher_add(hasher, buffer, n);
		offset += n;
		bytes -= n;
	}
	if (!s)
		qc_digest128_hex(qc_hasher_digest(hasher), hex);
	free(buffer);
	qc_hasher_free(hasher);
	return s;
}

/* A file is not the manifest's: the first of its tensors that is not, or else what lies around
 * them. */
static enum qc_status find_difference(struct check *c, const struct qc_manifest *manifest,
				      const struct qc_manifest_entry *wanted,
				      const struct qc_file *file)
{
	struct qc_arena *arena = &c->report->arena;
	const char *text = NULL;

	if (file->size != wanted->bytes)
		text = qc_arena_printf(arena, "the file has %llu bytes, the manifest says %llu",
				       (unsigned long long)file->size,
				       (unsigned long long)wanted->bytes);
	for (size_t i = 0; !text && i < manifest->n_tensors; i++) {
		const struct qc_manifest_entry *entry = &manifest->tensors[i];
		char hex[33];

		if (manifest->n_files && (!entry->file || strcmp(entry->file, wanted->name)))
			continue;
		if (entry->offset > file->size || entry->bytes > file->size - entry->offset)
			return qc_fail(c->err, QC_BAD_INPUT,
				       "manifest: tensor '%s' lies outside the file", entry->name);
		if (hash_extent(file, entry->offset, entry->bytes, hex, c->err))
			return c->err->status;
		if (strcmp(hex, entry->xxh3_128))
			text = qc_arena_printf(arena, "tensor '%s' is not what was written",
					       entry->name);
	}
	if (!text)
		text = qc_arena_printf(arena,
				       "header, metadata or padding is not what was written");
	if (text && manifest->n_files)
		text = qc_arena_printf(arena, "'%s': %s", wanted->name, text);
	c->report->first_difference = text;
	return text ? QC_OK : qc_no_memory(c->err);
}

static enum qc_status check_file(struct check *c, const struct qc_manifest *manifest,
				 const struct qc_manifest_entry *wanted, const char *path)
{
	struct qc_file file = {0};
	struct qc_digest128 digest;
	char hex[33];
	enum qc_status s = qc_file_open(&file, path, c->err);

	if (!s)
		s = qc_hash_file(&file, c->options, &digest, c->err);
	if (!s) {
		qc_digest128_hex(digest, hex);
		if (file.size != wanted->bytes || strcmp(hex, wanted->xxh3_128)) {
			c->report->hashes = QC_HASH_DIFFERENT;
			s = find_difference(c, manifest, wanted, &file);
		}
	}
	qc_file_close(&file);
	return s;
}

static enum qc_status check_hashes(struct check *c, const struct qc_manifest *manifest,
				   const char *path)
{
	enum qc_status s = QC_OK;

	c->report->hashes = QC_HASH_EQUAL;
	if (!manifest->n_files)
		return check_file(c, manifest, &manifest->file, path);
	for (size_t i = 0; !s && i < manifest->n_files && c->report->hashes == QC_HASH_EQUAL; i++) {
		char *name;

		if (asprintf(&name, "%s/%s", path, manifest->files[i].name) < 0)
			return qc_no_memory(c->err);
		s = check_file(c, manifest, &manifest->files[i], name);
		free(name);
	}
	return s;
}

/* The manifest beside the file, when there is one. It comes before the file's structure: a changed
 * byte is a difference, whatever it breaks. */
static enum qc_status check_manifest(struct check *c, const char *path)
{
	char *manifest_path = qc_manifest_path(path);
	struct qc_manifest manifest;
	struct stat st;
	enum qc_status s;

	if (!manifest_path)
		return qc_no_memory(c->err);
	if (stat(manifest_path, &st) && errno == ENOENT) {
		free(manifest_path);
		return QC_OK;
	}
	s = qc_manifest_read(&manifest, manifest_path, c->err);
	if (!s) {
		s = check_hashes(c, &manifest, path);
		qc_manifest_clear(&manifest);
	}
	free(manifest_path);
	return s;
}

/* Equal shapes; trailing dimensions of 1 do not count (GGUF does not keep them). */
static bool same_shape(const struct qc_tensor *a, const struct qc_tensor *b)
{
	uint32_t most = a->n_dims > b->n_dims ? a->n_dims : b->n_dims;

	for (uint32_t i = 0; i < most; i++)
		if ((i < a->n_dims ? a->dims[i] : 1) != (i < b->n_dims ? b->dims[i] : 1))
			return false;
	return true;
}

/* A tensor of the source that the file's format has no type for is not missed: the plan has dropped
 * it. */
static bool may_be_absent(const struct check *c, const struct qc_tensor *tensor)
{
	return c->file.format->can_hold && tensor->source->type->is_integer &&
	       !c->file.format->can_hold(tensor->source->type);
}

/* Experts may be stored either way round: turn the one that is [experts, in, out]. */
static enum qc_status same_way_round(struct qc_model *model, struct qc_tensor *tensor,
				     const struct qc_tensor *other, struct qc_err *err)
{
	if (!tensor->transposed || other->transposed || tensor->n_dims < 2)
		return QC_OK;
	return qc_tensor_turn(tensor, &model->arena, err);
}

/* Find each tensor of the source in the file; pairs of equal shape are to be compared. */
static enum qc_status match_tensors(struct check *c, bool *found)
{
	struct qc_check_report *r = c->report;

	r->missing = qc_arena_array(&r->arena, c->source.n_tensors + 1, sizeof(*r->missing));
	r->mismatched = qc_arena_array(&r->arena, c->source.n_tensors + 1, sizeof(*r->mismatched));
	if (!r->missing || !r->mismatched)
		return qc_no_memory(c->err);
	for (size_t i = 0; i < c->source.n_tensors; i++) {
		struct qc_tensor *tensor = &c->source.tensors[i];
		const char *name = name_of(c, tensor);
		size_t len = strlen(name);
		const uint64_t *at = qc_strmap_find(&c->names, name, len);

		if (!at && may_be_absent(c, tensor))
			continue;
		name = qc_arena_copy(&r->arena, name, len);
		if (!name)
			return qc_no_memory(c->err);
		if (!at) {
			r->missing[r->n_missing++] = name;
			continue;
		}
		found[*at] = true;
		if (same_way_round(&c->source, tensor, &c->file.tensors[*at], c->err) ||
		    same_way_round(&c->file, &c->file.tensors[*at], tensor, c->err))
			return c->err->status;
		if (!same_shape(&c->file.tensors[*at], tensor) ||
		    !qc_compare_possible(&c->file.tensors[*at], tensor))
			r->mismatched[r->n_mismatched++] = name;
		else
			c->pairs[*at].source = tensor;
	}
	return QC_OK;
}

static enum qc_status list_extra(struct check *c, const bool *found)
{
	struct qc_check_report *r = c->report;

	r->extra = qc_arena_array(&r->arena, c->file.n_tensors + 1, sizeof(*r->extra));
	if (!r->extra)
		return qc_no_memory(c->err);
	for (size_t i = 0; i < c->file.n_tensors; i++) {
		const char *name = name_of(c, &c->file.tensors[i]);

		if (found[i])
			continue;
		name = qc_arena_copy(&r->arena, name, strlen(name));
		if (!name)
			return qc_no_memory(c->err);
		r->extra[r->n_extra++] = name;
	}
	return QC_OK;
}

static bool is_hf(const struct qc_model *model)
{
	return model->format && model->format->layout_kind == QC_LAYOUT_HF;
}

static enum qc_status open_source(struct check *c, const char *against)
{
	enum qc_status s = qc_model_open(&c->source, against, c->err);

	if (s)
		return s;
	c->stored_names =
		is_hf(&c->file) && is_hf(&c->source) && c->file.layout != c->source.layout;
	if (!c->stored_names)
		return qc_model_set_layout(&c->source, c->file.layout, c->err);
	s = qc_hf_restore_dropped(&c->file, c->err);
	return s ? s : qc_hf_restore_dropped(&c->source, c->err);
}

static enum qc_status match(struct check *c)
{
	bool *found = calloc(c->file.n_tensors + 1, sizeof(*found));
	enum qc_status s = found ? match_tensors(c, found) : qc_no_memory(c->err);

	if (!s)
		s = list_extra(c, found);
	free(found);
	return s;
}

static struct qc_tensor_error error_of(const struct qc_compare_pair *pair)
{
	const struct qc_compare_sums *sums = &pair->sums;
	struct qc_tensor_error e = {
		.name = pair->file->name,
		.type = pair->file->source->type->name,
		.source_type = pair->source->source->type->name,
		.n = qc_tensor_elems(pair->file),
		.max_abs = sums->max_abs,
		.exact = !sums->differs,
	};

	e.rel_rmse = e.exact ? 0 : sums->x2 > 0 ? sqrt(sums->err2 / sums->x2) : (double)INFINITY;
	e.cosine = e.exact			  ? 1
		   : sums->x2 > 0 && sums->y2 > 0 ? sums->xy / (sqrt(sums->x2) * sqrt(sums->y2))
						  : 0;
	e.sqnr_db = e.exact ? (double)INFINITY : -20 * log10(e.rel_rmse);
	return e;
}

static enum qc_status fill_errors(struct check *c)
{
	struct qc_check_report *r = c->report;
	double err2 = 0, x2 = 0;

	r->errors = qc_arena_array(&r->arena, c->n_pairs + 1, sizeof(*r->errors));
	if (!r->errors)
		return qc_no_memory(c->err);
	for (size_t i = 0; i < c->n_pairs; i++) {
		struct qc_tensor_error *e = &r->errors[r->n_errors];

		if (!c->pairs[i].source)
			continue;
		*e = error_of(&c->pairs[i]);
		e->name = qc_arena_copy(&r->arena, e->name, strlen(e->name));
		if (!e->name)
			return qc_no_memory(c->err);
		r->n_exact += e->exact;
		r->n_errors++;
		err2 += c->pairs[i].sums.err2;
		x2 += c->pairs[i].sums.x2;
	}
	r->total_rel_rmse = err2 > 0 ? sqrt(err2 / x2) : 0;
	return QC_OK;
}

static enum qc_status verdict(struct check *c, const char *path)
{
	const struct qc_check_report *r = c->report;

	if (r->hashes == QC_HASH_DIFFERENT)
		return qc_fail(c->err, QC_DIFFERENT, "'%s': %s", path, r->first_difference);
	if (r->n_missing || r->n_extra || r->n_mismatched)
		return qc_fail(
			c->err, QC_DIFFERENT,
			"'%s': %zu tensors of the source are missing, %zu are not in the source, "
			"%zu have another shape (first: '%s')",
			path, r->n_missing, r->n_extra, r->n_mismatched,
			r->n_missing ? r->missing[0]
			: r->n_extra ? r->extra[0]
				     : r->mismatched[0]);
	return QC_OK;
}

static enum qc_status read_all(struct check *c, const char *path, const char *against)
{
	enum qc_status s = qc_model_open(&c->file, path, c->err);

	if (!s && against)
		s = open_source(c, against);
	if (s)
		return s;
	c->report->n_tensors = c->n_pairs = c->file.n_tensors;
	for (size_t i = 0; i < c->file.n_files; i++)
		c->report->bytes += c->file.files[i]->size;
	c->pairs = calloc(c->n_pairs + 1, sizeof(*c->pairs));
	if (!c->pairs)
		return qc_no_memory(c->err);
	for (size_t i = 0; i < c->n_pairs; i++)
		c->pairs[i].file = &c->file.tensors[i];
	s = index_names(c);
	if (!s && against)
		s = match(c);
	if (!s)
		s = qc_compare(c->pairs, c->n_pairs, c->options, c->err);
	if (!s && against)
		s = fill_errors(c);
	if (!s)
		s = qc_model_unchanged(&c->file, c->err);
	if (!s && against)
		s = qc_model_unchanged(&c->source, c->err);
	return s;
}

enum qc_status qc_check(struct qc_check_report *report, const char *path, const char *against,
			const struct qconv_options *options, struct qc_err *err)
{
	struct check c = {.report = report, .options = options, .err = err};
	enum qc_status s;

	memset(report, 0, sizeof(*report));
	s = check_manifest(&c, path);
	if (!s)
		s = read_all(&c, path, against);
	if (!s || (s == QC_BAD_INPUT && report->hashes == QC_HASH_DIFFERENT))
		s = verdict(&c, path);
	free(c.pairs);
	qc_strmap_clear(&c.names);
	qc_model_close(&c.source);
	qc_model_close(&c.file);
	return s;
}

void qc_check_report_clear(struct qc_check_report *report)
{
	qc_arena_clear(&report->arena);
	memset(report, 0, sizeof(*report));
}
