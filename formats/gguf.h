/*
 * GGUF, shared by gguf_*.c. The file (v2 and v3; all words in one byte order, which the version
 *word tells):
 *
 *	"GGUF"  u32 version  u64 n_tensors  u64 n_kvs
 *	n_kvs     x { str key; u32 type; [array: u32 elem; u64 n]; payload }
 *	n_tensors x { str name; u32 n_dims; n_dims x u64 dims; u32 ggml_type; u64 offset }
 *	zero padding to `alignment`, counted from the start of the file
 *	tensor data in the same order, each tensor zero-padded to `alignment`, the last one too
 *
 * str = u64 length and as many bytes. dims[0] is the contiguous one. Offsets count from the first
 *byte of the data.
 */
#ifndef QC_FORMATS_GGUF_H
#define QC_FORMATS_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/file.h"
#include "base/reader.h"
#include "base/strmap.h"
#include "formats/format.h"
#include "formats/meta.h"
#include "formats/model.h"

#define QC_GGUF_VERSION		  3
#define QC_GGUF_HEAD_BYTES	  24
#define QC_GGUF_MAX_DIMS	  4
#define QC_GGUF_MAX_NAME	  63	       /* ggml's GGML_MAX_NAME counts a NUL */
#define QC_GGUF_MAX_KEY		  65535	       /* docs/gguf.md */
#define QC_GGUF_MAX_STRING	  (64u << 20)  /* ours: longer than any chat template */
#define QC_GGUF_MAX_ARRAY_BYTES	  (256u << 20) /* ours: larger than any vocabulary */
#define QC_GGUF_DEFAULT_ALIGNMENT 32
#define QC_GGUF_MAX_ALIGNMENT	  (1u << 20)
#define QC_GGUF_ALIGNMENT_KEY	  "general.alignment"

extern const struct qc_format qc_format_gguf;

/* One GGUF file while it is being read. */
struct qc_gguf {
	struct qc_reader reader;
	uint32_t version;
	bool big_endian;
	uint64_t n_tensors, n_kvs;
	uint64_t alignment;
};

/* gguf_read.c: start reading `file`: magic, version, byte order, counts, the counts checked against
 * the file's size. The file must outlive *gguf. QC_BAD_INPUT, QC_UNSUPPORTED (version 1), QC_IO,
 * QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_gguf_start(struct qc_gguf *gguf, const struct qc_file *file, struct qc_err *err);
void qc_gguf_clear(struct qc_gguf *gguf);

/* gguf_read.c: open a file or a set with its tensors as they are stored: no scales folded, no
 * architecture. For whoever examines the file itself. The errors of qc_model_open(). */
QC_MUST_CHECK
enum qc_status qc_gguf_open_stored(struct qc_model *model, const char *path, struct qc_err *err);

/* gguf_kv.c: the metadata section, appended to `meta` (empty, with its arena set); then
 * gguf->alignment is known. */
QC_MUST_CHECK
enum qc_status qc_gguf_read_kvs(struct qc_gguf *gguf, struct qc_meta *meta, struct qc_err *err);

/* gguf_kv.c: the alignment that `meta` asks for, the default when it has no such key; QC_BAD_INPUT
 * when the value is not a u32, a power of two, at most QC_GGUF_MAX_ALIGNMENT. */
QC_MUST_CHECK
enum qc_status qc_gguf_alignment(const struct qc_meta *meta, uint64_t *alignment,
				 struct qc_err *err);

/* gguf_table.c: the tensor table: the tensors appended to the model as lying in its file `file`.
 * `names` holds the names of all files of the set so far. After qc_gguf_read_kvs(). QC_UNSUPPORTED
 * names a type that only others know. */
QC_MUST_CHECK
enum qc_status qc_gguf_read_tensors(struct qc_gguf *gguf, struct qc_model *model, uint32_t file,
				    struct qc_strmap *names, struct qc_err *err);

/* gguf_scales.c: the tensor scales beside nvfp4 weights become tensor->scale and input_scale of
 * these (their values are read here) and are no tensors any more. QC_BAD_INPUT when one is of
 * another type or number, negative or not finite. */
QC_MUST_CHECK
enum qc_status qc_gguf_fold_scales(struct qc_model *model, struct qc_err *err);

/* gguf_split.c: what a file's metadata says about the set that it belongs to. */
struct qc_gguf_split {
	uint32_t no;	/* from 0 */
	uint32_t count; /* 1: not split */
	bool has_total;
	uint32_t total; /* tensors in the whole set */
};
QC_MUST_CHECK
enum qc_status qc_gguf_split_keys(const struct qc_meta *meta, struct qc_gguf_split *split,
				  struct qc_err *err);
void qc_gguf_split_remove(struct qc_meta *meta);

/* gguf_split.c: parse "PREFIX-%05d-of-%05d.gguf" (1-based in the name, *no counts from 0); false
 * when `path` is not of that form. *prefix_len gets the length of PREFIX, folders included. */
bool qc_gguf_split_name(const char *path, size_t *prefix_len, uint32_t *no, uint32_t *count);

/* gguf_set.c: the files of a set, named "-00001-of-00003.gguf" and so on: the first carries `meta`
 * and all carry the split keys, as llama-gguf-split writes them. QC_UNSUPPORTED when there would be
 * more than 65535 files. */
QC_MUST_CHECK
enum qc_status qc_gguf_layout_set(struct qc_out_tensor *tensors, size_t n,
				  const struct qc_layout_wish *wish, struct qc_out *out,
				  struct qc_err *err);

/* gguf_check.c: what several metadata keys mean together: tokenizer arrays of the right element
 * type and length, counts that others divide or allocate by. QC_BAD_INPUT. */
QC_MUST_CHECK
enum qc_status qc_gguf_check_meta(const struct qc_meta *meta, struct qc_err *err);

/* gguf_write.c: what the metadata takes in a file, without the file's head. QC_UNSUPPORTED for a
 * key that GGUF cannot hold. */
QC_MUST_CHECK
enum qc_status qc_gguf_meta_bytes(const struct qc_meta *meta, uint64_t *bytes, struct qc_err *err);

/* gguf_write.c: the format's can_hold and layout (formats/format.h). */
bool qc_gguf_can_hold(const struct qc_qtype *type);
QC_MUST_CHECK
enum qc_status qc_gguf_layout(struct qc_out_tensor *tensors, size_t n, const struct qc_meta *meta,
			      struct qc_out_file *out, struct qc_err *err);

/* The same as a format's layout: one file, or with wish->split a set (gguf_set.c). */
QC_MUST_CHECK
enum qc_status qc_gguf_layout_out(struct qc_out_tensor *tensors, size_t n,
				  const struct qc_layout_wish *wish, struct qc_out *out,
				  struct qc_err *err);

#endif
