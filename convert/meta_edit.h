/*
 * Changing a GGUF file's metadata.
 *
 * The file is written anew under a temporary name, the tensors' bytes copied as they lie
 * (copy_file_range, which file systems that can share blocks use), synced, read back and renamed:
 * at any moment there is the old file or the new one.
 *
 * With `in_place` only the header is written, when the new one ends where the old one did. That is
 * not atomic by itself, so the old header is first put into FILE.qconv-undo and synced; whatever
 * edits the file next puts it back when it finds one.
 *
 * A manifest beside the file no longer tells the truth and is removed.
 */
#ifndef QC_CONVERT_META_EDIT_H
#define QC_CONVERT_META_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/qconv.h"
#include "formats/gguf_header.h"

struct qc_meta_edits {
	const char *const *sets; /* formats/meta_text.h */
	size_t n_sets;
	const char *const *removals; /* keys, which must be there */
	size_t n_removals;
	const char *template_file; /* its text becomes tokenizer.chat_template; NULL */
	bool in_place;
	bool force; /* even what no loader would take; never what makes the file unreadable */
};

/* What was done beside the edit. */
struct qc_meta_outcome {
	bool restored;	       /* an interrupted edit in place was undone first */
	bool manifest_removed; /* the one beside the file */
	bool unchanged;	       /* the edits make no difference: nothing was written */
};

/* Apply the edits to the metadata that has been read: removals, then settings in order, then the
 * template. QC_USAGE for an edit that makes no sense, QC_REFUSED for keys that others of the file
 * hang on (general.alignment, split.*), for ids that no token has, for a result that no longer
 * reads as a model where the file did, and, unless forced, for one in which lint finds an error
 * that the file did not have. */
QC_MUST_CHECK
enum qc_status qc_meta_edit_apply(struct qc_gguf_header *header, const struct qc_meta_edits *edits,
				  struct qc_err *err);

/* Write the changed metadata back into the file that it was read from. */
QC_MUST_CHECK
enum qc_status qc_meta_edit_write(const struct qc_gguf_header *header,
				  const struct qc_meta_edits *edits,
				  const struct qconv_options *options,
				  struct qc_meta_outcome *outcome, struct qc_err *err);

/* Whether FILE.qconv-undo is there: an edit in place of `path` was interrupted. */
bool qc_meta_edit_interrupted(const char *path);

/* Undo an edit in place that was interrupted; *restored tells whether there was one. Before
 * qc_gguf_header_open(). QC_BAD_INPUT: what lies there is damaged or of another file. */
QC_MUST_CHECK
enum qc_status qc_meta_edit_recover(const char *path, bool *restored, struct qc_err *err);

#endif
