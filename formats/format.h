/* Container formats: one file, one const struct, one line in formats/registry.c. */
#ifndef QC_FORMATS_FORMAT_H
#define QC_FORMATS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/model.h"

/* What a format sees of a path when asked whether it is one of its own. */
struct qc_probe {
	const char *path;
	bool is_dir;
	const uint8_t *head; /* the first bytes of a file; none for a directory */
	size_t head_size;
	uint64_t file_size;
};

/* One tensor to be written. The caller fills the first group, the format the second. */
struct qc_out_tensor {
	const char *name;
	uint32_t n_dims;
	const uint64_t *dims; /* GGUF order */
	const struct qc_qtype *type;
	uint64_t bytes;

	uint32_t file;	 /* which output file */
	uint64_t offset; /* from the start of that file */
};

/* An output file: everything in it that is not tensor data is known before any tensor is read. */
struct qc_out_file {
	char *name;	 /* malloc: in the output directory, or behind the name of a set; NULL: the
			    output is this file */
	uint8_t *header; /* malloc; all of a file without tensors */
	size_t header_bytes;
	uint64_t total_bytes; /* exact size of the finished file; gaps between tensors and at the
				 end are zero bytes */
	const struct qc_file *copy_of; /* the file is a copy of this one; NULL */
};

/* All files of an output. A zeroed struct is an empty one. */
struct qc_out {
	struct qc_out_file *files; /* malloc */
	size_t n_files;
	uint64_t total_bytes; /* of all files */
	bool is_set; /* files beside each other: their names are what follows the output's own */
};

/* Room for one more file at the end (zeroed); NULL when memory is out. */
QC_MUST_CHECK
struct qc_out_file *qc_out_add(struct qc_out *out);
void qc_out_clear(struct qc_out *out);

/* Where a GGUF set begins a new file, as llama-gguf-split counts; 0: no such limit. */
struct qc_split {
	uint64_t max_bytes; /* of tensors, each padded to 32; one tensor may be larger */
	uint64_t max_tensors;
};

/* What the caller wants of a layout. */
struct qc_layout_wish {
	const struct qc_meta *meta; /* GGUF's, written as it is */
	uint64_t shard_bytes;  /* of tensors in one file, where a format has shards; one tensor may
				  be larger */
	struct qc_split split; /* GGUF: a set of files; without a limit it is one file */
};

struct qc_format {
	const char *name;
	const char *extension; /* output file names that mean this format: ".gguf"; NULL */
	/* Bits of evidence that `probe` is of this format; 0 = not mine. */
	unsigned (*sniff)(const struct qc_probe *probe);
	/* Fill `model`: files, tensors under their stored names, metadata. Touches no tensor data.
	 */
	enum qc_status (*read)(struct qc_model *model, const char *path, struct qc_err *err);
	/* The layout that written files follow. */
	enum qc_layout layout_kind;
	/* Whether `type` can be stored. */
	bool (*can_hold)(const struct qc_qtype *type);
	bool is_dir; /* what is written is a directory */
	/* Give every tensor its file and offset, and build the headers (into `out`, which is
	 * empty). Pure. NULL: qconv does not write this format. QC_UNSUPPORTED names a tensor that
	 * the format cannot hold (name too long, too many dimensions, ...). */
	enum qc_status (*layout)(struct qc_out_tensor *tensors, size_t n,
				 const struct qc_layout_wish *wish, struct qc_out *out,
				 struct qc_err *err);
};

/* NULL-terminated; order breaks ties only. */
extern const struct qc_format *const qc_formats[];

/* By name ("gguf", "safetensors", "hf"); NULL when there is none. */
const struct qc_format *qc_format_find(const char *name);

/* The format that sees most in `path`. QC_IO (no such file), QC_BAD_INPUT naming what the file
 * looks like instead. */
QC_MUST_CHECK
enum qc_status qc_format_detect(const char *path, const struct qc_format **format,
				struct qc_err *err);

/* The writable format that an output name asks for: by its extension, or a directory when it has
 * none that is a file's; NULL when it has another one (".bin"). */
const struct qc_format *qc_format_for_output(const char *path);

/* safetensors.c: append the tensors of one .safetensors file (already opened as model file `file`)
 * to the model, under their stored names, PLAIN layout. hf_dir.c calls it for every shard. */
QC_MUST_CHECK
enum qc_status qc_safetensors_append(struct qc_model *model, uint32_t file, struct qc_err *err);

/* hf_index.c: model.safetensors.index.json. The list of shard names in order of first appearance,
 * and for every tensor its shard. */
struct qc_hf_index {
	struct qc_arena arena;
	const char **shards;
	size_t n_shards;
	struct qc_strmap tensors; /* name -> shard number */
	size_t n_tensors;
};
QC_MUST_CHECK
enum qc_status qc_hf_index_parse(struct qc_hf_index *index, const char *text, size_t size,
				 struct qc_err *err);
void qc_hf_index_clear(struct qc_hf_index *index);

#endif
