/*
 * The output as a whole: one file, or a directory of files that appears complete or not at all.
 *
 * A directory is made under a temporary name beside its place (".NAME.qconv-PID-N.tmp"); every file
 * in it goes through a writer (convert/writer.h), then the directory is synced and renamed. An
 * existing directory is replaced only by force, and only when it is empty or one that qconv has
 * written: it has a qconv.json, and holds nothing but files.
 *
 * A set of files beside each other (qc_out.is_set) is named behind the output's name without
 * ".gguf". It appears when its first file does, which is renamed last: who opens a set opens that
 * one.
 */
#ifndef QC_CONVERT_OUTPUT_H
#define QC_CONVERT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/writer.h"
#include "formats/format.h"
#include "formats/model.h"

/* The manifest's name in a directory. */
#define QC_OUTPUT_MANIFEST "qconv.json"

/* A zeroed struct is a closed output. */
struct qc_output {
	bool is_open, is_dir, is_set, force;
	char *path;	 /* final, without slashes at the end */
	char *temp_path; /* of a directory */
	struct qc_writer *writers;
	size_t n;
};

/* The path (malloc) of a file of a set whose output is `path`, or NULL when memory is out. */
char *qc_output_set_path(const char *path, const struct qc_out_file *file);

/* What qc_writer_precheck() checks, or the same of a directory or of every file of a set. */
QC_MUST_CHECK
enum qc_status qc_output_precheck(const char *path, bool is_dir, const struct qc_model *model,
				  const struct qc_out *out, bool force, struct qc_err *err);

/* The same checks, then all temporary files, sized as `out` says. */
QC_MUST_CHECK
enum qc_status qc_output_create(struct qc_output *output, const char *path, bool is_dir,
				const struct qc_model *model, const struct qc_out *out, bool force,
				struct qc_err *err);

/* Write into a file (by its number in `out`) at an offset, from any thread. */
QC_MUST_CHECK
enum qc_status qc_output_write(const struct qc_output *output, size_t file, uint64_t offset,
			       const void *data, size_t size, struct qc_err *err);

/* Make a file a copy of `from`, which must be of its size. */
QC_MUST_CHECK
enum qc_status qc_output_copy(const struct qc_output *output, size_t file,
			      const struct qc_file *from, struct qc_err *err);

/* One more file in a directory, complete. */
QC_MUST_CHECK
enum qc_status qc_output_add(struct qc_output *output, const char *name, const void *data,
			     size_t size, struct qc_err *err);

/* Sync everything and give it the final name. */
QC_MUST_CHECK
enum qc_status qc_output_commit(struct qc_output *output, struct qc_err *err);

/* Without a commit removes what is temporary. Always safe. */
void qc_output_close(struct qc_output *output);

#endif
