/* Metadata values written as text, as a user gives them. */
#ifndef QC_FORMATS_META_TEXT_H
#define QC_FORMATS_META_TEXT_H

#include <stddef.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/meta.h"

/*
 * Set a key from "KEY=VALUE" or "KEY=VALUE:TYPE". The type is the given one, else the existing
 * key's; a new key needs one. Types are GGUF's (u8 ... f64, bool, string), with [] behind for an
 * array ("string[]"), whose value is a JSON array. A string may hold anything; where it ends in
 * what looks like a type, ":string" behind it says that it is not.
 *
 * QC_USAGE: no '=', an empty key, a value that is not of the type or does not fit into it, text
 * that is not UTF-8, a type that is missing. QC_NO_MEMORY.
 */
QC_MUST_CHECK
enum qc_status qc_meta_set_text(struct qc_meta *meta, const char *assignment, struct qc_err *err);

#endif
