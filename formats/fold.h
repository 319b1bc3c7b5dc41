/*
 * Folding: encodings that spread one weight over several stored tensors become one tensor each.
 *
 * A bitsandbytes matrix is six stored tensors, an NVFP4 one four. Whoever reads safetensors calls
 * qc_fold_encodings() when all stored tensors are in the model and before they get canonical names:
 * each weight then is one qc_tensor with its real shape, whose rows decode to f32 (and, where the
 * layout is only a matter of moving codes, to raw blocks of a quant type). What is quantized is
 * told by the companions alone, never by config.json; each companion's type, shape and count is
 * checked against the weight, and an incomplete set is an error that names it.
 *
 * An encoding is one file (formats/enc_NAME.c), one const struct, one line in formats/encodings.c.
 */
#ifndef QC_FORMATS_FOLD_H
#define QC_FORMATS_FOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/model.h"

/* The walk over one model's stored tensors. */
struct qc_fold {
	struct qc_model *model;
	struct qc_strmap names; /* stored name -> index of the tensor */
	bool *consumed;		/* per tensor: a companion that has been folded away */
	char *key;		/* room for the longest name, to look one up */
	size_t key_size;
	/* of the weight folded last: an encoding may share equal tables with its own; NULL */
	const struct qc_source *last;
	/* of the weight that is being folded: the tensor it became, bytes of its stored tensors */
	struct qc_tensor *result;
	uint64_t bytes;
};

struct qc_encoding {
	const char *name; /* "bitsandbytes 4-bit" */
	/* Ends of the names of stored tensors that tell this encoding; NULL-terminated. The first
	 * encoding in the list that takes a trigger wins. */
	const char *const *triggers;
	/* Called for each stored tensor (not consumed) whose name is `base` + a trigger. *taken =
	 * false: not this encoding after all, ask the next. */
	enum qc_status (*fold)(struct qc_fold *fold, const struct qc_tensor *trigger,
			       const char *base, bool *taken, struct qc_err *err);
	/* Ends of the names of companions that mean nothing by themselves: one that is left when
	 * all has been folded is an error. NULL-terminated; NULL: none. */
	const char *const *leftovers;
};

/* NULL-terminated; order decides between encodings with a common trigger. */
extern const struct qc_encoding *const qc_encodings[];

/* Fold all weights of the model. Linear in the number of tensors. */
QC_MUST_CHECK
enum qc_status qc_fold_encodings(struct qc_model *model, struct qc_err *err);

/*
 * For encodings.
 */

/* The stored tensor base + suffix; NULL when there is none or it has been consumed. */
struct qc_tensor *qc_fold_find(const struct qc_fold *fold, const char *base, const char *suffix);

/* The same, which must be there with one of the element types in `types` (NULL-terminated; NULL:
 * any type) and, unless n_dims < 0, with exactly this shape (dims in GGUF order: the contiguous one
 * first). QC_BAD_INPUT names `base` and the tensor, what was found and wanted. */
QC_MUST_CHECK
enum qc_status qc_fold_need(const struct qc_fold *fold, const char *base, const char *suffix,
			    const struct qc_qtype *const *types, int n_dims, const uint64_t *dims,
			    struct qc_tensor **out, struct qc_err *err);

/* The companion will not appear as a tensor of its own. */
void qc_fold_consume(struct qc_fold *fold, const struct qc_tensor *companion);

/* `tensor` (it may be the trigger) becomes the weight `name` (copied) of shape dims[0..n_dims)
 * (copied) with `source`; `encoding` is a text for the plan ("bitsandbytes nf4, double quant"),
 * kept: a literal or in the model's arena. QC_BAD_INPUT when another tensor has this name. The
 * caller may set `tensor`'s scale and input_scale afterwards. */
QC_MUST_CHECK
enum qc_status qc_fold_replace(struct qc_fold *fold, struct qc_tensor *tensor, const char *name,
			       uint32_t n_dims, const uint64_t *dims,
			       const struct qc_source *source, const char *encoding,
			       struct qc_err *err);

/* All elements of a small companion as floats (malloc), at most `max` of them (else QC_BAD_INPUT).
 * Every one is finite (else QC_BAD_INPUT). */
QC_MUST_CHECK
enum qc_status qc_fold_load_f32(const struct qc_tensor *companion, uint64_t max, float **values,
				struct qc_err *err);

/* Its stored bytes (malloc), at most `max` of them. */
QC_MUST_CHECK
enum qc_status qc_fold_load_bytes(const struct qc_tensor *companion, uint64_t max, uint8_t **bytes,
				  size_t *size, struct qc_err *err);

#endif
