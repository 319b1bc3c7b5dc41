/*
 * Added tokens in text: a trie of bytes, children as a list, the first byte by table.
 *
 * The leftmost match is taken, and the longest that begins there, as the `tokenizers` library does.
 */
#include "calib/special.h"

#include <stdlib.h>
#include <string.h>

#include "calib/merge.h"

static const char *const always_found[] = {
	"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", NULL,
};

/* libllama's list of texts that end a generation. */
static const char *const ends_text[] = {
	"<|eot_id|>",
	"<|im_end|>",
	"<|end|>",
	"<|return|>",
	"<|call|>",
	"<|flush|>",
	"<|calls|>",
	"<end_of_turn>",
	"<|endoftext|>",
	"</s>",
	"<|eom_id|>",
	"<EOT>",
	"_<EOT>",
	"[EOT]",
	"[EOS]",
	"<|end_of_text|>",
	"<end_of_utterance>",
	"<eos>",
	"<turn|>",
	"<|tool_response>",
	"<\uff5cend\u2581of\u2581sentence\uff5c>",
	NULL,
};

bool qc_special_has_role(enum qc_special_role role, const char *text, size_t len)
{
	const char *const *name = role == QC_ALWAYS_FOUND ? always_found : ends_text;

	while (*name && (strlen(*name) != len || memcmp(*name, text, len)))
		name++;
	return *name;
}

/* A new node; 0 when memory is out. */
static uint32_t add_node(struct qc_specials *specials, uint8_t byte)
{
	if (specials->n + 1 >= specials->cap) {
		const size_t cap = specials->cap ? specials->cap * 2 : 256;
		struct qc_special_node *nodes;

		if (cap > UINT32_MAX / sizeof(*nodes))
			return 0;
		nodes = realloc(specials->nodes, cap * sizeof(*nodes));
		if (!nodes)
			return 0;
		specials->nodes = nodes;
		specials->cap = cap;
	}
	if (!specials->n)
		specials->n = 1;
	specials->nodes[specials->n] = (struct qc_special_node){.id = QC_NO_TOKEN, .byte = byte};
	return (uint32_t)specials->n++;
}

static uint32_t find_child(const struct qc_specials *specials, uint32_t node, uint8_t byte)
{
	uint32_t child = specials->nodes[node].child;

	while (child && specials->nodes[child].byte != byte)
		child = specials->nodes[child].sibling;
	return child;
}

/* The node for `byte` below `node` (0: at the start), made when it is missing. */
static uint32_t need_child(struct qc_specials *specials, uint32_t node, uint8_t byte)
{
	uint32_t child = node ? find_child(specials, node, byte) : specials->roots[byte];

	if (child)
		return child;
	child = add_node(specials, byte);
	if (!child || !node) {
		specials->roots[byte] = child;
		return child;
	}
	specials->nodes[child].sibling = specials->nodes[node].child;
	specials->nodes[node].child = child;
	return child;
}

enum qc_status qc_specials_add(struct qc_specials *specials, const char *text, size_t len,
			       uint32_t id, bool always, struct qc_err *err)
{
	uint32_t node = 0;

	for (size_t i = 0; i < len; i++) {
		node = need_child(specials, node, (uint8_t)text[i]);
		if (!node)
			return qc_no_memory(err);
	}
	if (!node)
		return QC_OK;
	specials->nodes[node].id = id;
	specials->nodes[node].always = always;
	specials->has_always |= always;
	specials->has_control |= !always;
	return QC_OK;
}

/* The longest one that `text` begins with: its length and *id; 0 when there is none. */
static size_t match(const struct qc_specials *specials, const char *text, size_t len, bool control,
		    uint32_t *id)
{
	uint32_t node = len ? specials->roots[(uint8_t)text[0]] : 0;
	size_t best = 0;

	for (size_t i = 1; node; i++) {
		const struct qc_special_node *at = &specials->nodes[node];

		if (at->id != QC_NO_TOKEN && (control || at->always)) {
			best = i;
			*id = at->id;
		}
		node = i < len ? find_child(specials, node, (uint8_t)text[i]) : 0;
	}
	return best;
}

size_t qc_specials_find(const struct qc_specials *specials, const char *text, size_t len,
			bool control, size_t *n, uint32_t *id)
{
	if (!specials->has_always && !(control && specials->has_control))
		return len;
	for (size_t i = 0; i < len; i++) {
		if (!specials->roots[(uint8_t)text[i]])
			continue;
		*n = match(specials, text + i, len - i, control, id);
		if (*n)
			return i;
	}
	return len;
}

void qc_specials_clear(struct qc_specials *specials)
{
	free(specials->nodes);
	*specials = (struct qc_specials){0};
}
