// Conditional requests: what If-Match and its like say about a version. Pure.
#pragma once

#include <optional>
#include <string>

#include "systems/object/types.h"

namespace polis::object {

struct Conditions {
  std::optional<std::string> if_match, if_none_match;  // as sent: a list of entity tags, or "*"
  std::optional<WallTime> modified_since, unmodified_since;
  // Of DELETE alone: x-amz-if-match-last-modified-time and x-amz-if-match-size.
  std::optional<WallTime> if_match_modified_at;
  std::optional<uint64_t> if_match_size_bytes;

  bool any() const {
    return if_match || if_none_match || modified_since || unmodified_since || if_match_modified_at ||
           if_match_size_bytes;
  }
};

// Whether a header's list names this entity tag. Quotes and a weak mark make no difference: clients send all forms.
bool names_etag(std::string_view list, std::string_view etag);

// GET, HEAD and the source of a copy, in the order of RFC 9110 §13.2.2. `not_modified` is what a failed If-None-Match
// or If-Modified-Since answers: kNotModified, or kPreconditionFailed for a copy. Times compare in whole seconds, as
// HTTP writes them.
Answer<void> check_read(const Conditions& conditions, const ObjectVersion& version, ErrorCode not_modified);

// PUT, Complete and the target of a copy; `current` is null or a delete marker if the key is absent.
Answer<void> check_write(const Conditions& conditions, const ObjectVersion* current);

// DELETE; `current` is null if there is nothing to delete, and may be a delete marker. An absent key passes: deleting
// is idempotent.
Answer<void> check_delete(const Conditions& conditions, const ObjectVersion* current);

}  // namespace polis::object
