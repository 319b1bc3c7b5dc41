/* How a parsed document lies in memory, and what the parser and the accessors share: for
 * base/json*.c only. */
#ifndef QC_BASE_JSON_NODE_H
#define QC_BASE_JSON_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/json.h"

/*
 * Nodes stand in the order of the text: node 0 is the absent value, node 1 the root, and a
 * container's first child is the node after it. Offsets fit 28 bits because a text has at most
 * QC_JSON_MAX_BYTES bytes.
 *
 *   { "key" : "value" , ...
 *     ^key    ^at         next: the following child of the same container, 0 after the last
 */
struct qc_json_node {
	uint32_t at : 28;	 /* offset of the value's first byte */
	uint32_t type : 3;	 /* enum qc_json_type */
	uint32_t has_escape : 1; /* a string with a backslash in it; an array left as text */
	uint32_t key : 28;	 /* offset of the key's opening quote; 0 when not a member */
	uint32_t key_escape : 1; /* the key has a backslash in it */
	uint32_t next;
	uint32_t extent; /* children of a container; bytes of any other value */
};
_Static_assert(sizeof(struct qc_json_node) == 16, "a node is 16 bytes");
_Static_assert(QC_JSON_MAX_BYTES <= 1u << 28, "an offset is 28 bits");
_Static_assert(QC_JSON_OBJECT < 8, "a type is 3 bits");

/* The closing quote of a string in a checked text; `inside` is the byte behind the opening one. */
const char *qc_json_closing(const char *inside, bool has_escape);

/* The first member of `object` whose decoded key an earlier one has too, else 0. Linear in the
 * keys' length; only QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_json_find_twin(const struct qc_json *json, qc_json_value object,
				 qc_json_value *twin, struct qc_err *err);

#endif
