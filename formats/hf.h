/* The parts of reading a Hugging Face checkpoint: which files hold the weights, and the files
 * beside them. */
#ifndef QC_FORMATS_HF_H
#define QC_FORMATS_HF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/format.h"
#include "formats/model.h"

extern const struct qc_format qc_format_hf;

/* hf_config.c. Before the tensors: the architecture from config.json in model->dir. None there, one
 * of an unknown architecture, or a `weights` file (a path or a name) with Mistral's own tensor
 * names is no error: model->arch_note says why there is no architecture. */
QC_MUST_CHECK
enum qc_status qc_hf_load_config(struct qc_model *model, const char *weights, struct qc_err *err);

/* hf_config.c. Load the file `name` of the checkpoint when it is there: of model->dir, or of
 * model->sides where the checkpoint is being made of a GGUF. *text (malloc, NUL behind it) stays as
 * it is when there is none. */
QC_MUST_CHECK
enum qc_status qc_hf_load_text(struct qc_model *model, const char *name, uint64_t max, char **text,
			       size_t *size, struct qc_err *err);

/* hf_config.c. The same for generation_config.json, parsed: *json is of *text, and for
 * qc_json_clear(), when there is one. QC_BAD_INPUT: it is no JSON. */
QC_MUST_CHECK
enum qc_status qc_hf_load_generation(struct qc_model *model, struct qc_json *json, char **text,
				     struct qc_err *err);

/* hf_config.c. After the tensors: quantized weights folded (formats/fold.h), canonical names, the
 * tokenizer, advice on sampling, model->layout. */
QC_MUST_CHECK
enum qc_status qc_hf_finish(struct qc_model *model, struct qc_err *err);

/* hf_config.c. Take back the drops that were made because GGUF has no use for the tensors: a
 * checkpoint that is written as one keeps them. */
QC_MUST_CHECK
enum qc_status qc_hf_restore_dropped(struct qc_model *model, struct qc_err *err);

struct qc_hf_shard {
	const char *name; /* in the directory */
	uint64_t number;  /* in the index, when there is one */
};

/* The files to be read, sorted by name: llama.cpp's converter takes them in this order.
 * Zero-initialised is empty; list and names live in the model's arena. */
struct qc_hf_shards {
	struct qc_hf_shard *list;
	size_t n;
	bool has_index;
	struct qc_hf_index index;
};

/* hf_shards.c. Find the weights of model->dir, open as dir_fd: the files of the index that `path`
 * names or belongs to, else those of model.safetensors.index.json, else model.safetensors, else
 * every model*.safetensors, else the only other .safetensors file. All of them exist. QC_BAD_INPUT
 * and QC_UNSUPPORTED say what the directory is instead, or which shards are missing. */
QC_MUST_CHECK
enum qc_status qc_hf_shards_find(struct qc_hf_shards *shards, struct qc_model *model, int dir_fd,
				 const char *path, struct qc_err *err);
void qc_hf_shards_clear(struct qc_hf_shards *shards);

/* hf_shards.c. The path of the index that `path` is or, for a shard
 * (PREFIX-00001-of-00002.safetensors), that would lie beside it; false for other files, and when
 * `buf` is too small. */
bool qc_hf_index_path(const char *path, char *buf, size_t size);

#define QC_HF_SHARD_BYTES 5000000000u /* transformers' default */

/* hf_write.c. A format's layout: shards of at most wish->shard_bytes (0: QC_HF_SHARD_BYTES), filled
 * in the order given, and their index when there are several. */
QC_MUST_CHECK
enum qc_status qc_hf_layout(struct qc_out_tensor *tensors, size_t n,
			    const struct qc_layout_wish *wish, struct qc_out *out,
			    struct qc_err *err);

/* hf_write.c. Whether the tensor named `a` comes before `b` in transformers' models: negative, 0 or
 * positive. The order in which tensors are to be given to qc_hf_layout(). */
int qc_hf_name_order(const char *a, const char *b);

#endif
