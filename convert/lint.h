/*
 * Lint: what the programs that load a model assume of its files and do not check, or check with a
 * message that says little. The rules look at the tensors as they are stored, before anything is
 * folded, and name the loader that would fail or, worse, answer nonsense.
 */
#ifndef QC_CONVERT_LINT_H
#define QC_CONVERT_LINT_H

#include <stddef.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "convert/qconv.h"
#include "formats/meta.h"

enum qc_severity {
	QC_LINT_WARNING, /* odd, or wrong for some use only */
	QC_LINT_ERROR,	 /* the loader named fails or answers nonsense */
};

struct qc_finding {
	enum qc_severity severity;
	const char *rule;    /* "shared-global-scale" */
	const char *subject; /* the stored tensor, metadata key, or file and key in question */
	const char *found, *expected;
	const char *loader; /* who reads it how: "vLLM takes the largest: wrong weights" */
};

/* A zeroed struct is empty. */
struct qc_findings {
	struct qc_arena arena;	 /* owns all text but the rules' own */
	struct qc_finding *list; /* malloc; in the order of rules, then of tensors */
	size_t n, cap, n_errors;
};

/* Examine `path`: a GGUF file or set, a safetensors file, a Hugging Face directory. Tensors' data
 * is read only where it is scales or tables, a part at a time; time is linear in the number of
 * tensors. A container that cannot be read is an error; what is wrong with the model in it is a
 * finding. options->stop is heeded. */
QC_MUST_CHECK
enum qc_status qc_lint(struct qc_findings *findings, const char *path,
		       const struct qconv_options *options, struct qc_err *err);

/* The same of a GGUF file as it would be with `meta` in the place of its metadata (NULL: as it is),
 * without an attempt to decode it. */
QC_MUST_CHECK
enum qc_status qc_lint_edited(struct qc_findings *findings, const char *path,
			      const struct qc_meta *meta, const struct qconv_options *options,
			      struct qc_err *err);

void qc_findings_clear(struct qc_findings *findings);

#endif
