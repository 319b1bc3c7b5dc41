/*
 * GGUF, the reader: one file or a split set. Nothing in a file is trusted: a declared number is
 * compared with the bytes left before anything is allocated or looped over, and every sum and
 * product is checked. No tensor data is read but the tensor scales of nvfp4 weights.
 */
#include "formats/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/arch/arch.h"

/* The smallest possible entries: a key of one byte with a u8; a name of one byte and no dimensions.
 */
#define MIN_KV_BYTES	 14
#define MIN_TENSOR_BYTES 25

static bool is_legacy(const uint8_t *head, size_t size)
{
	return size >= 4 && (!memcmp(head, "lmgg", 4) || !memcmp(head, "fmgg", 4) ||
			     !memcmp(head, "tjgg", 4) || !memcmp(head, "algg", 4));
}

static unsigned gguf_sniff(const struct qc_probe *probe)
{
	if (probe->head_size >= 4 && !memcmp(probe->head, "GGUF", 4))
		return 32;
	/* GGUF's forerunners: not readable either, but the reader has the right words for them */
	return is_legacy(probe->head, probe->head_size) ? 16 : 0;
}

static enum qc_status not_gguf(const struct qc_file *file, struct qc_err *err)
{
	uint8_t head[512];
	size_t size = file->size < sizeof(head) ? (size_t)file->size : sizeof(head);
	enum qc_status s = qc_file_read(file, 0, head, size, err);
	const char *looks;

	if (s)
		return s;
	if (!size)
		return qc_fail(err, QC_BAD_INPUT, "the file is empty");
	if (is_legacy(head, size))
		return qc_fail(err, QC_UNSUPPORTED,
			       "a file of the GGML family from before GGUF: convert the original "
			       "model instead");
	looks = qc_file_looks_like(head, size);
	if (looks)
		return qc_fail(err, QC_BAD_INPUT, "not a GGUF file but %s", looks);
	return qc_fail(err, QC_BAD_INPUT, "not a GGUF file: it does not start with 'GGUF'");
}

/* The version word tells the byte order too: a small number in one of the two. */
static enum qc_status gguf_version(struct qc_gguf *gguf, struct qc_err *err)
{
	uint32_t version;
	enum qc_status s = qc_read_u32(&gguf->reader, &version, "the version", err);

	if (s)
		return s;
	if (version && !(version & 0xffff)) {
		gguf->big_endian = gguf->reader.big_endian = true;
		version = version >> 24 | (version >> 8 & 0xff00);
	}
	gguf->version = version;
	if (version == 1)
		return qc_fail(err, QC_UNSUPPORTED,
			       "GGUF version 1 (2023) is not supported, only 2 and 3: convert the "
			       "original model "
			       "instead");
	if (version != 2 && version != QC_GGUF_VERSION)
		return qc_fail(err, QC_BAD_INPUT,
			       "GGUF version %u is unknown, only 2 and 3 are supported", version);
	return QC_OK;
}

enum qc_status qc_gguf_start(struct qc_gguf *gguf, const struct qc_file *file, struct qc_err *err)
{
	uint8_t magic[4];
	uint64_t left;
	enum qc_status s;

	*gguf = (struct qc_gguf){.alignment = QC_GGUF_DEFAULT_ALIGNMENT};
	qc_reader_init(&gguf->reader, file, 0, file->size);
	if (file->size < sizeof(magic))
		return not_gguf(file, err);
	s = qc_read_bytes(&gguf->reader, magic, sizeof(magic), "the magic", err);
	if (!s && memcmp(magic, "GGUF", 4))
		s = not_gguf(file, err);
	if (!s)
		s = gguf_version(gguf, err);
	if (!s)
		s = qc_read_u64(&gguf->reader, &gguf->n_tensors, "the number of tensors", err);
	if (!s)
		s = qc_read_u64(&gguf->reader, &gguf->n_kvs, "the number of metadata entries", err);
	if (s)
		return s;
	left = qc_reader_left(&gguf->reader);
	if (gguf->n_kvs > left / MIN_KV_BYTES)
		return qc_fail(err, QC_BAD_INPUT,
			       "%llu metadata entries claimed, %llu bytes are left in the file",
			       (unsigned long long)gguf->n_kvs, (unsigned long long)left);
	if (gguf->n_tensors > left / MIN_TENSOR_BYTES)
		return qc_fail(err, QC_BAD_INPUT,
			       "%llu tensors claimed, %llu bytes are left in the file",
			       (unsigned long long)gguf->n_tensors, (unsigned long long)left);
	return QC_OK;
}

void qc_gguf_clear(struct qc_gguf *gguf)
{
	qc_reader_clear(&gguf->reader);
}

/* Put the file's name before an error that does not have it. */
static enum qc_status in_file(const char *path, struct qc_err *err)
{
	if (err->status == QC_IO || err->status == QC_NO_MEMORY)
		return err->status;
	return qc_fail_in(err, "'%s'", path);
}

/* One file: its metadata into `meta`, its tensors into the model. */
static enum qc_status read_file(struct qc_model *model, const char *path, struct qc_meta *meta,
				struct qc_strmap *names, struct qc_gguf *gguf, struct qc_err *err)
{
	uint32_t file;
	enum qc_status s = qc_model_add_file(model, -1, NULL, path, &file, err);

	*gguf = (struct qc_gguf){0};
	if (s)
		return s;
	s = qc_gguf_start(gguf, model->files[file], err);
	if (!s)
		s = qc_gguf_read_kvs(gguf, meta, err);
	if (!s)
		s = qc_gguf_read_tensors(gguf, model, file, names, err);
	qc_gguf_clear(gguf);
	return s;
}

/* What a further file says about the set, against the first's `split`. */
static enum qc_status check_shard(const struct qc_meta *meta, uint32_t no,
				  const struct qc_gguf_split *split, struct qc_err *err)
{
	struct qc_gguf_split own;
	enum qc_status s = qc_gguf_split_keys(meta, &own, err);

	if (s)
		return s;
	if (own.no != no || own.count != split->count)
		return qc_fail(err, QC_BAD_INPUT, "by its metadata this is shard %u of %u",
			       own.no + 1, own.count);
	if (own.has_total && own.total != split->total)
		return qc_fail(err, QC_BAD_INPUT,
			       "split.tensors.count is %u, in the first shard it is %u", own.total,
			       split->total);
	return QC_OK;
}

/* A further file of a split set. Its metadata but for the split keys is not used. */
static enum qc_status read_shard(struct qc_model *model, const char *path, uint32_t no,
				 const struct qc_gguf_split *split, struct qc_strmap *names,
				 struct qc_err *err)
{
	struct qc_arena arena = {0};
	struct qc_meta meta = {.arena = &arena};
	struct qc_gguf gguf;
	enum qc_status s = read_file(model, path, &meta, names, &gguf, err);

	if (!s)
		s = check_shard(&meta, no, split, err);
	qc_meta_clear(&meta);
	qc_arena_clear(&arena);
	if (!s)
		return QC_OK;
	s = in_file(path, err);
	return qc_fail_in(err, "shard %u of %u", no + 1, split->count);
}

/* All files of the set but the first, which is `path` and has been read. */
static enum qc_status read_siblings(struct qc_model *model, const char *path,
				    const struct qc_gguf_split *split, struct qc_strmap *names,
				    struct qc_err *err)
{
	size_t prefix;
	uint32_t no, count;
	enum qc_status s = QC_OK;

	if (!qc_gguf_split_name(path, &prefix, &no, &count) || no != split->no ||
	    count != split->count)
		return qc_fail(err, QC_BAD_INPUT,
			       "'%s': this is shard %u of %u of a split model, but its name does "
			       "not end in "
			       "-%05u-of-%05u.gguf, so the other shards cannot be found",
			       path, split->no + 1, split->count, split->no + 1, split->count);
	if (!split->has_total)
		return qc_fail(err, QC_BAD_INPUT, "'%s': split.tensors.count is missing", path);
	for (uint32_t i = 1; !s && i < count; i++) {
		char *name = qc_arena_printf(&model->arena, "%.*s-%05u-of-%05u.gguf", (int)prefix,
					     path, i + 1, count);

		s = name ? read_shard(model, name, i, split, names, err) : qc_no_memory(err);
	}
	if (!s && model->n_tensors != split->total)
		s = qc_fail(err, QC_BAD_INPUT,
			    "'%s': the %u shards have %zu tensors, split.tensors.count is %u", path,
			    count, model->n_tensors, split->total);
	return s;
}

/* Only the split keys of `path`. */
static enum qc_status peek_split(const char *path, struct qc_gguf_split *split, struct qc_err *err)
{
	struct qc_arena arena = {0};
	struct qc_meta meta = {.arena = &arena};
	struct qc_file file = {0};
	struct qc_gguf gguf = {0};
	enum qc_status s = qc_file_open(&file, path, err);

	if (!s)
		s = qc_gguf_start(&gguf, &file, err);
	if (!s)
		s = qc_gguf_read_kvs(&gguf, &meta, err);
	if (!s)
		s = qc_gguf_split_keys(&meta, split, err);
	qc_gguf_clear(&gguf);
	qc_meta_clear(&meta);
	qc_arena_clear(&arena);
	qc_file_close(&file);
	return s ? in_file(path, err) : QC_OK;
}

/* The first file of the set that `path` belongs to: `path` itself unless its name says that it is a
 * later shard and its metadata agrees. */
static enum qc_status find_first(struct qc_model *model, const char *path, const char **first,
				 struct qc_err *err)
{
	struct qc_gguf_split split;
	size_t prefix;
	uint32_t no, count;
	enum qc_status s;

	*first = path;
	if (!qc_gguf_split_name(path, &prefix, &no, &count) || !no)
		return QC_OK;
	s = peek_split(path, &split, err);
	if (s || split.count != count || split.no != no)
		return s;
	*first = qc_arena_printf(&model->arena, "%.*s-%05u-of-%05u.gguf", (int)prefix, path, 1u,
				 count);
	return *first ? QC_OK : qc_no_memory(err);
}

/* Everything but the architecture. */
static enum qc_status read_set(struct qc_model *model, const char *path, struct qc_err *err)
{
	struct qc_strmap names = {0};
	struct qc_gguf gguf = {0};
	struct qc_gguf_split split = {.count = 1};
	char shards[32] = "";
	enum qc_status s = read_file(model, path, &model->meta, &names, &gguf, err);

	if (!s)
		s = qc_gguf_split_keys(&model->meta, &split, err);
	if (!s)
		s = qc_gguf_check_meta(&model->meta, err);
	if (s)
		s = in_file(path, err);
	else if (split.count > 1)
		s = read_siblings(model, path, &split, &names, err);
	qc_strmap_clear(&names);
	if (s)
		return s;
	qc_gguf_split_remove(&model->meta);
	model->alignment = gguf.alignment;
	if (split.count > 1)
		snprintf(shards, sizeof(shards), ", %u shards", split.count);
	model->format_detail = qc_arena_printf(&model->arena, "GGUF v%u%s%s", gguf.version,
					       gguf.big_endian ? " big-endian" : "", shards);
	return model->format_detail ? QC_OK : qc_no_memory(err);
}

/* *first gets the set's first file. */
static enum qc_status read_stored(struct qc_model *model, const char *path, const char **first,
				  struct qc_err *err)
{
	enum qc_status s = find_first(model, path, first, err);

	if (s)
		return s;
	model->layout = QC_LAYOUT_GGUF;
	return read_set(model, *first, err);
}

static enum qc_status gguf_read(struct qc_model *model, const char *path, struct qc_err *err)
{
	const char *first;
	enum qc_status s = read_stored(model, path, &first, err);

	if (!s && (qc_gguf_fold_scales(model, err) || qc_arch_from_meta(model, err)))
		s = in_file(first, err);
	return s;
}

static enum qc_status stored_read(struct qc_model *model, const char *path, struct qc_err *err)
{
	const char *first;

	return read_stored(model, path, &first, err);
}

enum qc_status qc_gguf_open_stored(struct qc_model *model, const char *path, struct qc_err *err)
{
	/* in no list of formats: nothing is ever recognised as one */
	static const struct qc_format stored = {.name = "stored tensors", .read = stored_read};

	return qc_model_open_as(model, &stored, path, err);
}

const struct qc_format qc_format_gguf = {
	.name = "gguf",
	.extension = ".gguf",
	.sniff = gguf_sniff,
	.read = gguf_read,
	.layout_kind = QC_LAYOUT_GGUF,
	.can_hold = qc_gguf_can_hold,
	.layout = qc_gguf_layout_out,
};
