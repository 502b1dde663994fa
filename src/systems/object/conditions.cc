#include "systems/object/conditions.h"

#include <algorithm>

namespace polis::object {
namespace {

std::string_view strip(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::chrono::seconds seconds_of(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch());
}

Failure failed(std::string_view condition) {
  return Failure(ErrorCode::kPreconditionFailed).detail("Condition", std::string(condition));
}

}  // namespace

bool names_etag(std::string_view list, std::string_view etag) {
  while (!list.empty()) {
    size_t comma = std::min(list.find(','), list.size());
    std::string_view one = strip(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (one == "*") return true;
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one.size() >= 2 && one.front() == '"' && one.back() == '"') one = one.substr(1, one.size() - 2);
    if (one == etag) return true;
  }
  return false;
}

Answer<void> check_read(const Conditions& conditions, const ObjectVersion& version, ErrorCode not_modified) {
  std::chrono::seconds modified = seconds_of(version.modified_at);
  if (conditions.if_match) {
    if (!names_etag(*conditions.if_match, version.etag)) return refuse(failed("If-Match"));
  } else if (conditions.unmodified_since && modified > seconds_of(*conditions.unmodified_since)) {
    return refuse(failed("If-Unmodified-Since"));
  }
  auto unchanged = [&](std::string_view condition) -> Answer<void> {
    if (not_modified == ErrorCode::kPreconditionFailed) return refuse(failed(condition));
    return refuse(not_modified);
  };
  if (conditions.if_none_match) {
    if (names_etag(*conditions.if_none_match, version.etag)) return unchanged("If-None-Match");
  } else if (conditions.modified_since && modified <= seconds_of(*conditions.modified_since)) {
    return unchanged("If-Modified-Since");
  }
  return {};
}

Answer<void> check_write(const Conditions& conditions, const ObjectVersion* current) {
  bool exists = current && !current->delete_marker;
  if (conditions.if_match) {
    if (!exists) return refuse(ErrorCode::kNoSuchKey);
    if (!names_etag(*conditions.if_match, current->etag)) return refuse(failed("If-Match"));
  }
  if (conditions.if_none_match && exists && names_etag(*conditions.if_none_match, current->etag))
    return refuse(failed("If-None-Match"));
  return {};
}

Answer<void> check_delete(const Conditions& conditions, const ObjectVersion* current) {
  if (!current) return {};
  // A delete marker has no entity tag: only "*" matches it.
  if (conditions.if_match && !names_etag(*conditions.if_match, current->etag)) return refuse(failed("If-Match"));
  if (conditions.if_match_modified_at &&
      seconds_of(current->modified_at) != seconds_of(*conditions.if_match_modified_at))
    return refuse(failed("x-amz-if-match-last-modified-time"));
  if (conditions.if_match_size_bytes && current->size_bytes != *conditions.if_match_size_bytes)
    return refuse(failed("x-amz-if-match-size"));
  return {};
}

}  // namespace polis::object
