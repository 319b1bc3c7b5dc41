/* Finding a key that an object has twice: the same name is the same name however it is escaped. */
#include "base/json_node.h"

#include "base/strmap.h"

/* Up to this many members are compared pair by pair: a safetensors header is 100,000 objects of
 * three. */
#define FEW 8

static bool same_plain_key(const char *a, const char *b)
{
	while (*a == *b) {
		if (*a == '"')
			return true;
		a++, b++;
	}
	return false;
}

static bool is_plain_and_small(const struct qc_json *json, qc_json_value object)
{
	if (json->nodes[object].extent > FEW)
		return false;
	for (qc_json_value v = object + 1; v; v = json->nodes[v].next)
		if (json->nodes[v].key_escape)
			return false;
	return true;
}

static qc_json_value find_twin_in_pairs(const struct qc_json *json, qc_json_value object)
{
	for (qc_json_value v = json->nodes[object + 1].next; v; v = json->nodes[v].next)
		for (qc_json_value earlier = object + 1; earlier != v;
		     earlier = json->nodes[earlier].next)
			if (same_plain_key(json->text + json->nodes[earlier].key + 1,
					   json->text + json->nodes[v].key + 1))
				return v;
	return 0;
}

/* Keys without escapes are borrowed from the text, others are decoded into `arena`. */
static enum qc_status find_twin_by_hash(const struct qc_json *json, qc_json_value object,
					struct qc_arena *arena, struct qc_strmap *seen,
					qc_json_value *twin, struct qc_err *err)
{
	for (qc_json_value v = object + 1; v; v = json->nodes[v].next) {
		const char *key = json->text + json->nodes[v].key + 1;
		bool was_there;
		enum qc_status s;
		size_t len;

		if (json->nodes[v].key_escape)
			key = qc_json_key(json, v, arena, &len);
		else
			len = (size_t)(qc_json_closing(key, false) - key);
		if (!key)
			return qc_no_memory(err);
		s = qc_strmap_add(seen, key, len, v, &was_there, err);
		if (s)
			return s;
		if (was_there) {
			*twin = v;
			break;
		}
	}
	return QC_OK;
}

enum qc_status qc_json_find_twin(const struct qc_json *json, qc_json_value object,
				 qc_json_value *twin, struct qc_err *err)
{
	struct qc_arena arena = {0};
	struct qc_strmap seen = {0};
	enum qc_status s;

	*twin = 0;
	if (json->nodes[object].extent < 2)
		return QC_OK;
	if (is_plain_and_small(json, object)) {
		*twin = find_twin_in_pairs(json, object);
		return QC_OK;
	}
	s = find_twin_by_hash(json, object, &arena, &seen, twin, err);
	qc_strmap_clear(&seen);
	qc_arena_clear(&arena);
	return s;
}
